"""What cameras a live ROS graph has, and which of them the node would be given."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions

from stmem_ros.io.bag_topics import (
    describe,
    find_image_topic,
    find_info_topic,
    is_rectified,
)
from stmem_ros.io.bags import CAMERA_INFO, COMPRESSED, RAW, BagError, ImageForm, Topic
from stmem_ros.node.ros_messages import message_type

DISCOVERY = 4.0  # s that DDS has to find who publishes
KINDS = (RAW, COMPRESSED, CAMERA_INFO)


@dataclass(frozen=True)
class CameraGraph:
    """The topics of a graph that a node may be given.

    Attributes:
        topics: with images and calibrations, as they were heard.
        image, info: those that would be taken; None where none, or several, could be.
        problem: why no image topic is taken, one line; empty if one is.
    """

    topics: tuple[Topic, ...]
    image: Topic | None
    info: Topic | None
    problem: str

    @property
    def lines(self) -> list[str]:
        """What is there, a line each."""
        return [
            describe(t) if t.type != CAMERA_INFO else f"{t.name} ({t.rate:.3g} Hz camera_info)"
            for t in self.topics
        ]

    @property
    def command(self) -> str:
        """The command that starts the node with what would be taken; empty without images."""
        if self.image is None:
            return ""
        name = self.image.name.removesuffix("/compressed")
        words = ["ros2 launch stmem_ros segmentation.launch.py", f"image:={name}"]
        if self.info is not None:
            words.append(f"camera_info:={self.info.name}")
        words.append(f"image_transport:={'compressed' if self.image.type == COMPRESSED else 'raw'}")
        words.append(f"rectified:={str(is_rectified(self.image)).lower()}")
        return " ".join(words)


def look_at_graph(seconds: float) -> CameraGraph:
    """Listen to all topics of images and calibrations for some seconds."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Node("stmem_doctor")
        heard = _listen(node, seconds)
    finally:
        rclpy.try_shutdown()
    return choose(tuple(sorted(heard, key=lambda topic: topic.name)))


def choose(topics: tuple[Topic, ...]) -> CameraGraph:
    """What would be taken of topics that were heard."""
    try:
        image = find_image_topic(topics)
    except BagError as error:
        return CameraGraph(topics, None, None, str(error).replace("the bag holds", "there are"))
    return CameraGraph(topics, image, find_info_topic(topics, image), "")


def _listen(node: Node, seconds: float) -> list[Topic]:
    heard: dict[str, Topic] = {}
    times: dict[str, list[float]] = {}

    def subscribe(name: str, kind: str) -> None:
        heard[name] = Topic(name, kind, 0)

        def take(message: Any) -> None:
            times.setdefault(name, []).append(time.monotonic())
            before = heard[name]
            image = before.image
            if image is None and kind != CAMERA_INFO:
                image = ImageForm.of(message)
            heard[name] = replace(before, count=before.count + 1, image=image)

        node.create_subscription(message_type(kind), name, take, qos_profile_sensor_data)

    end = time.monotonic() + DISCOVERY + seconds
    while time.monotonic() < end:
        for name, kinds in node.get_topic_names_and_types():
            if name not in heard and kinds[0] in KINDS and node.count_publishers(name):
                subscribe(name, kinds[0])
        rclpy.spin_once(node, timeout_sec=0.05)
    return [replace(topic, rate=_rate(times.get(topic.name, []))) for topic in heard.values()]


def _rate(times: list[float]) -> float:
    """Messages a second."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
