"""The demo's middle part: the real node as a process, a bag played to it, its outputs recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import OccupancyGrid
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from tqdm import tqdm

from stmem_ros.data.bags import COMPRESSED, BagReader, BagWriter, Record, Topic
from stmem_ros.msg import FrameStatistics, LabelInfo, SemanticGrid
from stmem_ros.node.environment import private_environment
from stmem_ros.node.player import BagPlayer
from stmem_ros.node.recorder import RecordedTopic, Recorder

NODE = "/segmentation_node"
START_TIMEOUT = 120.0  # s for the node to load its model
LABEL_TIMEOUT = 10.0  # s for one label, after which the next image is sent anyway


class DemoError(Exception):
    """The run could not be made; one line says why."""


@dataclass(frozen=True)
class DemoRun:
    """What a run was made of and what it measured.

    Attributes:
        output: the recorded bag.
        frames_in: images played.
        labels_out: labels received.
        dropped: images the node replaced by newer ones.
        latencies: seconds from sending an image to receiving its label.
        device: torch device of the node.
        log: what the node wrote.
    """

    output: Path
    frames_in: int
    labels_out: int
    dropped: int
    latencies: tuple[float, ...]
    device: str
    log: str


def run_demo(
    bag: BagReader,
    image: Topic,
    info: Topic | None,
    out: Path,
    model: str,
    device: str,
    rate: float | None,
) -> DemoRun:
    """Play ``bag`` to a node of its own and record what it publishes into ``out``/output.

    Args:
        image, info: topics of the camera in the bag.
        rate: speed, 1 is real time; None: real time, but no image is sent before the label of the
            one before has arrived, so that a slow machine labels every frame.

    Raises:
        DemoError: the node did not start, or ended during the run.
    """
    os.environ.update(private_environment(out / "log"))
    log_path = out / "node.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            _node_command(image, info, model, device), stdout=log, stderr=subprocess.STDOUT
        )
        rclpy.init()
        node = Node("stmem_demo", parameter_overrides=[Parameter("use_sim_time", value=True)])
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        spinner = threading.Thread(target=executor.spin, daemon=True)
        spinner.start()
        try:
            with BagWriter(out / "output") as writer:
                run = _Run(node, writer, image, log_path)
                _wait_until_active(node, process, log_path)
                player = BagPlayer(node, bag, None, {})
                run.play(player, process, rate, image.count)
        finally:
            _stop(process)
            executor.shutdown()
            rclpy.try_shutdown()
            spinner.join(timeout=5)
    text = log_path.read_text()
    if process.returncode != 0:
        raise DemoError(f"the node ended with code {process.returncode}: {_last_line(text)}")
    return DemoRun(
        output=out / "output",
        frames_in=len(run.sent),
        labels_out=len(run.latencies),
        dropped=run.dropped,
        latencies=tuple(run.latencies.values()),
        device=run.device,
        log=text,
    )


class _Run:
    """Recording of the outputs and pacing of the images by the labels that come back."""

    def __init__(self, node: Node, writer: BagWriter, image: Topic, log: Path) -> None:
        self.sent: dict[int, float] = {}  # stamp in ns: when it was sent
        self.latencies: dict[int, float] = {}
        self.dropped = 0
        self.device = "unknown"
        self._image = image
        self._log = log
        self._labelled = threading.Condition()
        topics = [
            RecordedTopic(f"{NODE}/label", Image),
            RecordedTopic(f"{NODE}/confidence", Image),
            RecordedTopic(f"{NODE}/label_info", LabelInfo, latched=True),
            RecordedTopic(f"{NODE}/costmap", OccupancyGrid, latched=True),
            RecordedTopic(f"{NODE}/grid", SemanticGrid, latched=True),
            RecordedTopic(f"{NODE}/statistics", FrameStatistics),
        ]
        self._recorder = Recorder(node, writer, topics, self._on_message)

    def play(
        self, player: BagPlayer, process: subprocess.Popen, rate: float | None, images: int
    ) -> None:
        with tqdm(total=images, desc="playing", unit="frame") as progress:

            def before(record: Record) -> None:
                if process.poll() is not None:
                    raise DemoError("the node ended during the run; see node.log")
                if record.topic == self._image.name:
                    if rate is None:
                        self._wait_for_label()
                    with self._labelled:
                        self.sent[_stamp(record.data)] = time.monotonic()
                    progress.update()

            player.play(rate or 1.0, before)
        self._wait_for_label()
        time.sleep(1.0)  # what the node publishes after the last label

    def _wait_for_label(self) -> None:
        with self._labelled:
            came = self._labelled.wait_for(
                lambda: not self.sent or next(reversed(self.sent)) in self.latencies, LABEL_TIMEOUT
            )
        if not came and not self.latencies:
            raise DemoError(
                f"no label {LABEL_TIMEOUT:.0f} s after the first image; the node's last words: "
                + _last_line(self._log.read_text())
            )

    def _on_message(self, topic: str, data: bytes) -> None:
        now = time.monotonic()
        if topic == f"{NODE}/label":
            stamp = _stamp(data)
            with self._labelled:
                if stamp in self.sent:
                    self.latencies.setdefault(stamp, now - self.sent[stamp])
                self._labelled.notify_all()
        elif topic == f"{NODE}/statistics":
            statistics = deserialize_message(data, FrameStatistics)
            self.dropped = statistics.frames_dropped
            self.device = statistics.device


def _stamp(data: bytes) -> int:
    """Stamp in ns of a serialised message that begins with a header (little-endian CDR)."""
    return int.from_bytes(data[4:8], "little") * 10**9 + int.from_bytes(data[8:12], "little")


def _node_command(image: Topic, info: Topic | None, model: str, device: str) -> list[str]:
    compressed = image.type == COMPRESSED
    listened = "image_raw/compressed" if compressed else "image_raw"
    parameters = {
        "use_sim_time": "true",
        "model": model,
        "device": device,
        "image_transport": "compressed" if compressed else "raw",
        "image_reliability": "reliable",
        "rectified": "true" if "rect" in image.name else "false",
    }
    command = [sys.executable, "-m", "stmem_ros.node.main", "--ros-args"]
    command += ["-r", f"{listened}:={image.name}"]
    if info is not None:
        command += ["-r", f"camera_info:={info.name}"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return command


def _wait_until_active(node: Node, process: subprocess.Popen, log: Path) -> None:
    client = node.create_client(GetState, f"{NODE}/get_state")
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"the node did not start: {_last_line(log.read_text())}")
        if not client.wait_for_service(timeout_sec=0.5):
            continue
        future = client.call_async(GetState.Request())
        answer_by = time.monotonic() + 2.0
        while not future.done() and time.monotonic() < answer_by:
            time.sleep(0.02)
        if future.done() and future.result().current_state.id == State.PRIMARY_STATE_ACTIVE:
            return
    raise DemoError(f"the node was not active after {START_TIMEOUT:.0f} s; see {log}")


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"
