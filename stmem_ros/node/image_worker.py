"""The node's two threads: one labels images, one fuses their labels into the costmap."""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rclpy.node import Node

from stmem_ros.frames import CameraFrame, LabelledFrame, Refusal
from stmem_ros.io.messages import nan_if_none
from stmem_ros.msg import FrameStatistics
from stmem_ros.node.camera_stream import Arrival, CameraStream
from stmem_ros.node.costmap_output import CostmapOutput
from stmem_ros.node.device_memory import DeviceMemory
from stmem_ros.node.latest_labels_queue import LatestLabelsQueue
from stmem_ros.node.mailbox import Mailbox
from stmem_ros.node.ros_messages import to_rgb
from stmem_ros.node.throttled_log import Fault, ThrottledLog
from stmem_ros.pipeline import Pipeline
from stmem_ros.stamps import SECOND, nanoseconds

FAILURES = 5  # of the network in a row, after which it is taken for broken


@dataclass(frozen=True)
class TakenImage:
    """What a frame of the pipeline was made from.

    Attributes:
        taken: when it was taken out of the mailbox, perf_counter seconds.
        convert: seconds it took to become an array.
    """

    stream: CameraStream
    arrival: Arrival
    taken: float
    convert: float


@dataclass(frozen=True)
class PublishedLabels:
    """A frame whose labels are published; its statistics go out when the costmap is done with it.

    Attributes:
        statistics: of all stages before the costmap.
        taken: when its image was taken, perf_counter seconds.
    """

    stream: CameraStream
    statistics: FrameStatistics
    taken: float


