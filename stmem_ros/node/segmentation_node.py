"""The lifecycle node: images in, labels and costmaps out."""

from __future__ import annotations

import dataclasses
import gc
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from stmem_ros.costmap.messages import label_info
from stmem_ros.costmap.rules import CostRules, default_rules, load_rules
from stmem_ros.frames import CameraFrame, LabelledFrame
from stmem_ros.io.images import ImageError
from stmem_ros.model.bundle import (
    BundledSegmenter,
    BundleError,
    bundle_folder,
    load_bundle,
    load_memory,
)
from stmem_ros.msg import FrameStatistics, LabelInfo
from stmem_ros.node.camera_stream import Arrival, CameraStream, Counters
from stmem_ros.node.costmap_output import LATCHED, CostmapOutput
from stmem_ros.node.diagnostics import Diagnostics
from stmem_ros.node.latest_labels_queue import LatestLabelsQueue
from stmem_ros.node.mailbox import Mailbox
from stmem_ros.node.own_thread import in_own_thread
from stmem_ros.node.parameters import check_change, declare_parameters, read_parameters
from stmem_ros.node.ros_messages import (
    ROS_MESSAGES,
    to_rgb,
    vision_label_info,
)
from stmem_ros.node.ros_packages import VisionLabelInfo, listen_to_transforms
from stmem_ros.parameters import NodeParameters, pipeline_config
from stmem_ros.pipeline import Pipeline
from stmem_ros.stamps import nanoseconds
from stmem_ros.streaming.execution import swap_memory
from stmem_ros.streaming.segmenter import RestartKind


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


