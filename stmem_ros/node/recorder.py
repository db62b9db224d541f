"""Recording topics to a bag, as bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from stmem_ros.data.bags import BagWriter


@dataclass(frozen=True)
class RecordedTopic:
    """A topic to record: its name, message class, whether it is latched."""

    name: str
    kind: type
    latched: bool = False

    @property
    def type_name(self) -> str:
        """``pkg/msg/Name``."""
        package = self.kind.__module__.split(".")[0]
        return f"{package}/msg/{self.kind.__name__}"


class Recorder:
    """Writes every message of some topics to a bag.

    Args:
        node: subscribes; its executor must spin.
        bag: an open bag.
        topics: what to record.
        on_message: called with each message's topic and bytes, after it is written.
    """

    def __init__(
        self,
        node: Node,
        bag: BagWriter,
        topics: list[RecordedTopic],
        on_message: Callable[[str, bytes], None],
    ) -> None:
        self._node = node
        self._bag = bag
        self._on_message = on_message
        self._lock = threading.Lock()
        self._subscriptions = [self._subscribe(topic) for topic in topics]

    def _subscribe(self, topic: RecordedTopic) -> object:
        durability = (
            DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE
        )

        def record(data: bytes) -> None:
            stamp = self._node.get_clock().now().nanoseconds
            with self._lock:
                self._bag.write_cdr(topic.name, topic.type_name, data, stamp, topic.latched)
            self._on_message(topic.name, data)

        profile = QoSProfile(depth=100, durability=durability)
        return self._node.create_subscription(topic.kind, topic.name, record, profile, raw=True)
