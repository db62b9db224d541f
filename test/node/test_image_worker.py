"""What the node's threads make of failures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
import torch
from rclpy.node import Node
from support.ros import image_message

from stmem_ros.frames import LabelResult
from stmem_ros.health import CameraHealth, HealthLimits
from stmem_ros.io.encodings import BitDepth
from stmem_ros.node.camera_stream import Arrival
from stmem_ros.node.image_worker import FAILURES, ImageWorker
from stmem_ros.node.throttled_log import ThrottledLog
from stmem_ros.streaming.segmenter import NotFiniteError

IMAGE = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture
def node(ros_domain: None) -> Iterator[Node]:
    rclpy.init()
    made = Node("worker")
    yield made
    made.destroy_node()
    rclpy.try_shutdown()


def camera(name: str) -> SimpleNamespace:
    health = CameraHealth(HealthLimits(), 0.0)
    return SimpleNamespace(name=name, image_topic=name, health=health, bit_depth=BitDepth())


def worker_of(node: Node, label, *streams: SimpleNamespace) -> ImageWorker:
    """A worker whose pipeline labels by a function, and keeps no grid."""
    pipeline = SimpleNamespace(
        label=label,
        unwanted=lambda *image: "",
        epoch=0,
        expire_grid=lambda now: False,
        device=torch.device("cpu"),
    )
    log = ThrottledLog(node.get_logger().error)
    return ImageWorker(node, pipeline, {s.name: s for s in streams}, None, log, time.monotonic)


def wait(condition, what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("device-side assert triggered"),
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError("out of memory"),
        NotFiniteError("the network's values are not finite"),
        IndexError("index -9223372036854775808 is out of bounds"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_network_that_fails_again_and_again_is_broken(node: Node, failure: Exception) -> None:
    calls = []

    def label(frames: list) -> LabelResult:
        if frames:
            calls.append(frames)
            raise failure
        return LabelResult((), ())

    stream = camera("")
    worker = worker_of(node, label, stream)
    worker.start()
    for i in range(FAILURES):
        assert not worker.broken
        worker.put("", Arrival(image_message(IMAGE, 1.0 + i)))
        wait(lambda n=i: len(calls) > n, "the image to be worked on")
    wait(lambda: worker.broken, "the network to be taken for broken")
    assert str(failure) in worker.broken
    assert stream.health.invalid == FAILURES
    worker.stop()


def test_a_decoder_that_raises_costs_one_image(node: Node) -> None:
    seen = []

    def label(frames: list) -> LabelResult:
        seen.extend(frames)
        return LabelResult((), ())

    left, right = camera("left"), camera("right")
    worker = worker_of(node, label, left, right)
    damaged = image_message(IMAGE, 1.0)
    damaged.encoding, damaged.data = "no encoding", damaged.data[:7]
    worker.put("left", Arrival(image_message(IMAGE, 1.0)))
    worker.put("right", Arrival(damaged))
    worker.start()
    wait(lambda: right.health.invalid, "the damaged image to be refused")
    worker.stop()
    assert [frame.camera for frame in seen] == ["left"]
    assert left.health.invalid == 0