class SegmentationNode(LifecycleNode):
    """Segments the images of its cameras and keeps the semantic grid.

    It turns messages into frames of the pipeline, and what comes out of that into messages; all
    that is decided about them, the pipeline decides. Subscription callbacks only leave the newest
    image in a mailbox. One thread labels all images that wait there and publishes their labels; a
    second one fuses these into the costmap. That one may wait for late transforms; then it goes on
    with each camera's newest labels.
    Topics, parameters and services: docs/node.md.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("segmentation_node", **options)
        declare_parameters(self)
        self._configured = False
        self._failed = False
        self._streams: dict[str, CameraStream] = {}
        self._stop = threading.Event()
        self._segmenting: threading.Thread | None = None
        self._mapping: threading.Thread | None = None
        self._logged_reasons: set[str] = set()
        self.add_on_set_parameters_callback(self._on_set_parameters)
        if self.get_parameter("autostart").value:
            self._autostart_timer = self.create_timer(0.0, self._autostart)

    @property
    def failed(self) -> bool:
        """Whether it could not start by itself; the reason was logged."""
        return self._failed

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        self._failed = any(
            step() != TransitionCallbackReturn.SUCCESS
            for step in (self.trigger_configure, self.trigger_activate)
        )

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            parameters = self._settings = read_parameters(self)
            model = in_own_thread(lambda: self._load_model(parameters))
            rules = self._load_rules(parameters, model)
            self._pipeline = self._make_pipeline(parameters, model, rules)
        except (ValueError, FileNotFoundError) as error:
            self.get_logger().fatal(str(error))
            return TransitionCallbackReturn.FAILURE
        self._model = model
        self._images: Mailbox[Arrival] = Mailbox()
        self._labels_queue: LatestLabelsQueue[PublishedLabels, LabelledFrame] = LatestLabelsQueue()
        for name in parameters.cameras:
            self._streams[name] = CameraStream(self, name, parameters, self._on_image)
        self._costmap = CostmapOutput(self, parameters, rules)
        self._label_info = self.create_publisher(LabelInfo, "~/label_info", LATCHED)
        header = Header(stamp=self.get_clock().now().to_msg())
        self._label_info.publish(label_info(ROS_MESSAGES, model.info.name, rules, header))
        self._vision_info = None
        if VisionLabelInfo is not None:
            self._vision_info = self.create_publisher(VisionLabelInfo, "~/vision_info", LATCHED)
            self._vision_info.publish(vision_label_info(rules, header))
        self._reset_service = self.create_service(Trigger, "~/reset", self._on_reset)
        self._diagnostics = Diagnostics(self)
        self._diagnostics_timer = self.create_timer(1.0, self._diagnose)
        self._configured = True
        self.get_logger().info(
            f"model {model.info.name!r} on {self._pipeline.device} in {self._pipeline.precision}, "
            f"{len(model.info.classes)} classes, waiting for images on "
            + ", ".join(self.resolve_topic_name(s.image_topic) for s in self._streams.values())
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        for stream in self._streams.values():
            stream.counters = Counters()
        self._images, self._labels_queue = Mailbox(), LatestLabelsQueue()
        self._costmap.updates = 0
        self._stop.clear()
        self._segmenting = threading.Thread(
            target=self._segment_all, name="segmentation", daemon=True
        )
        self._mapping = threading.Thread(target=self._map_all, name="costmap", daemon=True)
        self._segmenting.start()
        self._mapping.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_work()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._configured = False
        for stream in self._streams.values():
            stream.destroy(self)
        self._streams.clear()
        self._costmap.destroy()
        self._transforms.close()
        self._diagnostics.destroy()
        self.destroy_publisher(self._label_info)
        if self._vision_info is not None:
            self.destroy_publisher(self._vision_info)
        self.destroy_service(self._reset_service)
        self.destroy_timer(self._diagnostics_timer)
        del self._model, self._pipeline, self._transforms
        gc.collect()  # a stream's functions refer to it: it would keep the model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_work()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        self._stop_work()
        super().destroy_node()

    def _stop_work(self) -> None:
        self._stop.set()
        if self._segmenting is not None and self._mapping is not None:
            self._segmenting.join()
            self._mapping.join()
            self._segmenting = self._mapping = None

    def _load_model(self, parameters: NodeParameters) -> BundledSegmenter:
        model = load_bundle(parameters.model, parameters.device)
        if not model.architecture.causal:
            raise BundleError(
                f"model {parameters.model!r} is centred: it needs a frame of the future; "
                "use a causal bundle on a vehicle, and this one with `stmem evaluate`"
            )
        if parameters.memory_bank:
            swap_memory(model, load_memory(Path(parameters.memory_bank), model))
        return model

    @staticmethod
    def _load_rules(parameters: NodeParameters, model: BundledSegmenter) -> CostRules:
        if parameters.cost_rules:
            return load_rules(Path(parameters.cost_rules), model.info.classes)
        return default_rules(model.info.classes)

    def _make_pipeline(
        self, parameters: NodeParameters, model: BundledSegmenter, rules: CostRules
    ) -> Pipeline:
        config = pipeline_config(parameters)
        self._transforms = listen_to_transforms(self)
        with warnings.catch_warnings(record=True) as caught:
            try:
                pipeline = in_own_thread(lambda: Pipeline(model, rules, config, self._transforms))
            except BaseException:
                self._transforms.close()
                raise
        for warning in caught:
            self.get_logger().warning(str(warning.message))
        return pipeline

    # Callbacks: none of them works on images

    def _on_image(self, camera: str, arrival: Arrival) -> None:
        if self._segmenting is not None:
            self._images.put(camera, arrival)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._pipeline.reset()
        response.success = True
        response.message = "ring and grid are empty"
        return response

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        reason = check_change(parameters, self._configured)
        for parameter in parameters:
            if not reason and parameter.name == "memory_bank" and self._configured:
                folder = bundle_folder(self._settings.model)
                path = Path(parameter.value) if parameter.value else folder / "memory.safetensors"
                try:
                    self._pipeline.swap_memory(load_memory(path, self._model))
                    self.get_logger().info(f"memory bank {path} is used from the next image on")
                except BundleError as error:
                    reason = str(error)
        return SetParametersResult(successful=not reason, reason=reason)

    # The thread that labels

    def _segment_all(self) -> None:
        while not self._stop.is_set():
            arrivals = self._images.take(timeout=0.1)
            try:
                self._segment(arrivals)
            except Exception as error:  # a bad frame must not end the node
                if not self.context.ok():
                    return
                for camera in arrivals:
                    self._refuse(self._streams[camera], f"{type(error).__name__}: {error}")

    def _segment(self, arrivals: dict[str, Arrival]) -> None:
        """Label the images of all cameras that wait, together."""
        taken = time.perf_counter()
        frames = [
            frame
            for camera, arrival in arrivals.items()
            if (frame := self._frame(self._streams[camera], arrival, taken)) is not None
        ]
        result = self._pipeline.label(frames)
        for refused in result.refused:
            self._refuse(refused.frame.source.stream, refused.text)
        for labelled in result.labelled:
            self._publish(labelled)

    def _frame(self, stream: CameraStream, arrival: Arrival, taken: float) -> CameraFrame | None:
        """The image as a frame of the pipeline, None (and counted) if it cannot be decoded."""
        started = time.perf_counter()
        try:
            rgb = to_rgb(arrival.image)
        except ImageError as error:
            self._refuse(stream, str(error))
            return None
        header = arrival.image.header
        return CameraFrame(
            camera=stream.name,
            rgb=rgb,
            stamp=nanoseconds(header.stamp),
            frame_id=header.frame_id,
            source=TakenImage(stream, arrival, taken, time.perf_counter() - started),
        )

    def _publish(self, labelled: LabelledFrame) -> None:
        """Publish the labels, and hand them over to the costmap."""
        started = time.perf_counter()
        source: TakenImage = labelled.frame.source
        stream, header = source.stream, source.arrival.image.header
        if labelled.restart is not None:
            self.get_logger().warning(f"ring emptied: {labelled.restart.text}")
            stream.counters.late += labelled.restart.kind is RestartKind.TIME_WENT_BACK
        stream.counters.labelled += 1
        stream.publish_labels(labelled, header, self._model)
        now = self.get_clock().now().nanoseconds
        statistics = FrameStatistics(
            header=header,
            **dataclasses.asdict(labelled.timings),
            convert=source.convert,
            publish=time.perf_counter() - started,
            latency=(now - labelled.frame.stamp) / 1e9,
            ring_length=labelled.window,
            ring_capacity=self._pipeline.window,
            frames_dropped=self._images.dropped(stream.name),
            frames_late=stream.counters.late,
            frames_invalid=stream.counters.invalid,
            device=str(self._pipeline.device),
            device_memory=_device_memory(self._pipeline.device),
        )
        published = PublishedLabels(stream, statistics, source.taken)
        self._labels_queue.put(stream.name, published, labelled)

    # The thread that fuses labels into the costmap

    def _map_all(self) -> None:
        assert self._segmenting is not None
        while True:
            last = not self._segmenting.is_alive()
            taken = self._labels_queue.take(timeout=0.1)
            if taken is None:
                if last:
                    return
                continue
            published, labelled = taken
            try:
                self._map(published, labelled)
            except Exception as error:  # bad labels must not end the node
                if not self.context.ok():
                    return
                reason = f"{type(error).__name__}: {error}"
                self._costmap.fail(published.stream, reason)
                self._refuse(published.stream, reason)

    def _map(self, published: PublishedLabels, labelled: LabelledFrame | None) -> None:
        """Fuse labels that are still wanted, and publish the statistics of their frame."""
        started = time.perf_counter()
        stream, statistics = published.stream, published.statistics
        try:
            # While the node stops nothing takes in the transforms that labels may wait for.
            if labelled is not None and not self._stop.is_set():
                depth = labelled.frame.source.arrival.depth
                result = self._pipeline.fuse(labelled, stream.info, depth)
                if result is not None:
                    self._costmap.publish(stream, labelled, result)
                    statistics.costmap = time.perf_counter() - started
        finally:
            statistics.total = time.perf_counter() - published.taken
            stream.statistics.publish(statistics)

    def _refuse(self, stream: CameraStream, reason: str) -> None:
        """Count a frame that cannot be used; each reason is logged once."""
        stream.counters.invalid += 1
        stream.counters.last_error = reason
        if reason not in self._logged_reasons:
            self._logged_reasons.add(reason)
            self.get_logger().error(f"image on {stream.image_topic} not used: {reason}")

    # Diagnostics

    def _diagnose(self) -> None:
        for stream in self._streams.values():
            topic = self.resolve_topic_name(stream.image_topic)
            if (loss := stream.loss(topic)) and "loss" not in self._logged_reasons:
                self._logged_reasons.add("loss")
                self.get_logger().warning(loss)
            dropped = self._images.dropped(stream.name)
            self._diagnostics.add_input(stream, topic, dropped)
        device = self._pipeline.device
        self._diagnostics.add_model(self._model.info.name, device, _device_memory(device))
        skipped = sum(self._labels_queue.replaced(name) for name in self._streams)
        self._diagnostics.add_costmap(self._costmap, skipped)
        self._diagnostics.publish()


def _device_memory(device: torch.device) -> int:
    """Bytes held on a GPU, 0 on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
