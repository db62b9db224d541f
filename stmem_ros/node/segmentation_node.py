"""The lifecycle node: images in, labels and costmaps out."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from stmem_ros.costmap.rules import CostRules, default_rules, load_rules
from stmem_ros.data.images import ImageError
from stmem_ros.evaluation.overlay import overlay
from stmem_ros.model.bundle import (
    BundledSegmenter,
    BundleError,
    bundle_folder,
    load_bundle,
    load_memory,
)
from stmem_ros.model.memory import MemoryBank
from stmem_ros.msg import FrameStatistics, LabelInfo
from stmem_ros.node import conversions
from stmem_ros.node.camera_stream import Arrival, CameraStream, Counters
from stmem_ros.node.costmap_output import LATCHED, CostmapOutput
from stmem_ros.node.diagnostics import Diagnostics
from stmem_ros.node.mailbox import Mailbox
from stmem_ros.node.parameters import (
    NodeParameters,
    check_change,
    declare_parameters,
    read_parameters,
)
from stmem_ros.node.ros_packages import VisionLabelInfo, listen_to_transforms
from stmem_ros.streaming.segmenter import Segmentation, StreamingSegmenter

SILENCE = 2.0  # seconds without an image that diagnostics warn about


class SegmentationNode(LifecycleNode):
    """Segments the images of its cameras and keeps the semantic grid.

    Subscription callbacks only leave the newest image in a mailbox; one worker thread does the work
    and publishes. Topics, parameters and services: docs/node.md.
    """

    def __init__(self, **options: object) -> None:
        super().__init__("segmentation_node", **options)
        declare_parameters(self)
        self._configured = False
        self._failed = False
        self._streams: dict[str, CameraStream] = {}
        self._new_bank: MemoryBank | None = None
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._work_lock = threading.Lock()  # held while a frame is worked on
        self._said: set[str] = set()
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
            p = self._settings = read_parameters(self)
            model = self._model = self._load_model(p)
            rules = self._rules = self._load_rules(p, model)
        except (ValueError, FileNotFoundError) as error:
            self.get_logger().fatal(str(error))
            return TransitionCallbackReturn.FAILURE
        height = {0: model.info.height, -1: None}.get(p.inference_height, p.inference_height)
        self._mailbox: Mailbox[Arrival] = Mailbox()
        for name in p.cameras:
            segmenter = StreamingSegmenter(model, p.max_gap, height)
            self._streams[name] = CameraStream(self, name, p, segmenter, self._on_image)
        self._transforms = listen_to_transforms(self)
        self._costmap = CostmapOutput(self, p, rules, self._transforms)
        self._label_info = self.create_publisher(LabelInfo, "~/label_info", LATCHED)
        header = Header(stamp=self.get_clock().now().to_msg())
        self._label_info.publish(conversions.label_info(model.info.name, rules, header))
        self._vision_info = None
        if VisionLabelInfo is not None:
            self._vision_info = self.create_publisher(VisionLabelInfo, "~/vision_info", LATCHED)
            self._vision_info.publish(conversions.vision_label_info(rules, header))
        self._reset_service = self.create_service(Trigger, "~/reset", self._on_reset)
        self._diagnostics = Diagnostics(self)
        self._diagnostics_timer = self.create_timer(1.0, self._diagnose)
        self._configured = True
        self.get_logger().info(
            f"model {model.info.name!r} on {next(model.parameters()).device}, "
            f"{len(model.info.classes)} classes, waiting for images on "
            + ", ".join(self.resolve_topic_name(s.image_topic) for s in self._streams.values())
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        for stream in self._streams.values():
            stream.counters = Counters()
        self._stop.clear()
        self._worker = threading.Thread(target=self._work, name="segmentation", daemon=True)
        self._worker.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_worker()
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
        del self._model, self._transforms
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_worker()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        self._stop_worker()
        super().destroy_node()

    def _stop_worker(self) -> None:
        self._stop.set()
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    @staticmethod
    def _load_model(p: NodeParameters) -> BundledSegmenter:
        model = load_bundle(p.model, p.device)
        if not model.architecture.causal:
            raise BundleError(
                f"model {p.model!r} is centred: it needs a frame of the future; "
                "use a causal bundle on a vehicle, and this one with `stmem evaluate`"
            )
        if p.memory_bank:
            bank = load_memory(Path(p.memory_bank), model)
            StreamingSegmenter(model).swap_memory(bank)
        return model

    @staticmethod
    def _load_rules(p: NodeParameters, model: BundledSegmenter) -> CostRules:
        if p.cost_rules:
            return load_rules(Path(p.cost_rules), model.info.classes)
        return default_rules(model.info.classes)

    # Callbacks: none of them works on images

    def _on_image(self, camera: str, arrival: Arrival) -> None:
        if self._worker is not None:
            self._mailbox.put(camera, arrival)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._work_lock:
            for stream in self._streams.values():
                stream.segmenter.reset()
            self._costmap.reset()
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
                    self._new_bank = load_memory(path, self._model)
                except BundleError as error:
                    reason = str(error)
        return SetParametersResult(successful=not reason, reason=reason)

    # The worker

    def _work(self) -> None:
        while not self._stop.is_set():
            for camera, arrival in self._mailbox.take(timeout=0.1).items():
                with self._work_lock:
                    try:
                        self._process(self._streams[camera], arrival)
                    except Exception as error:  # a bad frame must not end the node
                        self._refuse(self._streams[camera], f"{type(error).__name__}: {error}")

    def _process(self, stream: CameraStream, arrival: Arrival) -> None:
        start = time.perf_counter()
        message = arrival.image
        if self._new_bank is not None:
            stream.segmenter.swap_memory(self._new_bank)
            self._new_bank = None
            self.get_logger().info("memory bank replaced")
        try:
            rgb = conversions.to_rgb(message)
            converted = time.perf_counter()
            stamp = conversions.nanoseconds(message.header.stamp)
            segmentation = stream.segmenter.push(rgb, stamp / 1e9)
        except (ImageError, ValueError) as error:
            self._refuse(stream, str(error))
            return
        if segmentation.restarted:
            self.get_logger().warning(f"ring emptied: {segmentation.restarted}")
            if segmentation.restarted.startswith("time went back"):
                stream.counters.late += 1
                self._costmap.reset()
                self._transforms.time_went_back()
        stream.counters.labelled += 1

        labelled = time.perf_counter()
        self._publish_label(stream, message.header, rgb, segmentation)
        latency = (self.get_clock().now().nanoseconds - stamp) / 1e9
        published = time.perf_counter()
        self._costmap.update(stream, message.header, segmentation, arrival.depth)
        end = time.perf_counter()
        statistics = FrameStatistics(
            header=message.header,
            **dataclasses.asdict(segmentation.timings),
            convert=converted - start,
            costmap=end - published,
            publish=published - labelled,
            total=end - start,
            latency=latency,
            ring_length=len(stream.segmenter.ring),
            ring_capacity=stream.segmenter.ring.capacity,
            frames_dropped=self._mailbox.dropped(stream.name),
            frames_late=stream.counters.late,
            frames_invalid=stream.counters.invalid,
            device=str(stream.segmenter.device),
            device_memory=_device_memory(stream.segmenter.device),
        )
        stream.statistics.publish(statistics)

    def _publish_label(
        self,
        stream: CameraStream,
        header: Header,
        rgb: np.ndarray,
        segmentation: Segmentation,
    ) -> None:
        label, confidence = segmentation.label, segmentation.confidence
        if stream.label_camera_info is not None:
            stride = self._model.architecture.stride
            size = (math.ceil(label.shape[1] / stride), math.ceil(label.shape[0] / stride))
            label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
            confidence = cv2.resize(confidence, size, interpolation=cv2.INTER_NEAREST)
            if stream.info is not None:
                info = conversions.scaled_camera_info(stream.info, *size, header)
                stream.label_camera_info.publish(info)
        stream.label.publish(conversions.mono_image(label, header))
        if stream.confidence.get_subscription_count():
            stream.confidence.publish(conversions.mono_image(confidence, header))
        raw = stream.overlay.get_subscription_count()
        jpeg = stream.overlay_jpeg.get_subscription_count()
        if raw or jpeg:
            picture = overlay(rgb, segmentation.label, self._model.info.classes)
            if raw:
                stream.overlay.publish(conversions.rgb_image(picture, header))
            if jpeg:
                stream.overlay_jpeg.publish(conversions.jpeg_image(picture, header))

    def _refuse(self, stream: CameraStream, reason: str) -> None:
        """Count a frame that cannot be used; each reason is logged once."""
        stream.counters.invalid += 1
        stream.counters.last_error = reason
        if reason not in self._said:
            self._said.add(reason)
            self.get_logger().error(f"image on {stream.image_topic} not used: {reason}")

    # Diagnostics

    def _diagnose(self) -> None:
        for stream in self._streams.values():
            self._diagnose_input(stream)
        device = next(self._model.parameters()).device
        self._diagnostics.add(
            "Model",
            "",
            {"model": self._model.info.name, "device": device, "memory": _device_memory(device)},
        )
        age = None if self._costmap.updated is None else time.monotonic() - self._costmap.updated
        self._diagnostics.add(
            "Costmap",
            self._costmap.problem,
            {"updates": self._costmap.updates, "age_s": "never" if age is None else f"{age:.2f}"},
        )
        self._diagnostics.publish()

    def _diagnose_input(self, stream: CameraStream) -> None:
        c = stream.counters
        now = time.monotonic()
        topic = self.resolve_topic_name(stream.image_topic)
        problem = ""
        if c.last_image is None:
            problem = f"no image yet on {topic}"
        elif now - c.last_image > SILENCE:
            problem = f"no image on {topic} for {now - c.last_image:.1f} s"
        elif c.last_error and c.invalid:
            problem = f"{c.invalid} images not used, last: {c.last_error}"
        if c.infos >= 20 and 2 * c.received < c.infos:
            loss = (
                f"{c.received} images but {c.infos} camera_info arrived on {topic}: images are "
                "lost on the way; use the shared-memory profile (docs/middleware.md) or "
                "image_reliability: reliable"
            )
            problem = problem or loss
            if "loss" not in self._said:
                self._said.add("loss")
                self.get_logger().warning(loss)
        self._diagnostics.add(
            f"Input {stream.name}".strip(),
            problem,
            {
                "received": c.received,
                "labelled": c.labelled,
                "dropped": self._mailbox.dropped(stream.name),
                "late": c.late,
                "invalid": c.invalid,
            },
        )


def _device_memory(device: torch.device) -> int:
    """Bytes held on a GPU, 0 on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
