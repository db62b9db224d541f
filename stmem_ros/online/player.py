"""Playing bags: messages at the pace of their recording, with ``/clock``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from stmem_ros.io.bags import BagError, BagReader, Record, Topic
from stmem_ros.node.ros_messages import ROS_MESSAGES, MessageTypeError, message_type

CLOCK = "/clock"
CLOCK_PERIOD = 0.02  # s between /clock messages while no message is to be published


class BagPlayer:
    """Publishes a bag's messages as they are (their bytes are not decoded), and ``/clock``.

    A clock that was recorded is not played beside it, unless under another name: two clocks are
    none.

    Args:
        node: publishes; its executor need not spin.
        bag: an open bag.
        topics: topics to play, None for all.
        remaps: new names of topics.

    Raises:
        BagError: a topic is not in the bag, or no message can be played.
    """

    def __init__(
        self, node: Node, bag: BagReader, topics: set[str] | None, remaps: dict[str, str]
    ) -> None:
        self._node = node
        self._bag = bag
        have = {t.name: t for t in bag.topics if t.count}
        for name in [*(topics or ()), *remaps]:
            if name not in have:
                raise BagError(f"{bag.path} has no topic {name!r}; it has: {', '.join(have)}")
        self._clock = node.create_publisher(Clock, CLOCK, 10)
        self._publishers: dict[str, Publisher] = {}
        for name in sorted(topics or set(have)):
            if remaps.get(name, name) == CLOCK:
                continue
            try:
                kind = message_type(have[name].type)
            except MessageTypeError as error:
                node.get_logger().warning(f"{name} is not played: {error}")
                continue
            self._publishers[name] = node.create_publisher(
                kind, remaps.get(name, name), _profile(have[name])
            )
        if not self._publishers:
            raise BagError(f"{bag.path}: no topic can be played")

    def listeners(self, topic: str) -> int:
        """How many subscriptions a topic of the bag has found."""
        return self._publishers[topic].get_subscription_count()

    def play(self, rate: float, before: Callable[[Record], None] = lambda record: None) -> int:
        """Play once; returns the number of messages.

        Args:
            rate: speed, 1 is real time.
            before: called before a message is published; may block, which stops the clock.
        """
        count = 0
        origin: int | None = None
        started = 0.0
        for record in self._bag.records(set(self._publishers)):
            if origin is None:
                origin, started = record.time, time.monotonic()
            publish_time = started + (record.time - origin) / 1e9 / rate
            while (left := publish_time - time.monotonic()) > 0:
                self._tick(record.time - round(left * rate * 1e9))
                time.sleep(min(left, CLOCK_PERIOD))
            held = time.monotonic()
            before(record)
            started += time.monotonic() - held
            self._tick(record.time)
            self._publishers[record.topic].publish(self._bag.to_cdr(record))
            count += 1
        return count

    def _tick(self, time_ns: int) -> None:
        self._clock.publish(Clock(clock=ROS_MESSAGES.time(max(0, time_ns))))


def play_bag(
    path: Path, rate: float, loop: bool, topics: set[str] | None, remaps: dict[str, str]
) -> int:
    """Play a bag from a node of its own to its end, or again and again; returns the messages.

    Raises:
        BagError: the bag cannot be played.
    """
    count = 0
    with BagReader(path) as bag:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = rclpy.create_node("stmem_bag_player")
            player = BagPlayer(node, bag, topics, remaps)
            time.sleep(0.5)  # discovery: there is no telling who should be listening
            count = player.play(rate)
            while loop:
                count += player.play(rate)
        finally:
            rclpy.try_shutdown()
    return count


def _profile(topic: Topic) -> QoSProfile:
    """Reliable, so that it fits any subscription; what was latched stays so.

    Static transforms always are, as in bags whose profiles were not recorded.
    """
    latched = topic.latched or topic.name.endswith("/tf_static")
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=10, durability=durability)
