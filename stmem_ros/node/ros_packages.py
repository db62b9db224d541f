"""ROS packages that may be missing, and what stands in for them: the only place that chooses.

On a stock ROS 2, ``tf2_ros``, ``cv_bridge`` and ``message_filters`` are installed and used. ROS 2
from Python wheels has none of them: transforms then come from ``stmem_ros.geometry.transforms``,
images from the package's own converter alone, and messages are paired here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rclpy.duration import Duration
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
from stmem_ros.io.images import ImageError, decode_colour
from stmem_ros.pipeline import DEPTH_SLOP
from stmem_ros.stamps import nanoseconds

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
    "Pairs",
    "Transforms",
    "VisionClass",
    "VisionLabelInfo",
    "bondpy",
    "image_to_rgb",
    "listen_to_transforms",
    "subscribe_pairs",
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


class Pairs(Protocol):
    """Subscriptions whose messages are handed over in pairs."""

    def close(self) -> None: ...


def subscribe_pairs(
    node: Node, topics: tuple[Topic, Topic], qos: QoSProfile, callback: Pair
) -> Pairs:
    """Call ``callback`` with messages of two topics whose stamps are close."""
    kind = _OwnPairs if message_filters is None else _FilteredPairs
    return kind(node, topics, qos, callback)


class _OwnPairs:
    def __init__(
        self, node: Node, topics: tuple[Topic, Topic], qos: QoSProfile, callback: Pair
    ) -> None:
        self._node, self._callback = node, callback
        self._waiting: tuple[deque[Any], deque[Any]] = (deque(maxlen=QUEUE), deque(maxlen=QUEUE))
        self._subscriptions = [
            node.create_subscription(kind, topic, partial(self._take, side), qos)
            for side, (kind, topic) in enumerate(topics)
        ]

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take(self, side: int, message: Any) -> None:
        own, others = self._waiting[side], self._waiting[1 - side]
        match = min(others, key=lambda other: _distance(message, other), default=None)
        if match is None or _distance(message, match) > DEPTH_SLOP:
            own.append(message)
            return
        for waiting in (own, others):  # what is older will find no partner any more
            while waiting and _stamp(waiting[0]) <= _stamp(match) + DEPTH_SLOP:
                waiting.popleft()
        self._callback(*((message, match) if side == 0 else (match, message)))


class _FilteredPairs:
    def __init__(
        self, node: Node, topics: tuple[Topic, Topic], qos: QoSProfile, callback: Pair
    ) -> None:
        self._node = node
        self._filters = [
            message_filters.Subscriber(node, kind, topic, qos_profile=qos) for kind, topic in topics
        ]
        self._pairs = message_filters.ApproximateTimeSynchronizer(
            self._filters, QUEUE, DEPTH_SLOP / 1e9
        )
        self._pairs.registerCallback(callback)

    def close(self) -> None:
        for subscriber in self._filters:
            self._node.destroy_subscription(subscriber.sub)


def _stamp(message: Any) -> int:
    return nanoseconds(message.header.stamp)


def _distance(a: Any, b: Any) -> int:
    """Between the stamps of two messages, ns."""
    return abs(_stamp(a) - _stamp(b))


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
