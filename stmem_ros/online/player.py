"""Playing bags: messages at the pace of their recording, with ``/clock``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_topic_name import validate_topic_name
from rosgraph_msgs.msg import Clock

from stmem_ros.io.bag_channel import KEEP_ALL
from stmem_ros.io.bag_topics import is_output
from stmem_ros.io.bags import COMPRESSED, RAW, BagError, BagReader, Record, Topic
from stmem_ros.node.ros_messages import ROS_MESSAGES, MessageTypeError, message_type
from stmem_ros.online.stamp_clock import StampClock
from stmem_ros.stamps import SECOND

CLOCK = "/clock"
DIAGNOSTICS = "/diagnostics"
CLOCK_PERIOD = 0.02  # s between /clock messages while no message is to be published
MAX_SILENCE = 10.0  # s of the bag
DEPTH, IMAGE_DEPTH = 100, 10  # messages that are kept for listeners who are slow
DISCOVERY = 1.0  # s without a new listener, after which playing begins
FIRST_DISCOVERY = 4.0  # s that the first one has: what DDS missed at once it sees after 3 s
DELIVERY = Duration(seconds=2)  # that listeners have for the last messages


@dataclass(frozen=True)
class PlayOptions:
    """What of a bag is played, and how.

    Attributes:
        topics: these alone; None: all but a clock and what a segmentation node published.
        exclude: not these.
        remaps: new names of topics, by those in the bag.
        max_silence: longer ones are shortened to it, s of the bag.
    """

    topics: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    remaps: Mapping[str, str] = field(default_factory=dict)
    max_silence: float = MAX_SILENCE


class BagPlayer:
    """Publishes a bag's messages as ROS 2 sends them today, and ``/clock``.

    A clock that was recorded is not played beside it, unless under another name: two clocks are
    none. What a segmentation node published is left out too, unless it is named.

    Args:
        node: publishes; its executor need not spin.
        bag: an open bag.

    Attributes:
        played: messages so far.
        start: what the clock shows where the data begin, ns.

    Raises:
        BagError: a topic is not in the bag, or no message can be played.
    """

    def __init__(self, node: Node, bag: BagReader, options: PlayOptions) -> None:
        self.played = 0
        self._node = node
        self._bag = bag
        self._options = options
        have = {t.name: t for t in bag.topics if t.count}
        named = [*(options.topics or ()), *options.exclude, *options.remaps]
        for name in named:
            if name not in have:
                raise BagError(f"{bag.path} has no topic {name!r}; it has: {', '.join(have)}")
        self._clock = node.create_publisher(Clock, CLOCK, 10)
        self._time = StampClock(bag)
        self.start = self._time.at(bag.data_start)
        self._publishers: dict[str, Publisher] = {}
        for name in sorted(have):
            if why := self._why_not(have[name], bag.topics):
                node.get_logger().warning(f"{name} is not played: {why}")
            elif self._is_chosen(name):
                self._publishers[name] = node.create_publisher(
                    message_type(have[name].type), options.remaps.get(name, name),
                    _profile(have[name]),
                )  # fmt: skip
        if not self._publishers:
            raise BagError(f"{bag.path}: no topic can be played")
        self._unplayable: set[str] = set()

    def listeners(self, topic: str) -> int:
        """How many subscriptions a topic of the bag has found."""
        if topic not in self._publishers:
            raise BagError(f"{self._bag.path}: {topic} is not played")
        return self._publishers[topic].get_subscription_count()

    def wait_for_listeners(self) -> None:
        """Wait until no more listeners are found; there is no telling who should be listening."""
        found, since = -1, time.monotonic()
        while time.monotonic() - since < (DISCOVERY if found > 0 else FIRST_DISCOVERY):
            if (now := sum(map(self.listeners, self._publishers))) != found:
                found, since = now, time.monotonic()
            time.sleep(CLOCK_PERIOD)

    def play(self, rate: float, before: Callable[[Record], None] = lambda record: None) -> None:
        """Play once.

        Args:
            rate: speed, 1 is real time.
            before: called before a message is published; may block, which stops the clock.
        """
        begin, clock = self._bag.data_start, self._time
        clock.begin()
        started, newest = time.monotonic(), begin
        silence = 0.0  # ns that were cut out
        for record in self._bag.records(set(self._publishers) | clock.sources):
            # What was recorded long before the data, such as latched messages, comes with them.
            due = max(record.time, begin)
            if (cut := due - newest - self._options.max_silence * SECOND) > 0:
                self._node.get_logger().warning(
                    f"a silence of {(due - newest) / SECOND:.1f} s is shortened to "
                    f"{self._options.max_silence:g} s"
                )
                silence += cut
            newest = max(newest, due)
            publish_time = started + (due - begin - silence) / SECOND / rate
            while (left := publish_time - time.monotonic()) > 0:
                self._tick(clock.at(due - round(left * rate * SECOND)))
                time.sleep(min(left, CLOCK_PERIOD))
            clock.hear(record)
            if record.topic in self._publishers:
                started += self._publish(record, clock.at(due), before)
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(DELIVERY)

    def _publish(self, record: Record, now: int, before: Callable[[Record], None]) -> float:
        """Publish a message; returns how long ``before`` held it, s."""
        try:
            record = replace(record, data=self._bag.to_cdr(record))
        except BagError as error:
            if record.topic not in self._unplayable:
                self._unplayable.add(record.topic)
                self._node.get_logger().warning(f"messages are not played, the first: {error}")
            return 0.0
        began = time.monotonic()
        before(record)
        held = time.monotonic() - began
        self._tick(now)
        self._publishers[record.topic].publish(record.data)
        self.played += 1
        return held

    def _is_chosen(self, name: str) -> bool:
        topics = self._options.topics
        return (topics is None or name in topics) and name not in self._options.exclude

    def _why_not(self, topic: Topic, topics: tuple[Topic, ...]) -> str:
        """Why a topic cannot or must not be played, empty if it can."""
        if not self._is_chosen(topic.name):
            return ""
        name = self._options.remaps.get(topic.name, topic.name)
        if name == CLOCK:
            return "the player makes a clock of its own; with --remap it has another name"
        is_named = topic.name in self._options.remaps or self._options.topics is not None
        of_node = is_output(topic, topics) or (
            topic.name == DIAGNOSTICS and any(is_output(t, topics) for t in topics)
        )
        if of_node and not is_named:
            return "a segmentation node published it; name it with --topics to play it"
        if topic.problem and not topic.is_sendable:
            return topic.problem
        if not is_topic_name(name):
            return f"{name!r} is no name of a ROS 2 topic: give it another one with --remap"
        try:
            message_type(topic.type)
        except MessageTypeError as error:
            return str(error)
        return ""

    def _tick(self, time_ns: int) -> None:
        self._clock.publish(Clock(clock=ROS_MESSAGES.time(max(0, time_ns))))


def play_bag(
    path: Path,
    rate: float,
    loop: bool,
    options: PlayOptions,
    report: Callable[[int], None],
) -> None:
    """Play a bag from a node of its own to its end, or again and again.

    Args:
        report: called at the end, also where it is interrupted, with the number of messages.

    Raises:
        BagError: the bag cannot be played, or no message was.
    """
    with BagReader(path) as bag:
        # Without arguments, as rcl would take those of --remap for its own.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        player = None
        try:
            player = BagPlayer(rclpy.create_node("stmem_bag_player"), bag, options)
            player.wait_for_listeners()
            player.play(rate)
            while loop and player.played:
                player.play(rate)
        finally:
            if player is not None:
                report(player.played)
            rclpy.try_shutdown()
        if not player.played:
            raise BagError(f"{path}: no message was played")


def is_topic_name(name: str) -> bool:
    """Whether ROS 2 allows a name, as it does not all of those in bags of ROS 1."""
    try:
        validate_topic_name(name)
    except InvalidTopicNameException:
        return False
    return True


def _profile(topic: Topic) -> QoSProfile:
    """Reliable, so that it fits any subscription; what was latched stays so, and as deep.

    Static transforms always are, as in bags whose profiles were not recorded; all of them stay, as
    they may come from many nodes that keep one each.
    """
    if topic.name.endswith("/tf_static"):
        depth = min(max(topic.depth, topic.count), KEEP_ALL)
        return QoSProfile(depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    if topic.latched:
        return QoSProfile(depth=topic.depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    depth = IMAGE_DEPTH if topic.type in (RAW, COMPRESSED) else DEPTH
    return QoSProfile(depth=depth, durability=DurabilityPolicy.VOLATILE)
