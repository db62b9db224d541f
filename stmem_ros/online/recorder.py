"""Recording topics to a bag, as bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from stmem_ros.io.bags import BagError, BagWriter
from stmem_ros.io.output_topics import OutputTopic
from stmem_ros.node.ros_messages import message_type


class Recorder:
    """Writes every message of some topics to a bag.

    Args:
        node: subscribes; its executor must spin.
        bag: an open bag.
        topics: what to record.
        start: time in ns of what comes before the clock runs (latched messages).
        on_message: called with each message's topic and bytes, after it is written.
    """

    def __init__(
        self,
        node: Node,
        bag: BagWriter,
        topics: Iterable[OutputTopic],
        start: int,
        on_message: Callable[[str, bytes], None],
    ) -> None:
        self._node = node
        self._bag = bag
        self._start = start
        self._on_message = on_message
        self._lock = threading.Lock()
        self._open = True
        self._failure: BagError | None = None
        for topic in topics:
            self._subscribe(topic)

    def close(self) -> None:
        """Write nothing more; the bag may be closed after it."""
        with self._lock:
            self._open = False

    def check(self) -> None:
        """Tell whether all that came was written.

        Raises:
            BagError: a message could not be; nothing was recorded since.
        """
        if self._failure is not None:
            raise self._failure

    def _subscribe(self, topic: OutputTopic) -> None:
        durability = (
            DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE
        )

        def record(data: bytes) -> None:
            stamp = max(self._start, self._node.get_clock().now().nanoseconds)
            with self._lock:
                if not self._open:
                    return
                try:
                    self._bag.write_cdr(topic.name, topic.type, data, stamp, topic.latched)
                except BagError as error:  # an executor's thread would die of it
                    self._failure, self._open = error, False
            self._on_message(topic.name, data)

        profile = QoSProfile(depth=100, durability=durability)
        kind = message_type(topic.type)
        self._node.create_subscription(kind, topic.name, record, profile, raw=True)