class ImageWorker:
    """Works on the newest image of each camera, from :meth:`start` to :meth:`stop`.

    Images of all cameras that wait go through the pipeline together. Labels whose transforms are
    late wait beside those of the other cameras; then each goes on with its newest labels.

    Args:
        log: of what goes wrong.
        now: seconds that have passed, by which the grid ages.

    Attributes:
        broken: why the network does not work any more; empty while it does.
    """

    def __init__(
        self,
        node: Node,
        pipeline: Pipeline,
        streams: Mapping[str, CameraStream],
        costmap: CostmapOutput,
        log: ThrottledLog,
        now: Callable[[], float],
    ) -> None:
        self.broken = ""
        self._node = node
        self._pipeline = pipeline
        self._streams = streams
        self._costmap = costmap
        self._images: Mailbox[tuple[Arrival, int]] = Mailbox()  # with the epoch it came in
        self._labels: LatestLabelsQueue[PublishedLabels, LabelledFrame] = LatestLabelsQueue()
        self._stopping = threading.Event()
        self._device_memory = DeviceMemory(pipeline.device)
        self._failures = 0  # of the network, in a row
        self._log = log
        self._now = now
        self._labelling = threading.Thread(target=self._label_images, name="labels", daemon=True)
        self._mapping = threading.Thread(target=self._map_labels, name="costmap", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._labelling.start()
        self._mapping.start()

    def stop(self) -> None:
        """End, once the image that is worked on is labelled."""
        self._stopping.set()
        for thread in (self._labelling, self._mapping):
            if thread.ident is not None:  # it was started
                thread.join()

    def put(self, camera: str, arrival: Arrival) -> None:
        """Leave an image; it takes the place of one that still waits."""
        self._images.put(camera, (arrival, self._pipeline.epoch))

    def dropped(self, camera: str) -> int:
        """Images of a camera that newer ones replaced."""
        return self._images.dropped(camera)

    @property
    def skipped(self) -> int:
        """Labels that newer ones replaced before the costmap took them."""
        return sum(self._labels.replaced(name) for name in self._streams)

    # The thread that labels

    def _label_images(self) -> None:
        while not self._stopping.is_set() and not self.broken:
            arrivals = self._images.take(timeout=0.1)
            streams = [self._streams[camera] for camera in arrivals]
            try:
                self._label(arrivals)
            except Exception:  # what cannot be published must not end the node
                if not self._node.context.ok():
                    return
                for stream in streams:
                    self._log(stream.name, Fault.LABELS, traceback.format_exc())

    def _frame(
        self, stream: CameraStream, arrival: Arrival, epoch: int, taken: float
    ) -> CameraFrame | None:
        """The image as a frame of the pipeline.

        None (and counted) if it is not to be labelled, or cannot be decoded.
        """
        started = time.perf_counter()
        header = arrival.image.header
        stamp = nanoseconds(header.stamp)
        if self._pipeline.unwanted(stream.name, stamp, epoch):
            stream.health.image_left_out()
            return None
        try:
            rgb = to_rgb(arrival.image, stream.bit_depth)
        except Exception as error:  # whatever a decoder raises, the image alone is lost
            self._refuse(stream, str(error) or type(error).__name__)
            return None
        return CameraFrame(
            camera=stream.name,
            rgb=rgb,
            stamp=stamp,
            frame_id=header.frame_id,
            source=TakenImage(stream, arrival, taken, time.perf_counter() - started),
            epoch=epoch,
        )

    def _label(self, arrivals: Mapping[str, tuple[Arrival, int]]) -> None:
        """Label images of different cameras; without any, a new memory bank is loaded alone."""
        taken = time.perf_counter()
        made = [self._frame(self._streams[c], *item, taken) for c, item in arrivals.items()]
        frames = [frame for frame in made if frame is not None]
        try:
            result = self._pipeline.label(frames)
        except Exception as error:  # one failure of the network must not end the node
            self._note_failure([frame.source.stream for frame in frames], error)
            return
        if result.labelled:
            self._failures = 0
        for refused in result.refused:
            stream = refused.frame.source.stream
            if refused.refusal is Refusal.UNWANTED:  # it was paused meanwhile
                stream.health.image_left_out()
                continue
            note = self._note_late if refused.refusal is Refusal.LATE else self._refuse
            note(stream, refused.text)
        for labelled in result.labelled:
            self._publish(labelled)

    def _publish(self, labelled: LabelledFrame) -> None:
        """Publish the labels, and hand them over to the costmap."""
        started = time.perf_counter()
        source: TakenImage = labelled.frame.source
        stream, header = source.stream, source.arrival.image.header
        if labelled.restart is not None:
            self._node.get_logger().warning(f"ring emptied: {labelled.restart.text}")
        stream.publish_labels(labelled, header)
        latency = self._node.get_clock().now().nanoseconds / SECOND - labelled.frame.stamp / SECOND
        stream.health.image_labelled(latency, labelled.strangeness)
        statistics = FrameStatistics(
            header=header,
            **dataclasses.asdict(labelled.timings),
            convert=source.convert,
            publish=time.perf_counter() - started,
            latency=latency,
            ring_length=labelled.window,
            ring_capacity=self._pipeline.window,
            memory_share=nan_if_none(labelled.memory_share),
            strangeness=nan_if_none(labelled.strangeness),
            frames_dropped=self._images.dropped(stream.name),
            frames_late=stream.health.late,
            frames_invalid=stream.health.invalid,
            device=str(self._pipeline.device),
            device_memory=self._device_memory(),
        )
        published = PublishedLabels(stream, statistics, source.taken)
        self._labels.put(stream.name, published, labelled)

    # The thread that fuses labels into the costmap

    def _map_labels(self) -> None:
        while True:
            last = not self._labelling.is_alive()
            taken = self._labels.take(0.1, self._is_due)
            if self._pipeline.expire_grid(self._now()):
                self._costmap.take_back()
            if taken is None:
                if last:
                    return
                continue
            published, labelled = taken
            try:
                self._map(published, labelled)
            except Exception as error:  # bad labels must not end the node
                if not self._node.context.ok():
                    return
                self._costmap.fail(published.stream, f"{type(error).__name__}: {error}")
                self._log(published.stream.name, Fault.COSTMAP, traceback.format_exc())

    def _is_due(self, labelled: LabelledFrame, waited: float) -> bool:
        """While the node stops nothing takes in the transforms that labels may wait for."""
        return self._stopping.is_set() or self._pipeline.is_due(labelled, waited)

    def _map(self, published: PublishedLabels, labelled: LabelledFrame | None) -> None:
        """Fuse labels that are still wanted, and publish the statistics of their frame."""
        started = time.perf_counter()
        stream, statistics = published.stream, published.statistics
        try:
            if labelled is not None and not self._stopping.is_set():
                depth = labelled.frame.source.arrival.depth
                result = self._pipeline.fuse(labelled, stream.info, depth, self._now())
                if result is not None:
                    self._costmap.publish(stream, labelled, result)
                    statistics.costmap = time.perf_counter() - started
        finally:
            statistics.total = time.perf_counter() - published.taken
            stream.statistics.publish(statistics)

    # What goes wrong

    def _note_failure(self, streams: list[CameraStream], error: Exception) -> None:
        """Count a failure of the network; after several in a row it is taken for broken."""
        reason = f"{type(error).__name__}: {error}"
        for stream in streams:
            self._refuse(stream, reason, Fault.NETWORK)
        self._failures += 1
        if self._failures >= FAILURES:
            self.broken = f"the network failed {self._failures} times in a row: {reason}"
            self._node.get_logger().fatal(self.broken)

    def _refuse(self, stream: CameraStream, reason: str, fault: Fault = Fault.IMAGE) -> None:
        """Count an image that cannot be used."""
        stream.health.image_refused(reason)
        self._log(stream.name, fault, f"image on {stream.image_topic} not used: {reason}")

    def _note_late(self, stream: CameraStream, reason: str) -> None:
        stream.health.image_late(reason)
        self._log(stream.name, Fault.LATE, f"image on {stream.image_topic} not used: {reason}")
