"""The lifecycle node: images in, labels and costmaps out."""

from __future__ import annotations

import functools
import gc
import math
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, JumpHandle, JumpThreshold, ROSClock, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from stmem_ros.costmap.messages import label_info
from stmem_ros.costmap.rules import CostRules, default_rules, load_rules
from stmem_ros.geometry.rays import ray_table
from stmem_ros.health import ClockHealth, Level, Status
from stmem_ros.model.bundle import (
    MEMORY,
    BundledSegmenter,
    BundleError,
    bundle_folder,
    load_bundle,
    load_memory,
)
from stmem_ros.msg import LabelInfo
from stmem_ros.node.camera_stream import Arrival, CameraStream
from stmem_ros.node.costmap_output import LATCHED, CostmapOutput
from stmem_ros.node.device_memory import DeviceMemory
from stmem_ros.node.diagnostics import Diagnostics
from stmem_ros.node.image_worker import ImageWorker
from stmem_ros.node.lifecycle_bond import LifecycleBond, check_bond_is_possible
from stmem_ros.node.own_thread import in_own_thread
from stmem_ros.node.parameters import check_change, declare_parameters, read_parameters
from stmem_ros.node.passed_time import PassedTime
from stmem_ros.node.pause_services import PauseServices
from stmem_ros.node.ros_messages import ROS_MESSAGES, vision_label_info
from stmem_ros.node.ros_packages import VisionLabelInfo, listen_to_transforms
from stmem_ros.node.throttled_log import Fault, ThrottledLog
from stmem_ros.parameters import NodeParameters, pipeline_config
from stmem_ros.pipeline import Pipeline
from stmem_ros.stamps import CLOCK_RESET, SECOND
from stmem_ros.streaming.execution import swap_memory
from stmem_ros.streaming.kernels.allocator import HeldMemory

Transition = Callable[..., TransitionCallbackReturn]
MACHINE_CLOCK = Clock(clock_type=ClockType.STEADY_TIME)  # runs on where a simulation stands still
NOT_ACTIVE = Status(Level.OK, "not active")
PAUSED = "paused"  # in place of what a status would find


def logged(result: TransitionCallbackReturn) -> Callable[[Transition], Transition]:
    """Transitions that log what they raise, which rclpy swallows; their ``result`` then."""

    def decorate(transition: Transition) -> Transition:
        @functools.wraps(transition)
        def call(node: SegmentationNode, state: LifecycleState) -> TransitionCallbackReturn:
            try:
                return transition(node, state)
            except (ValueError, FileNotFoundError) as error:  # of the user's making: one line
                node.get_logger().fatal(str(error))
            except Exception:
                node.get_logger().fatal(f"{transition.__name__}: {traceback.format_exc()}")
            return result

        return call

    return decorate


