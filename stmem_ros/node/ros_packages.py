"""ROS packages that may be missing, and what stands in for them: the only place that chooses.

On a stock ROS 2, ``tf2_ros``, ``cv_bridge`` and ``message_filters`` are installed and used. ROS 2
from Python wheels has none of them: transforms then come from ``stmem_ros.geometry.transforms``,
images from the package's own converter alone, and messages are paired here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from stmem_ros.geometry.transforms import (
    FramesNotConnectedError,
    TransformBuffer,
    TransformError,
    TransformSource,
)
from stmem_ros.io.encodings import ENCODINGS, BitDepth, ImageError
from stmem_ros.io.images import decode_colour
from stmem_ros.pipeline import DEPTH_SLOP
from stmem_ros.stamps import CLOCK_RESET, nanoseconds

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
    import message_filters
except ImportError:
    message_filters = None
try:
    from bondpy import bondpy
except ImportError:
    bondpy = None
try:
    from vision_msgs.msg import LabelInfo as VisionLabelInfo
    from vision_msgs.msg import VisionClass
except ImportError:
    VisionLabelInfo = VisionClass = None

__all__ = [
    "PairedSubscriptions",
    "Transforms",
    "VisionClass",
    "VisionLabelInfo",
    "bondpy",
    "image_to_rgb",
    "listen_to_transforms",
]

QUEUE = 10  # messages of each topic that wait for their partner
Topic = tuple[type, str]  # message type and name
Pair = Callable[[Any, Any], None]


class Transforms(TransformSource, Protocol):
    """A source of transforms that listens to ROS."""

    def close(self) -> None:
        """Listen no more."""


def listen_to_transforms(node: Node) -> Transforms:
    """Follow ``/tf`` and ``/tf_static``."""
    return _InstalledTransforms(node) if tf2_ros is not None else _OwnTransforms(node)


def image_to_rgb(message: Image, depth: BitDepth) -> np.ndarray:
    """An image message as RGB uint8 H x W x 3; cv_bridge helps with encodings that are not ours.

    ``depth``: of the camera.

    Raises:
        ImageError: the image cannot be decoded.
    """
    if cv_bridge is None or message.encoding in ENCODINGS:
        return decode_colour(message, depth)
    try:
        return cv_bridge.CvBridge().imgmsg_to_cv2(message, "rgb8")
    except Exception as error:  # it raises errors of many kinds, of damaged images too
        raise ImageError(
            f"encoding {message.encoding!r} is not supported; supported: "
            f"{', '.join(ENCODINGS)}; cv_bridge: {error}"
        ) from error


class PairedSubscriptions:
    """Subscriptions of two topics; ``callback`` gets their messages in pairs of close stamps.

    Where a topic's stamps go back by more than a second, time began anew: what waits for a partner
    is forgotten, as it would keep what comes from waiting.
    """

    def __init__(
        self, node: Node, topics: tuple[Topic, Topic], qos: QoSProfile, callback: Pair
    ) -> None:
        self._node, self._callback = node, callback
        self._begin()
        self._subscriptions = [
            node.create_subscription(kind, topic, partial(self._take, side), qos)
            for side, (kind, topic) in enumerate(topics)
        ]

    def close(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _begin(self) -> None:
        kind = OwnPairing if message_filters is None else InstalledPairing
        self._pairing: OwnPairing | InstalledPairing = kind(self._callback)
        self._newest: list[int | None] = [None, None]  # stamp of each topic, ns

    def _take(self, side: int, message: Any) -> None:
        stamp, newest = _stamp(message), self._newest[side]
        if newest is not None and newest - stamp > CLOCK_RESET:
            self._begin()
        self._newest[side] = max(stamp, self._newest[side] or stamp)
        self._pairing.add(side, message)


class OwnPairing:
    """Pairs messages as ``message_filters.ApproximateTimeSynchronizer`` does."""

    def __init__(self, callback: Pair) -> None:
        self._callback = callback
        self._waiting: tuple[dict[int, Any], dict[int, Any]] = ({}, {})  # by stamp

    def add(self, side: int, message: Any) -> None:
        """Take a message of the first (0) or second (1) topic."""
        own, others = self._waiting[side], self._waiting[1 - side]
        stamp = _stamp(message)
        own[stamp] = message
        while len(own) > QUEUE:
            del own[min(own)]
        match = min(others, key=lambda other: abs(other - stamp), default=None)
        if match is None or abs(match - stamp) > DEPTH_SLOP or stamp not in own:
            return
        del own[stamp]
        partner = others.pop(match)
        self._callback(*((message, partner) if side == 0 else (partner, message)))


class InstalledPairing:
    """The pairs of ``message_filters``."""

    def __init__(self, callback: Pair) -> None:
        self._inputs = (message_filters.SimpleFilter(), message_filters.SimpleFilter())
        slop = (DEPTH_SLOP + 2) / 1e9  # it pairs what is less than that apart
        self._pairs = message_filters.ApproximateTimeSynchronizer(self._inputs, QUEUE, slop)
        self._pairs.registerCallback(callback)

    def add(self, side: int, message: Any) -> None:
        """Take a message of the first (0) or second (1) topic."""
        self._inputs[side].signalMessage(message)


def _stamp(message: Any) -> int:
    return nanoseconds(message.header.stamp)


class _OwnTransforms(TransformBuffer):
    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", self._moving, 100),
            node.create_subscription(TFMessage, "/tf_static", self._static, latched),
        ]

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _moving(self, message: TFMessage) -> None:
        self.add_message(message, static=False)

    def _static(self, message: TFMessage) -> None:
        self.add_message(message, static=True)


class _InstalledTransforms:
    def __init__(self, node: Node) -> None:
        # Given the node, it would make a service and a callback of the clock that nothing ends.
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def time_went_back(self) -> None:
        self._buffer.clear()

    def close(self) -> None:
        self._listener.unregister()

    def lookup(self, target: str, source: str, stamp: int) -> np.ndarray:
        if not self._buffer.can_transform(target, source, Time()):
            raise FramesNotConnectedError(f"no transforms connect {source!r} to {target!r}")
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
        except tf2_ros.TransformException as error:
            raise TransformError(str(error)) from error
        from pytransform3d.transformations import transform_from_pq

        p, q = found.transform.translation, found.transform.rotation
        return transform_from_pq(np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z]))
