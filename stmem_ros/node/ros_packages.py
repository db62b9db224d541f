"""ROS packages that may be missing, and what stands in for them: the only place that chooses.

On a stock ROS 2, ``tf2_ros`` and ``cv_bridge`` are installed and used. ROS 2 from Python wheels has
neither: transforms then come from ``stmem_ros.costmap.transforms``, and images from the package's
own converter alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from stmem_ros.costmap.transforms import FramesNotConnectedError, TransformBuffer, TransformError
from stmem_ros.data.images import ImageError, decode_colour

if TYPE_CHECKING:
    from sensor_msgs.msg import Image

try:
    import tf2_ros
except ImportError:
    tf2_ros = None
try:
    import cv_bridge
except ImportError:
    cv_bridge = None
try:
    from vision_msgs.msg import LabelInfo as VisionLabelInfo
    from vision_msgs.msg import VisionClass
except ImportError:
    VisionLabelInfo = VisionClass = None

__all__ = [
    "Transforms", "VisionClass", "VisionLabelInfo", "image_to_rgb", "listen_to_transforms",
]  # fmt: skip


class Transforms(Protocol):
    """Where frames are at a time; see ``TransformBuffer.lookup``."""

    def lookup(self, target: str, source: str, stamp: int, timeout: float) -> np.ndarray: ...

    def time_went_back(self) -> None: ...

    def close(self) -> None: ...


def listen_to_transforms(node: Node) -> Transforms:
    """Follow ``/tf`` and ``/tf_static``."""
    return _InstalledTransforms(node) if tf2_ros is not None else _OwnTransforms(node)


def image_to_rgb(message: Image) -> np.ndarray:
    """An image message as RGB uint8 H x W x 3; cv_bridge helps with encodings that are not ours.

    Raises:
        ImageError: the image cannot be decoded.
    """
    try:
        return decode_colour(message)
    except ImageError:
        if cv_bridge is None:
            raise
    try:
        return cv_bridge.CvBridge().imgmsg_to_cv2(message, "rgb8")
    except (cv_bridge.CvBridgeError, ValueError) as error:
        raise ImageError(f"encoding {message.encoding!r}: {error}") from error


class _OwnTransforms(TransformBuffer):
    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", self._moving, 100),
            node.create_subscription(TFMessage, "/tf_static", self._static, latched),
        ]

    def time_went_back(self) -> None:
        """Nothing to do: a transform that goes back in time replaces what was later."""

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _moving(self, message: TFMessage) -> None:
        self.add_message(message, static=False)

    def _static(self, message: TFMessage) -> None:
        self.add_message(message, static=True)


class _InstalledTransforms:
    def __init__(self, node: Node) -> None:
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def time_went_back(self) -> None:
        self._buffer.clear()

    def close(self) -> None:
        self._listener.unregister()

    def lookup(self, target: str, source: str, stamp: int, timeout: float) -> np.ndarray:
        if not self._buffer.can_transform(target, source, Time()):
            raise FramesNotConnectedError(f"no transforms connect {source!r} to {target!r}")
        try:
            found = self._buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp), Duration(seconds=timeout)
            )
        except tf2_ros.TransformException as error:
            raise TransformError(str(error)) from error
        from pytransform3d.transformations import transform_from_pq

        p, q = found.transform.translation, found.transform.rotation
        return transform_from_pq(np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z]))
