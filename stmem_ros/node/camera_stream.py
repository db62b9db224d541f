"""One camera of the node: its topics and its counters."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import cv2
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from stmem_ros.drawing import overlay
from stmem_ros.frames import LabelledFrame
from stmem_ros.io.images import encode_jpeg
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.msg import FrameStatistics
from stmem_ros.node.ros_messages import ROS_MESSAGES, scaled_camera_info
from stmem_ros.node.ros_packages import PairedSubscriptions
from stmem_ros.parameters import NodeParameters
from stmem_ros.pipeline import DEPTH_SLOP


@dataclass
class Counters:
    """What happened since activation."""

    received: int = 0
    infos: int = 0
    labelled: int = 0
    late: int = 0
    invalid: int = 0
    refused_reported: int = 0  # late and invalid, when diagnostics were last published
    last_error: str = ""
    last_image: float | None = None  # monotonic seconds

    @property
    def refused(self) -> int:
        """Images that got no labels."""
        return self.late + self.invalid


@dataclass(frozen=True)
class Arrival:
    """An image, and the depth image of the same moment where depth is used."""

    image: Image | CompressedImage
    depth: Image | None = None


class CameraStream:
    """Subscriptions, publishers and state of one camera.

    Args:
        node: the node.
        name: the camera's namespace, '' for the node's own.
        parameters: of the node.
        model: whose labels are published.
        on_image: called with each image that arrives; must return at once.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        parameters: NodeParameters,
        model: BundledSegmenter,
        on_image: Callable[[str, Arrival], None],
    ) -> None:
        self.name = name
        self.info: CameraInfo | None = None
        self.counters = Counters()
        self.loss_logged = False
        self._model = model
        self._on_image = on_image

        inputs, outputs = (f"{name}/", f"~/{name}/") if name else ("", "~/")
        raw = parameters.image_transport == "raw"
        self.image_topic = f"{inputs}image_raw" + ("" if raw else "/compressed")
        self.info_topic = f"{inputs}camera_info"
        reliability = ReliabilityPolicy[parameters.image_reliability.upper()]
        newest = QoSProfile(depth=1, reliability=reliability)
        image = (Image if raw else CompressedImage, self.image_topic)
        self._subscriptions = [
            node.create_subscription(
                CameraInfo, self.info_topic, self._camera_info, qos_profile_sensor_data
            )
        ]
        self._pairs: PairedSubscriptions | None = None
        self.paired_with = ""  # what an image needs beside it, for diagnostics
        if parameters.depth:
            depth = (Image, f"{inputs}depth")
            slop = f"{DEPTH_SLOP / 1e6:.0f} ms"
            self.paired_with = f" with a depth image of the same moment (to {slop}) on {depth[1]}"
            self._pairs = PairedSubscriptions(node, (image, depth), newest, self._arrived)
        else:
            self._subscriptions.append(node.create_subscription(*image, self._arrived, newest))
        self.label = node.create_publisher(Image, f"{outputs}label", 5)
        self.label_camera_info = (
            node.create_publisher(CameraInfo, f"{outputs}label/camera_info", 5)
            if parameters.label_size == "feature"
            else None
        )
        self.confidence = node.create_publisher(Image, f"{outputs}confidence", 5)
        self.overlay = node.create_publisher(Image, f"{outputs}overlay", 5)
        self.overlay_jpeg = node.create_publisher(
            CompressedImage, f"{outputs}overlay/compressed", 5
        )
        self.statistics = node.create_publisher(FrameStatistics, f"{outputs}statistics", 10)

    def destroy(self, node: Node) -> None:
        """Take the subscriptions and publishers away."""
        for subscription in self._subscriptions:
            node.destroy_subscription(subscription)
        if self._pairs is not None:
            self._pairs.close()
        for publisher in (
            self.label, self.label_camera_info, self.confidence, self.overlay, self.overlay_jpeg,
            self.statistics,
        ):  # fmt: skip
            if publisher is not None:
                node.destroy_publisher(publisher)

    def loss(self, topic: str) -> str:
        """That images are lost on their way; empty if they are not.

        A camera sends a camera_info with each image; pairs with depth may be fewer.
        """
        received, infos = self.counters.received, self.counters.infos
        if self.paired_with or infos < 20 or 2 * received >= infos:
            return ""
        return (
            f"{received} images but {infos} camera_info arrived on {topic}: images are lost on the "
            "way; use the shared-memory profile (docs/middleware.md) or image_reliability: reliable"
        )

    def publish_labels(self, labelled: LabelledFrame, header: Header) -> None:
        """Publish what somebody subscribes to; ``header``: of the image."""
        label, confidence = labelled.label, labelled.confidence
        if self.label_camera_info is not None:
            stride = self._model.architecture.stride
            size = (math.ceil(label.shape[1] / stride), math.ceil(label.shape[0] / stride))
            label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
            confidence = cv2.resize(confidence, size, interpolation=cv2.INTER_NEAREST_EXACT)
            if self.info is not None:
                with suppress(ValueError):  # the costmap's diagnostics name it
                    info = scaled_camera_info(self.info, *size, header)
                    self.label_camera_info.publish(info)
        if self.label.get_subscription_count():
            self.label.publish(ROS_MESSAGES.image(label, header))
        if self.confidence.get_subscription_count():
            self.confidence.publish(ROS_MESSAGES.image(confidence, header))
        raw = self.overlay.get_subscription_count()
        jpeg = self.overlay_jpeg.get_subscription_count()
        if raw or jpeg:
            picture = overlay(labelled.frame.rgb, labelled.label, self._model.info.classes)
            if raw:
                self.overlay.publish(ROS_MESSAGES.image(picture, header))
            if jpeg:
                data = encode_jpeg(picture)
                self.overlay_jpeg.publish(ROS_MESSAGES.compressed_image(data, "jpeg", header))

    def _arrived(self, image: Image | CompressedImage, depth: Image | None = None) -> None:
        self.counters.received += 1
        self.counters.last_image = time.monotonic()
        self._on_image(self.name, Arrival(image, depth))

    def _camera_info(self, message: CameraInfo) -> None:
        self.counters.infos += 1
        self.info = message
