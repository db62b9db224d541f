"""One camera of the node: its topics and its health."""

from __future__ import annotations

import math
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
from stmem_ros.health import CameraHealth
from stmem_ros.io.compressed_format import RGB_JPEG
from stmem_ros.io.encodings import BitDepth
from stmem_ros.io.fingerprint import fingerprint
from stmem_ros.io.images import encode_jpeg
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.msg import FrameStatistics
from stmem_ros.node.passed_time import PassedTime
from stmem_ros.node.ros_messages import ROS_MESSAGES, scaled_camera_info
from stmem_ros.node.ros_packages import PairedSubscriptions
from stmem_ros.parameters import NodeParameters
from stmem_ros.pipeline import DEPTH_SLOP
from stmem_ros.stamps import SECOND, nanoseconds


@dataclass(frozen=True)
class Arrival:
    """An image, and the depth image of the same moment where depth is used."""

    image: Image | CompressedImage
    depth: Image | CompressedImage | None = None


class CameraStream:
    """Subscriptions, publishers and state of one camera.

    Args:
        node: the node.
        name: the camera's namespace, '' for the node's own.
        parameters: of the node.
        model: whose labels are published.
        on_image: called with each image that arrives; must return at once.
        now: seconds that have passed, for the health.

    Attributes:
        info: the newest camera_info; None: none has come.
        health: since activation.
        bit_depth: of the images.
        paired_with: what an image needs beside it, for diagnostics.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        parameters: NodeParameters,
        model: BundledSegmenter,
        on_image: Callable[[str, Arrival], None],
        now: PassedTime,
    ) -> None:
        self.name = name
        self.info: CameraInfo | None = None
        self.bit_depth = BitDepth()
        # Not the model: the executor may keep the stream for a while after it was destroyed.
        self._stride, self._classes = model.architecture.stride, model.info.classes
        self._on_image = on_image
        self._now = now
        self._clock = node.get_clock()
        self._limits = parameters.health

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
        self.paired_with = ""
        if parameters.depth:
            packed = parameters.depth_transport == "compressedDepth"
            name = f"{inputs}depth" + ("/compressedDepth" if packed else "")
            depth = (CompressedImage if packed else Image, name)
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
        self.begin()

    def begin(self) -> None:
        """The node becomes active: nothing has come yet."""
        # Pairs with depth may be fewer than camera_info.
        self.health = CameraHealth(self._limits, self._now(), compares_infos=not self.paired_with)

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

    def published_size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the label images that are published of an image's."""
        stride = 1 if self.label_camera_info is None else self._stride
        return math.ceil(shape[0] / stride), math.ceil(shape[1] / stride)

    def publish_labels(self, labelled: LabelledFrame, header: Header) -> None:
        """Publish what somebody subscribes to; ``header``: of the image."""
        label, confidence = labelled.label, labelled.confidence
        if self.label_camera_info is not None:
            size = self.published_size(label.shape)[::-1]
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
            picture = overlay(labelled.frame.rgb, labelled.label, self._classes)
            if raw:
                self.overlay.publish(ROS_MESSAGES.image(picture, header))
            if jpeg:
                data = encode_jpeg(picture)
                self.overlay_jpeg.publish(ROS_MESSAGES.compressed_image(data, RGB_JPEG, header))

    def _arrived(
        self, image: Image | CompressedImage, depth: Image | CompressedImage | None = None
    ) -> None:
        clock = self._clock.now().nanoseconds / SECOND
        stamp = nanoseconds(image.header.stamp) / SECOND
        self.health.image_came(self._now(), clock, stamp, fingerprint(image.data))
        self._on_image(self.name, Arrival(image, depth))

    def _camera_info(self, message: CameraInfo) -> None:
        self.health.info_came()
        self.info = message
