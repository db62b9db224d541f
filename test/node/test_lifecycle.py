"""The node's transitions, in this process: what they leave behind, and what of failures is told."""

from __future__ import annotations

import gc
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from support.forks import Fork
from support.ros import PATIENCE, image_message

from stmem_ros.node.segmentation_node import SegmentationNode
from stmem_ros.streaming.kernels.allocator import keep_freed_memory

SUCCESS = TransitionCallbackReturn.SUCCESS
PERIOD = 0.02  # s between two images
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


class Bench:
    """The node under test, one that sends to it, and an executor for both."""

    def __init__(self, bundle: Path) -> None:
        rclpy.init()
        overrides = {"model": str(bundle), "device": "cpu", "autostart": False}
        self.node = SegmentationNode(
            parameter_overrides=[Parameter(name, value=v) for name, v in overrides.items()]
        )
        self._peer = Node("sender")
        self._images = self._peer.create_publisher(Image, "image_raw", 5)
        self._infos = self._peer.create_publisher(CameraInfo, "camera_info", 5)
        self._executor = SingleThreadedExecutor()
        for node in (self.node, self._peer):
            self._executor.add_node(node)
        self._stamp = 100.0

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._peer.destroy_node()
        rclpy.try_shutdown()

    def set(self, name: str, value: object) -> None:
        (result,) = self.node.set_parameters([Parameter(name, value=value)])
        assert result.successful, result.reason

    def walk(self) -> None:
        """Configure, activate, some images, deactivate, clean up; all succeed."""
        assert self.node.trigger_configure() == SUCCESS
        assert self.node.trigger_activate() == SUCCESS
        self.label(3)
        assert self.node.trigger_deactivate() == SUCCESS
        assert self.node.trigger_cleanup() == SUCCESS

    def label(self, images: int) -> None:
        """Send images until so many are labelled."""
        (stream,) = self.node._streams.values()
        due = time.monotonic()
        end = due + PATIENCE
        while stream.health.labelled < images:
            now = time.monotonic()
            assert now < end, "images are not labelled"
            if now >= due:  # more often, and the network waits for this thread's GIL
                due = now + PERIOD
                self._stamp += 0.1
                self._infos.publish(CameraInfo(width=64, height=64))
                self._images.publish(image_message(IMAGE, self._stamp))
            self._executor.spin_once(timeout_sec=PERIOD)

    def entities(self) -> dict[str, int]:
        """What exists of the node, and the threads of the process."""
        node = self.node
        counts = {
            kind: len(list(getattr(node, kind)))
            for kind in ("publishers", "subscriptions", "services", "clients", "timers", "guards")
        }
        return counts | {
            "waitables": len(list(node.waitables)),
            "threads": threading.active_count(),
        }


@pytest.fixture
def bench(ros_domain: None, small_bundle: Path) -> Iterator[Bench]:
    made = Bench(small_bundle)
    yield made
    made.close()


def resident_memory_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def test_a_walk_leaves_nothing_behind(bench: Bench) -> None:
    before = bench.entities()
    for _ in range(3):
        bench.walk()
        assert bench.entities() == before


def walk_often() -> int:
    """A process of its own, with the node's allocator: many walks; what they leave is an error."""
    keep_freed_memory()
    bundle, walks = Path(sys.argv[1]), int(sys.argv[2])
    bench = Bench(bundle)
    before = bench.entities()
    for i in range(walks):
        bench.walk()
        assert bench.entities() == before
        if i == 9:
            settled = resident_memory_mb()
    assert resident_memory_mb() < 1.05 * settled, f"{settled} MB became {resident_memory_mb()}"
    bench.close()
    return 0


@pytest.mark.slow
def test_a_thousand_walks_leave_nothing_behind(
    ros_domain: None, small_bundle: Path, tmp_path: Path
) -> None:
    log = tmp_path / "walks.log"
    process = Fork(walk_often, ["walks", str(small_bundle), "1000"], log)
    try:
        assert process.exit_code(timeout=3600) == 0, process.text()[-2000:]
    finally:
        process.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "nonesuch"),  # fails at once
        ("cost_rules", "/nowhere.yaml"),  # after the model was loaded
        ("cameras", ["front", "x" * 300]),  # after the first camera has its topics
    ],
)
def test_a_configure_that_fails_leaves_nothing_behind_and_another_may_succeed(
    bench: Bench, name: str, value: object
) -> None:
    before = bench.entities()
    usual = bench.node.get_parameter(name).value
    bench.set(name, value)
    for _ in range(3):
        assert bench.node.trigger_configure() != SUCCESS
        assert bench.entities() == before
    bench.set(name, usual)
    bench.walk()
    assert bench.entities() == before


def test_an_activation_that_fails_ends_unconfigured_with_nothing_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.entities()
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "costmap":
            raise RuntimeError("can't start new thread")
        start(thread)

    assert bench.node.trigger_configure() == SUCCESS
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert bench.node.trigger_activate() != SUCCESS
    assert bench.entities() == before
    bench.walk()


@pytest.mark.parametrize("active", [False, True])
def test_shutdown_releases_model_and_topics(bench: Bench, active: bool) -> None:
    before = bench.entities()
    assert bench.node.trigger_configure() == SUCCESS
    if active:
        assert bench.node.trigger_activate() == SUCCESS
        bench.label(2)
    model = weakref.ref(bench.node._model)
    assert bench.node.trigger_shutdown() == SUCCESS
    assert bench.entities() == before
    gc.collect()
    assert model() is None


@pytest.mark.skipif(find_spec("bondpy") is None, reason="bondpy is not installed")
def test_bonds_leave_nothing_behind(bench: Bench) -> None:
    bench.set("bond", True)
    before = bench.entities()
    for _ in range(3):
        bench.walk()
        assert bench.entities() == before


def test_a_precision_is_warned_of_whatever_python_does_with_warnings(bench: Bench, capfd) -> None:
    bench.set("precision", "bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert bench.node.trigger_configure() == SUCCESS
    assert "bfloat16" in capfd.readouterr().err
