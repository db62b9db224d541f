"""Offline replay: the images of a bag, in order, through the pipeline that the node runs.

The same bag, bundle and options give the same frames to the last digit, on one kind of machine and
with one number of threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.depth import check_depth, read_depth
from stmem_ros.costmap.rules import CostRules, default_rules
from stmem_ros.evaluation.replay.bag_moments import (
    LATE,
    BagMoments,
    CameraTopics,
    Moment,
    find_cameras,
    topic_names,
)
from stmem_ros.evaluation.replay.latency import Arrival, serve
from stmem_ros.evaluation.replay.replay_options import ReplayOptions
from stmem_ros.evaluation.replay.replayed_frame import (
    FrameState,
    FrameTimings,
    ReplayedFrame,
    unlabelled,
)
from stmem_ros.frames import (
    CameraFrame,
    LabelledFrame,
    MapProblem,
    MapResult,
    PlacedMap,
    Refusal,
    RefusedFrame,
    View,
)
from stmem_ros.geometry.rays import ray_table
from stmem_ros.geometry.transforms import TransformBuffer, TransformError
from stmem_ros.io.bag_topics import is_rectified
from stmem_ros.io.bags import POINTS, BagReader
from stmem_ros.io.encodings import BitDepth
from stmem_ros.io.images import decode_image, writeable
from stmem_ros.io.points import decode_points
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.pipeline import Pipeline, PipelineConfig
from stmem_ros.stamps import SECOND, nanoseconds

SAME_MOMENT = 50_000_000  # ns; a lidar's cloud belongs to an image at most that far away
STATES = {
    Refusal.INVALID: FrameState.INVALID,
    Refusal.LATE: FrameState.LATE,
    Refusal.UNWANTED: FrameState.DROPPED,
    Refusal.CUT_OFF: FrameState.UNLABELLED,
}


@dataclass(frozen=True)
class _Source:
    """What a frame was made from, and the moments (s of this machine's clock) of its way so far."""

    moment: Moment
    latency: float | None
    started: float
    decoded: float


class BagReplay:
    """One bag through one model.

    Args:
        bag: open; read once.
        model: causal or centred.
        options: what is replayed.
        config: of the pipeline, as the node's parameters say; its ``transform_timeout`` is how much
            later transforms may have been recorded than an image.
        rules: None: the shipped rules of the model's classes.

    Attributes:
        cameras: the topics that are read for each camera.
        rectified: whether their images are taken for rectified.

    Raises:
        BagError: the bag has no (single) camera, or not the topics that are asked for.
        ValueError: a machine is simulated for several cameras.
    """

    def __init__(
        self,
        bag: BagReader,
        model: BundledSegmenter,
        options: ReplayOptions,
        config: PipelineConfig,
        rules: CostRules | None = None,
    ) -> None:
        self._bag = bag
        self._options = options
        self._model = model
        if options.latency is not None and len(config.cameras) > 1:
            raise ValueError(
                f"a latency model simulates one camera, not {', '.join(config.cameras)}"
            )
        self.cameras: dict[str, CameraTopics] = find_cameras(
            bag.topics, config.cameras, options.topics
        )
        self._bit_depths = {camera: BitDepth() for camera in self.cameras}
        self._transforms = TransformBuffer()
        self._apart: dict[str, int] = {}  # by topic of points: the nearest to an image's moment, ns
        begin = bag.data_start + round(1e9 * options.start)
        length = options.duration
        self._moments = BagMoments(
            bag,
            self.cameras,
            begin,
            bag.end + 1 if length is None else begin + round(1e9 * length),
            self._transforms,
            max(LATE, round(1e9 * config.transform_timeout)),
        )
        self._no_rules = ""
        try:
            rules = rules or default_rules(model.info.classes)
        except ValueError as error:
            self._no_rules = str(error)
        rectified = options.rectified
        if rectified is None:
            rectified = any(is_rectified(topics.image) for topics in self.cameras.values())
        self.rectified: bool = rectified
        config = replace(config, rectified=rectified, transform_timeout=0.0)
        self._pipeline = Pipeline(model, rules, config, self._transforms)

    @property
    def topics(self) -> dict[str, str | None]:
        """Names of what is read, by what it holds; None for what the bag has not."""
        return topic_names(self.cameras)

    @property
    def announced(self) -> int:
        """Images that metadata.yaml counts; those that the bag holds, without it."""
        images = [topics.image for topics in self.cameras.values()]
        return sum(self._bag.announced.get(image.name, image.count) for image in images)

    @property
    def held(self) -> int:
        """Images that the bag holds."""
        return sum(topics.image.count for topics in self.cameras.values())

    @property
    def error(self) -> str:
        """Why the bag could not be read to its end, empty if it could; known after the frames."""
        return self._moments.error

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is wrong with the bag, a line each; known after the frames."""
        apart = [
            f"{name} is compared with no grid: its nearest stamp is {nearest / SECOND:.3f} s away "
            "from that of an image"
            for name, nearest in self._apart.items()
            if nearest
        ]
        return (*self._bag.notes, *self._moments.notes, *apart)

    def frames(self) -> Iterator[ReplayedFrame]:
        """Every image of the bag, in order; bags damaged in the middle end early with ``error``."""
        return _in_order(self._frames())

    def _frames(self) -> Iterator[ReplayedFrame]:
        for moment, latency in self._served():
            if isinstance(moment, ReplayedFrame):
                yield moment
            else:
                yield from self._label(moment, latency)
        yield from map(_refused, self._pipeline.finish())

    # What reaches the model

    def _served(self) -> Iterator[tuple[Moment | ReplayedFrame, float | None]]:
        """Images the machine takes and its latency, and frames that are lost before."""
        lost: deque[ReplayedFrame] = deque()
        options = self._options

        def arrivals() -> Iterator[Arrival[Moment]]:
            for moment in self._moments:
                chance = np.random.default_rng([options.seed, moment.index]).random()
                if chance < options.drop:
                    lost.append(unlabelled(moment, FrameState.DROPPED, "lost on the way (drop)"))
                    continue
                if text := self._unwanted(moment):
                    lost.append(unlabelled(moment, FrameState.DROPPED, text))
                    continue
                takes = 0.0
                if options.latency is not None:
                    takes = options.latency.seconds(options.seed, moment.index)
                yield Arrival(moment, moment.received / 1e9 / options.rate, takes)

        for moment, latency in serve(arrivals()):
            for frame in lost:
                yield frame, None
            lost.clear()
            if latency is None:
                reason = "a newer image came before its turn"
                yield unlabelled(moment, FrameState.DROPPED, reason), None
            else:
                yield moment, None if options.latency is None else latency
        for frame in lost:
            yield frame, None

    # The pipeline

    def _unwanted(self, moment: Moment) -> str:
        """Why an image is left out; empty if it is not, or if it cannot be read."""
        if moment.message is None:
            return ""
        return self._pipeline.unwanted(moment.camera, moment.stamp)

    def _label(self, moment: Moment, latency: float | None) -> Iterator[ReplayedFrame]:
        started = time.perf_counter()
        if moment.message is None:
            yield unlabelled(moment, FrameState.INVALID, moment.problem)
            return
        if self._options.depth and moment.depth is None:
            yield unlabelled(moment, FrameState.DROPPED, moment.depth_problem)
            return
        try:
            rgb = writeable(decode_image(moment.message, self._bit_depths[moment.camera]))
        except Exception as error:  # whatever a decoder raises, the image alone is lost
            reason = str(error) or type(error).__name__
            yield unlabelled(moment, FrameState.INVALID, reason)
            return
        frame = CameraFrame(
            camera=moment.camera,
            rgb=rgb,
            stamp=moment.stamp,
            frame_id=moment.message.header.frame_id,
            source=_Source(moment, latency, started, time.perf_counter()),
        )
        result = self._pipeline.label([frame])
        labelled_at = time.perf_counter()
        yield from map(_refused, result.refused)
        for labelled in result.labelled:
            yield self._replayed(labelled, frame.source, labelled_at)

    def _replayed(
        self, labelled: LabelledFrame, newest: _Source, labelled_at: float
    ) -> ReplayedFrame:
        """A labelled frame; its timings are those of the newest one, which completed its window."""
        source: _Source = labelled.frame.source
        moment = source.moment
        reference, problem = self._checked_reference(moment.reference, labelled.label)
        mapped = self._fuse(labelled, moment)
        finished = time.perf_counter()
        placed = mapped.placed
        steps = labelled.timings
        return ReplayedFrame(
            camera=moment.camera,
            index=moment.index,
            stamp=moment.stamp,
            received=moment.received,
            state=FrameState.LABELLED,
            restart=labelled.restart,
            rgb=labelled.frame.rgb,
            label=labelled.label,
            confidence=labelled.confidence,
            window=labelled.window,
            memory_share=labelled.memory_share,
            strangeness=labelled.strangeness,
            reference=reference,
            reference_problem=problem,
            map=placed,
            map_problem=mapped.text,
            map_problem_kind=mapped.problem,
            map_published=mapped.publish,
            points=None if placed is None else self._points_of(moment, placed),
            latency=source.latency,
            frame_id=labelled.frame.frame_id,
            timings=FrameTimings(
                decode_image=1e3 * (newest.decoded - newest.started),
                upload=1e3 * steps.upload,
                backbone=1e3 * steps.backbone,
                stf=1e3 * steps.stf,
                mar=1e3 * steps.mar,
                decode=1e3 * steps.decode,
                costmap=1e3 * (finished - labelled_at),
                total=1e3 * (finished - newest.started),
                latency=1e3 * (labelled_at - newest.started),
            ),
        )

    def _fuse(self, labelled: LabelledFrame, moment: Moment) -> MapResult:
        if self._no_rules:
            return MapResult(None, MapProblem.NO_RULES, self._no_rules)
        mapped = self._pipeline.fuse(labelled, moment.info, moment.depth)
        assert mapped is not None, "nothing resets the pipeline between labels and grid"
        return mapped

    def _checked_reference(
        self, reference: np.ndarray | str | None, label: np.ndarray
    ) -> tuple[np.ndarray | None, str]:
        """The reference of a label if it can be compared with it, else why not.

        Where a mask or a region leaves no label, there is nothing to compare.
        """
        if reference is None or isinstance(reference, str):
            return None, reference or ""
        if reference.shape != label.shape:
            return None, (
                f"the reference has {reference.shape[1]} x {reference.shape[0]} pixels, "
                f"the image {label.shape[1]} x {label.shape[0]}"
            )
        classes = len(self._model.info.classes)
        strange = reference[(reference >= classes) & (reference != UNLABELLED)]
        if strange.size:
            return None, (
                f"the reference holds the id {strange.max()}, but the model has the classes 0 to "
                f"{classes - 1}: is it another label set?"
            )
        return np.where(label == UNLABELLED, np.uint8(UNLABELLED), reference), ""

    def _points_of(self, moment: Moment, placed: PlacedMap) -> np.ndarray | None:
        """Reference points of an image's moment, N x 3 in its base frame; None without."""
        topic = self.cameras[moment.camera].points
        if moment.points is None or topic is None:
            return None
        stamp = nanoseconds(moment.points.header.stamp)
        apart = abs(stamp - moment.stamp)
        if apart > (SAME_MOMENT if topic.type == POINTS else 0):
            self._apart[topic.name] = min(apart, self._apart.get(topic.name, apart))
            return None
        self._apart[topic.name] = 0
        try:
            if topic.type != POINTS:
                depth = read_depth(moment.points, moment.message.header.frame_id)
                return _depth_points(depth, placed.view)
            frame = moment.points.header.frame_id.lstrip("/")
            grid_from_points = self._transforms.lookup(placed.frame, frame, stamp)
            base_from_points = np.linalg.inv(placed.grid_from_base) @ grid_from_points
            points = decode_points(moment.points)
            return points @ base_from_points[:3, :3].T + base_from_points[:3, 3]
        except (TransformError, ValueError) as error:
            self._moments.note_unused(topic.name, str(error))
            return None


def _refused(refused: RefusedFrame) -> ReplayedFrame:
    moment = refused.frame.source.moment
    return unlabelled(moment, STATES[refused.refusal], refused.text)


def _depth_points(depth: np.ndarray, view: View) -> np.ndarray:
    """The points of a depth image of the same view, N x 3 in the base frame, m."""
    camera = view.camera
    check_depth(depth, np.empty((camera.height, camera.width)))
    known = np.isfinite(depth) & (depth > 0)
    points = ray_table(camera)[known] * depth[known][:, None]
    base_from_camera = np.linalg.inv(view.camera_from_base)
    return points @ base_from_camera[:3, :3].T + base_from_camera[:3, 3]


def _in_order(frames: Iterable[ReplayedFrame]) -> Iterator[ReplayedFrame]:
    """Frames in the order of their indices, as soon as it is known what became of each."""
    held: dict[int, ReplayedFrame] = {}
    next_index = 0
    for frame in frames:
        held[frame.index] = frame
        while next_index in held:
            yield held.pop(next_index)
            next_index += 1