class SegmentationNode(LifecycleNode):
    """Segments the images of its cameras and keeps the semantic grid.

    It turns messages into frames of the pipeline, and what comes out of that into messages; all
    that is decided about them, the pipeline decides. Subscription callbacks only leave the newest
    image for the :class:`ImageWorker`.
    Topics, parameters and services: docs/node.md.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("segmentation_node", **options)
        declare_parameters(self)
        self._started = True  # so far
        self._is_broken = False
        self._now = PassedTime(self._simulated_time)
        self._streams: dict[str, CameraStream] = {}
        self._worker: ImageWorker | None = None
        self._bond: LifecycleBond | None = None
        self._resources = ExitStack()  # undoes what configure has made
        self._configured = False
        self.add_on_set_parameters_callback(self._on_set_parameters)
        if self.get_parameter("autostart").value:
            self._autostart_timer = self.create_timer(0.0, self._autostart)

    @property
    def failed(self) -> bool:
        """Whether it could not start by itself, or cannot work any more; the reason was logged."""
        worker = self._worker
        return not self._started or self._is_broken or (worker is not None and bool(worker.broken))

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        self._started = all(
            step() == TransitionCallbackReturn.SUCCESS
            for step in (self.trigger_configure, self.trigger_activate)
        )

    # Lifecycle

    @logged(TransitionCallbackReturn.FAILURE)
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._configure(read_parameters(self))
        except BaseException:
            self._release()
            raise
        return TransitionCallbackReturn.SUCCESS

    @logged(TransitionCallbackReturn.ERROR)
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        for stream in self._streams.values():
            stream.begin()
        self._costmap.begin()
        self._worker = ImageWorker(
            self, self._pipeline, self._streams, self._costmap, self._log, self._now
        )
        self._worker.start()
        if self._settings.bond:
            self._bond = LifecycleBond(self)
        return super().on_activate(state)

    @logged(TransitionCallbackReturn.ERROR)
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_work()
        if self._pipeline.expire_grid(math.inf):  # nothing will reach it
            self._costmap.take_back()
        return super().on_deactivate(state)

    @logged(TransitionCallbackReturn.ERROR)
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    @logged(TransitionCallbackReturn.ERROR)
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    @logged(TransitionCallbackReturn.ERROR)
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Whatever transition failed, the node is unconfigured after it, and holds nothing."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        if self._worker is not None and self._worker.broken:  # the last that is heard of it
            self._diagnose()
            self._diagnostics.wait_until_sent()
        # As soon as the bond is broken the manager asks the node to deactivate, and waits for ever
        # for the answer of one that ends but still has its services. When it has missed heartbeats
        # they are gone.
        bond, self._bond = self._bond, None
        if bond is not None:
            bond.fall_silent()
        self._stop_work()
        super().destroy_node()

    def _configure(self, parameters: NodeParameters) -> None:
        """Make all that works; what is made is undone by ``_release``, in the reverse order."""
        self._settings = parameters
        self._log = ThrottledLog(self.get_logger().error)
        self._clock_health = ClockHealth(parameters.health)
        if parameters.bond:
            check_bond_is_possible()
        undo = self._resources.callback
        self._model = in_own_thread(lambda: self._load_model(parameters))
        rules = self._load_rules(parameters)
        self._transforms = listen_to_transforms(self)
        undo(self._transforms.close)
        self._pipeline = self._make_pipeline(parameters, rules)
        for name in parameters.cameras:
            stream = CameraStream(self, name, parameters, self._model, self._on_image, self._now)
            undo(stream.destroy, self)
            self._streams[name] = stream
        self._costmap = CostmapOutput(self, parameters, rules, self._now)
        undo(self._costmap.destroy)
        self._publish_label_info(rules)
        undo(self._watch_clock().unregister)
        undo(self.destroy_service, self.create_service(Trigger, "~/reset", self._on_reset))
        undo(PauseServices(self, self._pipeline, parameters.cameras).destroy)
        self._diagnostics = Diagnostics(self)
        self._held_memory = HeldMemory()
        undo(self._diagnostics.destroy)
        undo(self.destroy_timer, self.create_timer(1.0, self._diagnose, clock=MACHINE_CLOCK))
        self._configured = True
        info = self._model.info
        self.get_logger().info(
            f"model {info.name!r} on {self._pipeline.device} in {self._pipeline.precision}, "
            f"{len(info.classes)} classes, waiting for images on "
            + ", ".join(self.resolve_topic_name(s.image_topic) for s in self._streams.values())
        )

    def _publish_label_info(self, rules: CostRules) -> None:
        header = Header(stamp=self.get_clock().now().to_msg())
        publisher = self.create_publisher(LabelInfo, "~/label_info", LATCHED)
        self._resources.callback(self.destroy_publisher, publisher)
        publisher.publish(label_info(ROS_MESSAGES, self._model.info.name, rules, header))
        if VisionLabelInfo is not None:
            publisher = self.create_publisher(VisionLabelInfo, "~/vision_info", LATCHED)
            self._resources.callback(self.destroy_publisher, publisher)
            publisher.publish(vision_label_info(rules, header))

    def _watch_clock(self) -> JumpHandle:
        """Hear of it when the ROS clock goes back: of simulations and bags that begin again."""
        back = Duration(nanoseconds=-CLOCK_RESET)
        threshold = JumpThreshold(min_forward=None, min_backward=back, on_clock_change=False)
        return self.get_clock().create_jump_callback(threshold, post_callback=self._on_clock_jump)

    def _release(self) -> None:
        """Undo what ``_configure`` has made, all or a part of it."""
        self._stop_work()
        self._configured = False
        self._resources.close()
        self._streams.clear()
        for name in ("_model", "_pipeline", "_costmap", "_transforms"):
            self.__dict__.pop(name, None)
        ray_table.cache_clear()
        gc.collect()  # a stream's functions refer to it: it would keep the model
        entities = self.default_callback_group.entities  # rclpy leaves dead references there
        entities -= {entity for entity in entities if entity() is None}
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _stop_work(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
            self._is_broken = bool(worker.broken)
        # Last: the manager asks the node to deactivate as soon as the bond is broken.
        bond, self._bond = self._bond, None
        if bond is not None:
            bond.destroy()

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

    def _load_rules(self, parameters: NodeParameters) -> CostRules:
        classes = self._model.info.classes
        if parameters.cost_rules:
            return load_rules(Path(parameters.cost_rules), classes)
        return default_rules(classes)

    def _make_pipeline(self, parameters: NodeParameters, rules: CostRules) -> Pipeline:
        config = pipeline_config(parameters)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pipeline = in_own_thread(lambda: Pipeline(self._model, rules, config, self._transforms))
        for warning in caught:
            self.get_logger().warning(str(warning.message))
        return pipeline

    # Callbacks: none of them works on images

    def _on_image(self, camera: str, arrival: Arrival) -> None:
        if self._worker is not None:
            self._worker.put(camera, arrival)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._pipeline.reset()
        self._costmap.begin_epoch(self._pipeline.epoch)
        response.success = True
        response.message = "ring and grid are empty"
        return response

    def _on_clock_jump(self, jump: TimeJump) -> None:
        back = -jump.delta.nanoseconds / 1e9
        self.get_logger().warning(f"the clock went back by {back:.3f} s: all is forgotten")
        self._pipeline.time_went_back()
        self._costmap.begin_epoch(self._pipeline.epoch)

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        reason = check_change(parameters, self._configured)
        for parameter in parameters:
            if not reason and parameter.name == "memory_bank" and self._configured:
                folder = bundle_folder(self._settings.model)
                path = Path(parameter.value) if parameter.value else folder / MEMORY
                try:
                    self._pipeline.swap_memory(load_memory(path, self._model))
                    self.get_logger().info(f"memory bank {path} is used from the next image on")
                except BundleError as error:
                    reason = str(error)
        return SetParametersResult(successful=not reason, reason=reason)

    # Diagnostics

    def _diagnose(self) -> None:
        now, worker, add = self._now(), self._worker, self._diagnostics.add
        problem = (worker.broken if worker else "") or self._pipeline.execution_problem
        for stream in self._streams.values():
            topic = self.resolve_topic_name(stream.image_topic) + stream.paired_with
            dropped = 0 if worker is None else worker.dropped(stream.name)
            status = stream.health.status(now, topic, {"dropped": dropped})
            if self._pipeline.is_paused(stream.name):
                status = Status(Level.OK, PAUSED, status.values)
                self._costmap.health.paused(stream.name, now)
            add(f"Input {stream.name}".strip(), status if worker else NOT_ACTIVE)
            if stream.health.lost:
                self._log(stream.name, Fault.LOSS, stream.health.lost)
        device = self._pipeline.device
        figures = {
            "model": self._model.info.name,
            "device": device,
            "memory": DeviceMemory(device)(),
        }
        add("Model", Status(Level.ERROR if problem else Level.OK, problem or "OK", figures))
        skipped = 0 if worker is None else worker.skipped
        status = self._costmap.health.status(now, {"skipped": skipped})
        if all(self._pipeline.is_paused(name) for name in self._streams):
            status = Status(Level.OK, PAUSED, status.values)
        add("Costmap", status if worker else NOT_ACTIVE)
        if (simulated := self._simulated_time()) is not None:
            add("Clock", self._clock_health.status(time.monotonic(), simulated))
        self._diagnostics.publish()
        self._held_memory.look()

    def _simulated_time(self) -> float | None:
        """Seconds of ``/clock``, 0 if it has not come yet; None without ``use_sim_time``."""
        clock = self.get_clock()
        is_simulated = isinstance(clock, ROSClock) and clock.ros_time_is_active
        return clock.now().nanoseconds / SECOND if is_simulated else None
