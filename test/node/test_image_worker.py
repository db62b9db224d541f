"""What the node's threads make of failures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from support.ros import image_message

from stmem_ros.frames import LabelResult
from stmem_ros.node.camera_stream import Arrival, Counters
from stmem_ros.node.image_worker import FAILURES, ImageWorker

IMAGE = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture
def node(ros_domain: None) -> Iterator[Node]:
    rclpy.init()
    made = Node("worker")
    yield made
    made.destroy_node()
    rclpy.try_shutdown()


def wait(condition, what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def test_a_network_that_fails_again_and_again_is_broken(node: Node) -> None:
    calls = []

    def label(frames: list) -> LabelResult:
        if frames:
            calls.append(frames)
            raise RuntimeError("device-side assert triggered")
        return LabelResult((), ())

    stream = SimpleNamespace(name="", image_topic="image_raw", counters=Counters())
    worker = ImageWorker(node, SimpleNamespace(label=label, epoch=0), {"": stream}, None)
    worker.start()
    for i in range(FAILURES):
        assert not worker.broken
        worker.put("", Arrival(image_message(IMAGE, 1.0 + i)))
        wait(lambda n=i: len(calls) > n, "the image to be worked on")
    wait(lambda: worker.broken, "the network to be taken for broken")
    assert "device-side assert" in worker.broken
    assert stream.counters.invalid == FAILURES
    worker.stop()


def test_a_decoder_that_raises_costs_one_image(node: Node) -> None:
    seen = []

    def label(frames: list) -> LabelResult:
        seen.extend(frames)
        return LabelResult((), ())

    streams = {
        name: SimpleNamespace(name=name, image_topic=name, counters=Counters())
        for name in ("left", "right")
    }
    worker = ImageWorker(node, SimpleNamespace(label=label, epoch=0), streams, None)
    damaged = image_message(IMAGE, 1.0)
    damaged.encoding, damaged.data = "no encoding", damaged.data[:7]
    worker.put("left", Arrival(image_message(IMAGE, 1.0)))
    worker.put("right", Arrival(damaged))
    worker.start()
    wait(lambda: streams["right"].counters.invalid, "the damaged image to be refused")
    worker.stop()
    assert [frame.camera for frame in seen] == ["left"]
    assert streams["left"].counters.invalid == 0
