"""What the node adds to the network: from an image that is sent to the label that comes back.

The node is a process of its own, images go to it over the middleware at a steady rate, and turns of
that alternate with turns of the bare core: the same images, at the same pace, pushed to a
``StreamingSegmenter`` of this process. Ratios of the two mean something on any machine.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tqdm import tqdm

from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, DriveFrame, drive
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.io.output_topics import NODE
from stmem_ros.model.bundle import load_bundle
from stmem_ros.msg import FrameStatistics
from stmem_ros.node.costmap_output import LATCHED
from stmem_ros.node.ros_messages import ROS_MESSAGES, scaled_camera_info
from stmem_ros.online.environment import private_environment
from stmem_ros.online.node_process import NodeProcess, NodeProcessError
from stmem_ros.stamps import nanoseconds
from stmem_ros.streaming.execution import Execution
from stmem_ros.streaming.segmenter import StageTimings, StreamingSegmenter

SCENE_FRAMES = 20  # driven forwards and backwards
CAMERA_FRAME = "camera_optical_frame"
TURN = 5.0  # s of images to the node, and of as many pushes
START_TIMEOUT = 120.0  # s for the node to load its model and label an image
GREETING = 0.2  # s between images until the first label comes back
WARM_UP = 10  # images that are not counted
LAST_TIMEOUT = 10.0  # s for the last label of a turn
STAGES = (*(f.name for f in fields(StageTimings)), "convert", "publish", "costmap", "total")


@dataclass(frozen=True)
class NodeTimes:
    """What ``stmem bench node`` reports.

    Attributes:
        push_ms: median of the bare ``StreamingSegmenter.push``.
        latency_p50_ms, latency_p95_ms, latency_p99_ms: from before an image is published to when
            its label has arrived.
        sent_hz, labelled_hz: images and labels a second.
        sent, labelled: images and labels.
        dropped: images that newer ones replaced in the node.
        lost: images that never reached the node, or labels that never came back.
        push_cpu_ms: CPU time of a push, of all cores.
        label_cpu_ms: CPU time of the node for each label: costmap and dropped images included.
        memory_start_mb, memory_end_mb: resident memory of the node after the first turn and the
            last.
        stages_ms: medians of the node's own statistics.
    """

    push_ms: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    sent_hz: float
    labelled_hz: float
    sent: int
    labelled: int
    dropped: int
    lost: int
    push_cpu_ms: float
    label_cpu_ms: float
    memory_start_mb: float
    memory_end_mb: float
    stages_ms: dict[str, float]


def bench_node(
    model: str,
    size: tuple[int, int],
    rate: float,
    seconds: float,
    device: str,
    execution: Execution,
) -> NodeTimes:
    """Measure a node with one camera and a costmap.

    Args:
        size: height and width of the images, pixels.
        rate: images a second.
        seconds: of images to the node, in all.

    Raises:
        BundleError, ValueError: no such model or device.
        NodeProcessError: the node did not start, or ended.
    """
    core = load_bundle(model, device)
    stream = StreamingSegmenter(core, 1e9, core.info.height, execution)
    frames = list(drive(make_scene("avenue", 3), SCENE_FRAMES))
    images = [cv2.resize(frame.view.rgb, size[::-1]) for frame in frames]
    parameters = {
        "model": model,
        "device": device,
        "precision": execution.precision,
        "compile": execution.compile,
        "cuda_graphs": execution.cuda_graphs,
    }
    with TemporaryDirectory() as folder:
        os.environ.update(private_environment(Path(folder)))
        with NodeProcess(parameters, {}, Path(folder) / "node.log") as process:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            camera = _Camera(frames, images, rate)
            executor = SingleThreadedExecutor()
            executor.add_node(camera.node)
            spinner = threading.Thread(target=executor.spin, daemon=True)
            spinner.start()
            try:
                return _measure(process, camera, stream, images, rate, seconds)
            finally:
                executor.shutdown()
                rclpy.try_shutdown()
                spinner.join(timeout=5)


def _measure(
    process: NodeProcess,
    camera: _Camera,
    stream: StreamingSegmenter,
    images: list[np.ndarray],
    rate: float,
    seconds: float,
) -> NodeTimes:
    camera.connect(process)
    turns = max(1, round(seconds / TURN))
    count = max(1, round(seconds / turns * rate))
    pushes: list[float] = []
    streamed = busy = pushing = 0.0
    memory: list[float] = []
    for turn in tqdm(range(turns), desc="measuring", unit="turn"):
        used = time.process_time()
        pushes += _push_turn(stream, images, rate, count, turn * count)
        pushing += time.process_time() - used
        process.check_alive()
        began, used = time.monotonic(), process.cpu_seconds()
        camera.play(count)
        streamed += time.monotonic() - began
        busy += process.cpu_seconds() - used
        memory.append(process.memory_mb())
    latencies = 1e3 * np.array(camera.latencies())
    if not len(latencies):
        raise NodeProcessError(f"no label came back; the node's last words: {process.last_line()}")
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99))
    sent = turns * count
    return NodeTimes(
        push_ms=1e3 * float(np.median(pushes)),
        latency_p50_ms=float(p50),
        latency_p95_ms=float(p95),
        latency_p99_ms=float(p99),
        sent_hz=sent / streamed,
        labelled_hz=len(latencies) / streamed,
        sent=sent,
        labelled=len(latencies),
        dropped=camera.dropped,
        lost=sent - len(latencies) - camera.dropped,
        push_cpu_ms=1e3 * pushing / len(pushes),
        label_cpu_ms=1e3 * busy / len(latencies),
        memory_start_mb=memory[0],
        memory_end_mb=memory[-1],
        stages_ms=camera.stages_ms(),
    )


def _push_turn(
    stream: StreamingSegmenter, images: list[np.ndarray], rate: float, count: int, first: int
) -> list[float]:
    """Seconds of ``count`` pushes at ``rate``; fewer where that is more than the core can do."""
    times: list[float] = []
    began = time.monotonic()
    for i in range(count):
        if times and time.monotonic() - began > count / rate:
            break
        time.sleep(max(0.0, began + i / rate - time.monotonic()))
        start = time.perf_counter()
        stream.push(images[_shown(first + i)], (first + i) / rate)
        times.append(time.perf_counter() - start)
    return times


def _shown(i: int) -> int:
    """The frame of the scene that image ``i`` shows: forwards, then backwards."""
    i %= 2 * SCENE_FRAMES - 2
    return min(i, 2 * SCENE_FRAMES - 2 - i)


class _Camera:
    """Sends images, camera_info and transforms; notes when labels come back."""

    def __init__(self, frames: list[DriveFrame], images: list[np.ndarray], rate: float) -> None:
        self.node = Node("stmem_bench")
        self._frames = frames
        self._rate = rate
        self._number = 0  # of the next image
        self._sent: dict[int, float] = {}  # stamp in ns: when it was sent
        self._labelled: dict[int, float] = {}  # stamp in ns: seconds until its label came
        self._statistics: dict[int, FrameStatistics] = {}
        self._dropped_before = 0
        self._changed = threading.Condition()
        header = Header(frame_id=CAMERA_FRAME)
        self._images = [ROS_MESSAGES.image(image, header) for image in images]
        info = ROS_MESSAGES.camera_info(CAMERA, header)
        height, width = images[0].shape[:2]
        self._info = scaled_camera_info(info, width, height, header)
        self._image = self.node.create_publisher(Image, "/image_raw", 1)
        self._camera_info = self.node.create_publisher(CameraInfo, "/camera_info", 1)
        self._odometry = self.node.create_publisher(TFMessage, "/tf", 10)
        self._mounting = self.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        base = ROS_MESSAGES.header(0, "base_footprint")
        pose = MOUNTING.base_from_camera()
        self._mounting.publish(ROS_MESSAGES.transform(pose, CAMERA_FRAME, base))
        newest = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.node.create_subscription(Image, f"{NODE}/label", self._on_label, newest)
        self.node.create_subscription(
            FrameStatistics, f"{NODE}/statistics", self._on_statistics, 10
        )

    def connect(self, process: NodeProcess) -> None:
        """Send images until labels come back, and forget about them.

        Raises:
            NodeProcessError: none came, or the node ended.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while not (self._labelled and self._statistics):
            process.check_alive()
            if time.monotonic() > deadline:
                raise NodeProcessError(
                    f"no label {START_TIMEOUT:.0f} s after the node was started; its last words: "
                    + process.last_line()
                )
            self._send()
            time.sleep(GREETING)
        self.play(WARM_UP)
        with self._changed:
            self._dropped_before = self._dropped()
            self._labelled.clear()
            self._statistics.clear()

    def play(self, count: int) -> None:
        """Send images at the rate, and wait until the node is done with the last of them."""
        began = time.monotonic()
        stamp = 0
        for i in range(count):
            time.sleep(max(0.0, began + i / self._rate - time.monotonic()))
            stamp = self._send()
        with self._changed:
            self._changed.wait_for(
                lambda: stamp in self._labelled and stamp in self._statistics, LAST_TIMEOUT
            )

    @property
    def dropped(self) -> int:
        """Images that newer ones replaced in the node."""
        with self._changed:
            return self._dropped() - self._dropped_before

    def latencies(self) -> list[float]:
        """Seconds from each image that was sent to its label."""
        with self._changed:
            return list(self._labelled.values())

    def stages_ms(self) -> dict[str, float]:
        """Medians of the node's statistics; of the costmap where labels were fused."""
        with self._changed:
            values = {s: [getattr(f, s) for f in self._statistics.values()] for s in STAGES}
        values["costmap"] = [seconds for seconds in values["costmap"] if seconds > 0] or [0.0]
        return {stage: 1e3 * float(np.median(seconds)) for stage, seconds in values.items()}

    def _send(self) -> int:
        """Send the next image; its stamp, ns."""
        number = self._number
        self._number += 1
        stamp = round(1e9 * (1 + number / self._rate))
        pose = self._frames[_shown(number)].world_from_base
        odom = ROS_MESSAGES.header(stamp, "odom")
        self._odometry.publish(ROS_MESSAGES.transform(pose, "base_footprint", odom))
        self._info.header.stamp = ROS_MESSAGES.time(stamp)
        self._camera_info.publish(self._info)
        image = self._images[_shown(number)]
        image.header.stamp = ROS_MESSAGES.time(stamp)
        with self._changed:
            self._sent[stamp] = time.monotonic()
        self._image.publish(image)
        return stamp

    def _on_label(self, label: Image) -> None:
        now = time.monotonic()
        with self._changed:
            stamp = nanoseconds(label.header.stamp)
            if stamp in self._sent:
                self._labelled[stamp] = now - self._sent.pop(stamp)
            self._changed.notify_all()

    def _on_statistics(self, statistics: FrameStatistics) -> None:
        with self._changed:
            self._statistics[nanoseconds(statistics.header.stamp)] = statistics
            self._changed.notify_all()

    def _dropped(self) -> int:
        return max((s.frames_dropped for s in self._statistics.values()), default=0)
