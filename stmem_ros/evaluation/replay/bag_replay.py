"""Offline replay: the images of a bag, in order, through the objects that the node runs.

The same bag, bundle and options give the same frames to the last digit, on one kind of machine and
with one number of threads. Of a bag of any length only the messages of the last moments are held.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.depth import check_depth
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.rules import CostRules, default_rules
from stmem_ros.evaluation.replay.latency import Arrival, LatencyModel, serve
from stmem_ros.evaluation.replay.replayed_frame import (
    BASE_FRAME,
    ODOM_FRAME,
    FrameState,
    FrameTimings,
    PlacedMap,
    ReplayedFrame,
    View,
)
from stmem_ros.geometry.camera import CameraModel, to_camera
from stmem_ros.geometry.rays import ray_table
from stmem_ros.geometry.transforms import FramesNotConnectedError, TransformBuffer, TransformError
from stmem_ros.io.bags import (
    POINTS,
    TF,
    BagError,
    BagReader,
    Record,
    Topic,
    find_image_topic,
    find_info_topic,
    find_label_topic,
    find_points_topic,
)
from stmem_ros.io.images import ImageError, decode_depth, decode_image, decode_label
from stmem_ros.io.points import decode_points
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.streaming.segmenter import Segmentation, StreamingSegmenter

LATE = 200_000_000  # ns; transforms and references recorded that much after an image still count
SAME_MOMENT = 50_000_000  # ns; a lidar's cloud belongs to an image at most that far away


@dataclass(frozen=True)
class ReplayOptions:
    """What is replayed, and what the vehicle would have seen of it.

    Attributes:
        topic, info_topic, label_topic, points_topic: of the camera, its calibration, reference
            labels, lidar or depth; None: found by type and name.
        start: seconds of the bag that are skipped.
        duration: seconds of the bag that are replayed, None: to its end.
        drop: share of the images that are lost on the way, chosen by ``seed``.
        latency: the machine that is simulated; None: every image is labelled.
        rate: speed at which images reach that machine, 1 is real time.
        seed: of what is left to chance.

    Raises:
        ValueError: a value is not allowed; the message names it.
    """

    topic: str | None = None
    info_topic: str | None = None
    label_topic: str | None = None
    points_topic: str | None = None
    start: float = 0.0
    duration: float | None = None
    drop: float = 0.0
    latency: LatencyModel | None = None
    rate: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value, allowed, fits in (
            ("start", self.start, "0 or more seconds", self.start >= 0),
            ("duration", self.duration, "positive, s", self.duration is None or self.duration > 0),
            ("drop", self.drop, "0 to below 1", 0 <= self.drop < 1),
            ("rate", self.rate, "positive", self.rate > 0),
            ("seed", self.seed, "0 or more", self.seed >= 0),
        ):
            if not fits:
                raise ValueError(f"{name} is {value}; it must be {allowed}")


@dataclass(frozen=True)
class ReplayTopics:
    """The topics a replay reads; None for those the bag has not."""

    image: Topic
    info: Topic | None
    label: Topic | None
    points: Topic | None


@dataclass(frozen=True)
class _Image:
    """An image of the bag that has not been looked at yet, and what belongs to its moment.

    Attributes:
        message: None if it cannot be read; ``problem`` says why.
        info: CameraInfo, None without.
        reference: labels, or why those there are cannot be used; None without.
        points: message with lidar or depth, None without.
        latency: of the simulated machine, s.
    """

    index: int
    stamp: int
    received: int
    message: Any
    problem: str = ""
    info: Any = None
    reference: np.ndarray | str | None = None
    points: Any = None
    latency: float | None = None

    def frame(self, state: FrameState, reason: str) -> ReplayedFrame:
        """The frame of an image that gets no label."""
        return ReplayedFrame(self.index, self.stamp, self.received, state, reason)


@dataclass(frozen=True)
class _Pushed:
    """An image the model has seen, and what is known of its moment."""

    image: _Image
    rgb: np.ndarray
    restarted: str


class BagReplay:
    """One bag through one model.

    Args:
        bag: open; read once.
        model: causal or centred.
        rules: None: the shipped rules of the model's classes.

    Attributes:
        topics: what is read.
        error: why the bag could not be read to its end, empty if it could; known after the frames.
        notes: what else is wrong with the bag, a line each; known after the frames.

    Raises:
        BagError: the bag has no (single) camera, or not the topics that are asked for.
    """

    def __init__(
        self,
        bag: BagReader,
        model: BundledSegmenter,
        options: ReplayOptions,
        grid: GridConfig,
        rules: CostRules | None = None,
    ) -> None:
        image = find_image_topic(bag.topics, options.topic)
        self.topics = ReplayTopics(
            image,
            find_info_topic(bag.topics, image, options.info_topic),
            find_label_topic(bag.topics, options.label_topic),
            find_points_topic(bag.topics, image, options.points_topic),
        )
        self.error = ""
        self._bag = bag
        self._options = options
        self._begin = bag.start + round(1e9 * options.start)
        length = options.duration
        self._end = bag.end + 1 if length is None else self._begin + round(1e9 * length)
        self._segmenter = StreamingSegmenter(model, inference_height=model.info.height)
        self._mapper: SemanticMapper | None = None
        self._no_rules = ""
        try:
            self._mapper = SemanticMapper(grid, rules or default_rules(model.info.classes))
        except ValueError as error:
            self._no_rules = str(error)
        self._rectified = "rect" in image.name
        self._transforms = TransformBuffer()
        self._info: Any = None
        # What was recorded lately: labels by stamp (or why they cannot be used), and points.
        self._references: dict[int, tuple[int, np.ndarray | str]] = {}
        self._points: deque[tuple[int, Any]] = deque()
        self._unread: dict[str, tuple[int, str]] = {}  # by topic: how many, the first reason
        self._unmatched = 0
        self._tf = {t.name: t.name.endswith("static") for t in bag.topics if t.type == TF}

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [
            f"{count} messages on {topic} not used, the first: {why}"
            for topic, (count, why) in self._unread.items()
        ]
        if self._unmatched and self.topics.label is not None:
            notes.append(
                f"{self._unmatched} labels on {self.topics.label.name} have the stamp of no image"
            )
        return tuple(notes)

    def frames(self) -> Iterator[ReplayedFrame]:
        """Every image of the bag, in order; bags damaged in the middle end early with ``error``."""
        return _in_order(self._frames())

    # Reading: images, each when all that belongs to its moment has been read

    def _images(self) -> Iterator[_Image]:
        names = {t.name for t in vars(self.topics).values() if t is not None}
        waiting: deque[Record] = deque()
        count = found = 0
        try:
            for record in self._bag.records(names | set(self._tf)):
                while waiting and record.time - waiting[0].time > LATE:
                    yield self._image(waiting.popleft(), count)
                    count += 1
                if record.time > self._end + LATE:
                    break
                found += record.topic == self.topics.image.name
                if record.topic != self.topics.image.name:
                    self._take(record)
                elif self._wanted(record.time):
                    waiting.append(record)
            else:  # damaged bytes may hide messages without an error
                if lost := self.topics.image.count - found:
                    name = self.topics.image.name
                    self.error = f"{self._bag.path} is damaged: {lost} images on {name} are missing"
        except BagError as error:
            self.error = str(error)
        for record in waiting:
            yield self._image(record, count)
            count += 1
        self._forget_before(self._bag.end + 1)

    def _wanted(self, received: int) -> bool:
        """Whether what was recorded then is replayed."""
        return self._begin <= received < self._end

    def _image(self, record: Record, index: int) -> _Image:
        self._forget_before(record.time - 2 * LATE)
        try:
            message = self._bag.decode(record)
        except BagError as error:
            return _Image(index, record.time, record.time, None, str(error))
        stamp = _stamp(message)
        _, reference = self._references.pop(stamp, (0, None))
        near = [(abs(_stamp(m) - stamp), m) for _, m in self._points]
        points = min(near, key=lambda pair: pair[0], default=(0, None))[1]
        return _Image(index, stamp, record.time, message, "", self._info, reference, points)

    def _take(self, record: Record) -> None:
        """Keep what a message other than an image says."""
        topics = self.topics
        try:
            message = self._bag.decode(record)
        except BagError as error:
            self._not_used(record.topic, str(error))
            return
        if record.topic in self._tf:
            self._transforms.add_message(message, self._tf[record.topic])
        elif topics.info is not None and record.topic == topics.info.name:
            self._info = message
        elif topics.label is not None and record.topic == topics.label.name:
            label: np.ndarray | str
            try:
                label = decode_label(message)
            except ImageError as error:
                label = str(error)
            self._references[_stamp(message)] = record.time, label
        else:
            self._points.append((record.time, message))

    def _not_used(self, topic: str, why: str) -> None:
        count, first = self._unread.get(topic, (0, why))
        self._unread[topic] = count + 1, first

    def _forget_before(self, received: int) -> None:
        """Forget references and points that were recorded long before an image."""
        for stamp in [s for s, (when, _) in self._references.items() if when < received]:
            when, _ = self._references.pop(stamp)
            self._unmatched += self._wanted(when)
        while self._points and self._points[0][0] < received:
            self._points.popleft()

    # What reaches the model

    def _frames(self) -> Iterator[ReplayedFrame]:
        pushed: deque[_Pushed] = deque()
        for image in self._served():
            if isinstance(image, ReplayedFrame):
                yield image
            else:
                yield from self._label(image, pushed)
        for left in pushed:
            yield left.image.frame(
                FrameState.UNLABELLED, "a centred model needs frames that follow; none did"
            )

    def _served(self) -> Iterator[_Image | ReplayedFrame]:
        """Images the machine takes, and frames that are lost before."""
        lost: deque[ReplayedFrame] = deque()
        options = self._options

        def arriving() -> Iterator[Arrival[_Image]]:
            for image in self._images():
                chance = np.random.default_rng([options.seed, image.index]).random()
                if chance < options.drop:
                    lost.append(image.frame(FrameState.DROPPED, "lost on the way (drop)"))
                    continue
                takes = 0.0
                if options.latency is not None:
                    takes = options.latency.seconds(options.seed, image.index)
                yield Arrival(image, image.received / 1e9 / options.rate, takes)

        for image, latency in serve(arriving()):
            yield from lost
            lost.clear()
            if latency is None:
                yield image.frame(FrameState.DROPPED, "a newer image came before its turn")
            else:
                yield image if options.latency is None else replace(image, latency=latency)
        yield from lost

    # The model and the grid

    def _label(self, image: _Image, pushed: deque[_Pushed]) -> Iterator[ReplayedFrame]:
        start = time.perf_counter()
        if image.message is None:
            yield image.frame(FrameState.INVALID, image.problem)
            return
        try:
            rgb = decode_image(image.message)
            decoded = time.perf_counter()
            segmentation = self._segmenter.push(_own(rgb), image.stamp / 1e9)
        except (ImageError, ValueError) as error:
            yield image.frame(FrameState.INVALID, str(error))
            return
        labelled = time.perf_counter()
        restarted = segmentation.restarted or ""
        if restarted:
            for left in pushed:
                reason = f"the stream began anew before its label came: {restarted}"
                yield left.image.frame(FrameState.UNLABELLED, reason)
            pushed.clear()
            if restarted.startswith("time went back") and self._mapper is not None:
                self._mapper.reset()
        pushed.append(_Pushed(image, rgb, restarted))
        if segmentation.stamp != pushed[0].image.stamp / 1e9:
            return  # a centred model labels its first frame twice
        target = pushed.popleft()
        frame = self._labelled(target, segmentation)
        end = time.perf_counter()
        steps = segmentation.timings
        yield replace(
            frame,
            timings=FrameTimings(
                decode_image=1e3 * (decoded - start),
                upload=1e3 * steps.upload,
                backbone=1e3 * steps.backbone,
                stf=1e3 * steps.stf,
                mar=1e3 * steps.mar,
                decode=1e3 * steps.decode,
                costmap=1e3 * (end - labelled),
                total=1e3 * (end - start),
                latency=1e3 * (labelled - start),
            ),
        )

    def _labelled(self, pushed: _Pushed, segmentation: Segmentation) -> ReplayedFrame:
        image, reference, problem = pushed.image, pushed.image.reference, ""
        if isinstance(reference, str):
            problem, reference = reference, None
        elif reference is not None and (problem := self._misfit(reference, segmentation.label)):
            reference = None
        placed, map_problem = self._place(image, segmentation)
        return ReplayedFrame(
            image.index,
            image.stamp,
            image.received,
            FrameState.LABELLED,
            restarted=pushed.restarted,
            rgb=pushed.rgb,
            label=segmentation.label,
            confidence=segmentation.confidence,
            window=segmentation.window,
            reference=reference,
            reference_problem=problem,
            map=placed,
            map_problem=map_problem,
            points=None if placed is None else self._points_of(image, placed),
            latency=image.latency,
            frame_id=image.message.header.frame_id,
        )

    def _misfit(self, reference: np.ndarray, label: np.ndarray) -> str:
        """Why a reference cannot be compared with a label; empty if it can."""
        if reference.shape != label.shape:
            return (
                f"the reference has {reference.shape[1]} x {reference.shape[0]} pixels, "
                f"the image {label.shape[1]} x {label.shape[0]}"
            )
        classes = len(self._segmenter.model.info.classes)
        strange = reference[(reference >= classes) & (reference != UNLABELLED)]
        if strange.size:
            return (
                f"the reference holds the id {strange.max()}, but the model has the classes 0 to "
                f"{classes - 1}: is it another label set?"
            )
        return ""

    def _place(
        self, image: _Image, segmentation: Segmentation
    ) -> tuple[PlacedMap | None, str]:  # as CostmapOutput.update of the node
        """The grid with this image's labels, and what is wrong with it."""
        if self._mapper is None:
            return None, self._no_rules
        if image.info is None:
            return None, "no CameraInfo: labels without a grid"
        problem = ""
        camera_frame = image.message.header.frame_id.lstrip("/")
        try:
            camera = to_camera(image.info, self._rectified)
            camera_from_base = self._transforms.lookup(camera_frame, BASE_FRAME, image.stamp, 0)
            try:
                pose = self._transforms.lookup(ODOM_FRAME, BASE_FRAME, image.stamp, 0)
            except FramesNotConnectedError:
                pose = None
                problem = (
                    f"no odometry (no transforms connect {BASE_FRAME!r} to {ODOM_FRAME!r}): "
                    "the grid holds the newest image alone"
                )
            update = self._mapper.update(
                segmentation.label,
                segmentation.confidence,
                image.stamp / 1e9,
                camera,
                camera_from_base,
                pose,
            )
        except (TransformError, ValueError) as error:
            return None, str(error)
        height, width = segmentation.label.shape
        view = View(camera.scaled(width, height), camera_from_base)
        frame = BASE_FRAME if pose is None else ODOM_FRAME
        return PlacedMap(update, frame, np.eye(4) if pose is None else pose, view), problem

    def _points_of(self, image: _Image, placed: PlacedMap) -> np.ndarray | None:
        """Reference points of an image's moment, N x 3 in its base frame; None without."""
        if image.points is None or self.topics.points is None:
            return None
        stamp = _stamp(image.points)
        try:
            if self.topics.points.type != POINTS:
                return _depth_points(image.points, placed.view) if stamp == image.stamp else None
            if abs(stamp - image.stamp) > SAME_MOMENT:
                return None
            frame = image.points.header.frame_id.lstrip("/")
            grid_from_points = self._transforms.lookup(placed.frame, frame, stamp, 0)
            base_from_points = np.linalg.inv(placed.grid_from_base) @ grid_from_points
            points = decode_points(image.points)
            return points @ base_from_points[:3, :3].T + base_from_points[:3, 3]
        except (TransformError, ValueError) as error:
            self._not_used(self.topics.points.name, str(error))
            return None


def _depth_points(message: Any, view: View) -> np.ndarray:
    """The points of a depth image of the same view, N x 3 in the base frame, m."""
    depth = decode_depth(message)
    camera: CameraModel = view.camera
    check_depth(depth, np.empty((camera.height, camera.width)))
    known = np.isfinite(depth) & (depth > 0)
    points = ray_table(camera)[known] * depth[known][:, None]
    base_from_camera = np.linalg.inv(view.camera_from_base)
    return points @ base_from_camera[:3, :3].T + base_from_camera[:3, 3]


def _in_order(frames: Iterable[ReplayedFrame]) -> Iterator[ReplayedFrame]:
    """Frames in the order of their indices, as soon as it is known what became of each."""
    held: dict[int, ReplayedFrame] = {}
    due = 0
    for frame in frames:
        held[frame.index] = frame
        while due in held:
            yield held.pop(due)
            due += 1


def _own(rgb: np.ndarray) -> np.ndarray:
    """An image torch may take: bytes of a bag cannot be written to, which it warns of."""
    return rgb if rgb.flags.writeable else rgb.copy()


def _stamp(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)
