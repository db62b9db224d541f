"""The images of a bag, in the order of recording, each with all that belongs to its moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stmem_ros.geometry.camera_info import other_frame
from stmem_ros.geometry.transforms import TransformBuffer
from stmem_ros.io.bag_contents import MessageError
from stmem_ros.io.bag_topics import (
    camera_topics,
    find_depth_topic,
    find_image_topic,
    find_info_topic,
    find_label_topic,
    find_points_topic,
    no_depth_text,
)
from stmem_ros.io.bags import TF, BagError, BagReader, Record, Topic
from stmem_ros.io.images import ImageError, decode_label
from stmem_ros.pipeline import DEPTH_SLOP
from stmem_ros.stamps import SECOND, nanoseconds

FAST = 100  # times; stamps that run so much faster or slower than the recording are of other units
LATE = 200_000_000  # ns; transforms and references recorded that much after an image still count


@dataclass(frozen=True)
class TopicChoice:
    """What is asked for by name; None: found by type and name.

    Attributes:
        image, info, label, points: topics of the camera, its calibration, reference labels, lidar
            or depth to compare with.
        depth: whether images come with depth that places their labels.
        transport: ``raw`` or ``compressed``, of images that the bag has in both.
    """

    image: str | None = None
    info: str | None = None
    label: str | None = None
    points: str | None = None
    depth: bool = False
    transport: str | None = None


@dataclass(frozen=True)
class CameraTopics:
    """The topics that are read for one camera; None for those the bag has not."""

    image: Topic
    info: Topic | None
    label: Topic | None
    points: Topic | None
    depth: Topic | None


@dataclass(frozen=True)
class Moment:
    """An image of the bag that has not been looked at yet, and what belongs to its moment.

    Attributes:
        camera: whose image it is.
        index: number of the image among all that are replayed, from 0.
        stamp: of its header, ns; of its recording where the message cannot be read.
        received: when it was recorded, ns.
        message: None if it cannot be read; ``problem`` says why.
        info: the camera's newest CameraInfo, None without.
        reference: labels, or why those of this moment cannot be used; None without.
        points: message with lidar or depth to compare with, None without.
        depth: depth image of the same moment, None without; ``depth_problem`` says why.
    """

    camera: str
    index: int
    stamp: int
    received: int
    message: Any
    problem: str = ""
    info: Any = None
    reference: np.ndarray | str | None = None
    points: Any = None
    depth: Any = None
    depth_problem: str = ""


def topic_names(cameras: Mapping[str, CameraTopics]) -> dict[str, str | None]:
    """Names of the topics that are read, by what they hold; None for what the bag has not."""
    found: dict[str, str | None] = {}
    for role in ("image", "info", "label", "points"):
        topics = (getattr(camera, role) for camera in cameras.values())
        found[role] = ", ".join(t.name for t in topics if t is not None) or None
    return found


def find_cameras(
    topics: tuple[Topic, ...], cameras: Sequence[str], choice: TopicChoice
) -> dict[str, CameraTopics]:
    """The topics of each camera, by its name as of the node's parameter ``cameras``.

    A camera's topics lie in the namespace of its name. Those of a single one may be chosen, and lie
    anywhere where its name is empty.

    Raises:
        BagError: the bag has no (single) camera of a name, or not the topics that are asked for.
    """
    if len(cameras) == 1:
        return {cameras[0]: _find_camera(topics, cameras[0], choice)}
    names = (choice.image, choice.info, choice.label, choice.points)
    chosen = [name for name in names if name]
    if chosen:
        raise BagError(
            f"topic {chosen[0]} is chosen, but there are several cameras: the topics of each lie "
            f"in its namespace ({', '.join(cameras)})"
        )
    return {camera: _find_camera(topics, camera, choice) for camera in cameras}


def _find_camera(topics: tuple[Topic, ...], camera: str, choice: TopicChoice) -> CameraTopics:
    own = tuple(t for t in topics if t.name.startswith(f"/{camera}/")) if camera else topics
    if camera and not own and not choice.image:
        there = ", ".join(t.name for t in camera_topics(topics)) or "none"
        raise BagError(
            f"parameter cameras names {camera!r}, but the bag has no topic /{camera}/...; its "
            f"camera images: {there}"
        )
    if choice.image:
        image = find_image_topic(topics, choice.image)
    else:
        image = find_image_topic(_transported(own, choice.transport))
    label = find_label_topic(topics if choice.label else own, choice.label)
    depth = None
    if choice.depth and (depth := find_depth_topic(topics, image)) is None:
        raise BagError(no_depth_text(topics, image))
    return CameraTopics(
        image=image,
        info=find_info_topic(topics if choice.info else own, image, choice.info),
        label=label,
        points=find_points_topic(topics, image, choice.points),
        depth=depth,
    )


def _transported(topics: tuple[Topic, ...], transport: str | None) -> tuple[Topic, ...]:
    """Topics without the images of the other transport, where each is there in both."""
    if transport is None:
        return topics
    names = {topic.name for topic in topics}
    both = {name for name in names if f"{name}/compressed" in names}
    unwanted = both if transport == "compressed" else {f"{name}/compressed" for name in both}
    return tuple(topic for topic in topics if topic.name not in unwanted)


class BagMoments:
    """Reads a bag once; of a bag of any length only the messages of the last moments are held.

    Args:
        bag: open.
        cameras: the topics of each camera.
        begin, end: what was recorded outside is read but no moment, ns.
        transforms: takes the bag's transforms, ``late`` before they are needed.
        late: transforms and references recorded that much after an image still count, ns.

    Attributes:
        error: why the bag could not be read to its end, empty if it could; known at the end.
    """

    def __init__(
        self,
        bag: BagReader,
        cameras: dict[str, CameraTopics],
        begin: int,
        end: int,
        transforms: TransformBuffer,
        late: int = LATE,
    ) -> None:
        self.error = ""
        self._bag = bag
        self._cameras = cameras
        self._camera_of = {topics.image.name: name for name, topics in cameras.items()}
        self._begin, self._end, self._late = begin, end, late
        self._transforms = transforms
        self._infos: dict[str, Any] = {}  # the newest message of each topic
        # What was recorded lately: labels by stamp (or why they cannot be used), points, depth.
        self._references: dict[tuple[str, int], tuple[int, np.ndarray | str]] = {}
        self._recent: dict[str, deque[tuple[int, Any]]] = {}
        self._unread: dict[str, tuple[int, str]] = {}  # by topic: how many, the first reason
        self._unmatched: dict[str, int] = {}  # by topic: references without an image
        # By image topic: stamp and time of recording of the first and of the newest image, ns.
        self._first: dict[str, tuple[int, int]] = {}
        self._newest: dict[str, tuple[int, int]] = {}
        self._foreign: dict[str, str] = {}  # by topic of camera_info: that its frame is another
        self._standing: dict[str, int] = {}  # by topic: images with the stamp of the one before
        self._static = {t.name: t.name.endswith("static") for t in bag.topics if t.type == TF}

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is wrong with the bag, a line each; known at the end."""
        notes = [
            f"{count} messages on {topic} not used, the first: {why}"
            for topic, (count, why) in self._unread.items()
        ]
        for topic, count in self._unmatched.items():
            notes.append(f"{count} labels on {topic} have the stamp of no image")
        notes += self._foreign.values()
        for topic, count in self._standing.items():
            notes.append(
                f"stamps stand still: {count} images on {topic} have the stamp of the one before; "
                "let the driver stamp each image with its own time"
            )
        for topic, (stamp, received) in self._first.items():
            stamped, recorded = self._newest[topic][0] - stamp, self._newest[topic][1] - received
            if min(stamped, recorded) > 0 and not 1 / FAST < stamped / recorded < FAST:
                notes.append(
                    f"images on {topic} were recorded over {recorded / SECOND:g} s, but their "
                    f"stamps span {stamped / SECOND:g} s: are these in ns and of one clock?"
                )
        return tuple(notes)

    def note_unused(self, topic: str, why: str) -> None:
        """Take note of a message that cannot be used."""
        count, first = self._unread.get(topic, (0, why))
        self._unread[topic] = count + 1, first

    def __iter__(self) -> Iterator[Moment]:
        names = {
            topic.name
            for topics in self._cameras.values()
            for topic in vars(topics).values()
            if topic is not None
        }
        waiting: deque[Record] = deque()
        count = 0
        found = dict.fromkeys(self._camera_of, 0)
        try:
            for record in self._bag.records(names | set(self._static)):
                while waiting and record.time - waiting[0].time > self._late:
                    yield self._moment(waiting.popleft(), count)
                    count += 1
                if record.time > self._end + self._late:
                    break
                if record.topic not in self._camera_of:
                    self._take(record)
                    continue
                found[record.topic] += 1
                if self._is_replayed(record.time):
                    waiting.append(record)
            else:  # damaged bytes may hide messages without an error
                self._count_lost(found)
        except BagError as error:
            self.error = str(error)
        for record in waiting:
            yield self._moment(record, count)
            count += 1
        self._forget_before(self._bag.end + 1)

    def _count_lost(self, found: dict[str, int]) -> None:
        for topics in self._cameras.values():
            name = topics.image.name
            if (lost := topics.image.count - found[name]) > 0:
                self.error = f"{self._bag.path} is damaged: {lost} images on {name} are missing"

    def _is_replayed(self, received: int) -> bool:
        return self._begin <= received < self._end

    def _moment(self, record: Record, index: int) -> Moment:
        self._forget_before(record.time - 2 * self._late)
        camera = self._camera_of[record.topic]
        topics = self._cameras[camera]
        try:
            message = self._bag.decode(record)
        except MessageError as error:
            return Moment(
                camera=camera,
                index=index,
                stamp=record.time,
                received=record.time,
                message=None,
                problem=error.reason,
            )
        stamp = nanoseconds(message.header.stamp)
        if self._newest.get(record.topic, (None,))[0] == stamp:
            self._standing[record.topic] = self._standing.get(record.topic, 0) + 1
        self._first.setdefault(record.topic, (stamp, record.time))
        self._newest[record.topic] = stamp, record.time
        reference = None
        if topics.label is not None:
            _, reference = self._references.pop((topics.label.name, stamp), (0, None))
        depth, depth_problem = self._depth(topics.depth, stamp)
        info = None if topics.info is None else self._infos.get(topics.info.name)
        foreign = "" if info is None else other_frame(info, message.header.frame_id)
        if topics.info is not None and foreign:
            self._foreign[topics.info.name] = f"{topics.info.name}: {foreign}"
        return Moment(
            camera=camera,
            index=index,
            stamp=stamp,
            received=record.time,
            message=message,
            info=info,
            reference=reference,
            points=self._nearest(topics.points, stamp),
            depth=depth,
            depth_problem=depth_problem,
        )

    def _depth(self, topic: Topic | None, stamp: int) -> tuple[Any, str]:
        """The depth image of a moment, or why there is none."""
        depth = self._nearest(topic, stamp)
        if topic is None or depth is None:
            return None, "no depth image of the same moment"
        apart = abs(nanoseconds(depth.header.stamp) - stamp)
        if apart <= DEPTH_SLOP:
            return depth, ""
        return None, (
            f"no depth image of the same moment: the nearest stamp on {topic.name} is "
            f"{apart / 1e9:.3f} s away, allowed are {DEPTH_SLOP / 1e9} s"
        )

    def _nearest(self, topic: Topic | None, stamp: int) -> Any:
        """The recent message of a topic whose stamp is nearest, None without any."""
        recent = self._recent.get(topic.name, ()) if topic is not None else ()
        apart = [(abs(nanoseconds(m.header.stamp) - stamp), m) for _, m in recent]
        return min(apart, key=lambda pair: pair[0], default=(0, None))[1]

    def _take(self, record: Record) -> None:
        """Keep what a message other than an image says."""
        try:
            message = self._bag.decode(record)
        except MessageError as error:
            self.note_unused(record.topic, error.reason)
            return
        if record.topic in self._static:
            self._transforms.add_message(message, self._static[record.topic])
        if any(record.topic == _name(topics.info) for topics in self._cameras.values()):
            self._infos[record.topic] = message
        if any(record.topic == _name(topics.label) for topics in self._cameras.values()):
            self._take_reference(record, message)
        if any(
            record.topic in (_name(topics.points), _name(topics.depth))
            for topics in self._cameras.values()
        ):
            self._recent.setdefault(record.topic, deque()).append((record.time, message))

    def _take_reference(self, record: Record, message: Any) -> None:
        key = record.topic, nanoseconds(message.header.stamp)
        reference = _label_or_problem(message)
        if key in self._references and not np.array_equal(self._references[key][1], reference):
            reference = "several labels have the stamp of the image: which one is its own?"
        self._references[key] = record.time, reference

    def _forget_before(self, received: int) -> None:
        """Forget references, points and depth that were recorded long before an image."""
        for key in [k for k, (when, _) in self._references.items() if when < received]:
            when, _ = self._references.pop(key)
            if self._is_replayed(when):
                self._unmatched[key[0]] = self._unmatched.get(key[0], 0) + 1
        for recent in self._recent.values():
            while recent and recent[0][0] < received:
                recent.popleft()


def _name(topic: Topic | None) -> str | None:
    return None if topic is None else topic.name


def _label_or_problem(message: Any) -> np.ndarray | str:
    try:
        return decode_label(message)
    except ImageError as error:
        return str(error)
