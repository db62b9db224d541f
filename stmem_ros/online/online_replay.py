"""Online replay: a bag played to the real node with ``/clock``, what it publishes recorded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from tqdm import tqdm

from stmem_ros.evaluation.replay.bag_moments import CameraTopics
from stmem_ros.evaluation.results.folder import RecordingFolder
from stmem_ros.evaluation.results.played_bag import PlayedBag
from stmem_ros.io.bag_topics import find_image_topic
from stmem_ros.io.bags import COMPRESSED, BagReader, BagWriter, Record, Topic
from stmem_ros.io.output_topics import NODE, camera_topic, output_topics
from stmem_ros.msg import FrameStatistics, LabelInfo
from stmem_ros.online.environment import private_environment
from stmem_ros.online.node_process import NodeProcess
from stmem_ros.online.player import BagPlayer, PlayOptions, is_topic_name
from stmem_ros.online.recorder import Recorder
from stmem_ros.parameters import NodeParameters, parameter_values
from stmem_ros.stamps import header_stamp

START_TIMEOUT = 120.0  # s for the node to load its model, to find the player, for the first label
LABEL_TIMEOUT = 30.0  # s for one of the others, after which the next image is sent anyway
SETTLING = 1.0  # s for what the node publishes after the last label


class ReplayError(Exception):
    """The replay could not be made; one line says why."""


@dataclass(frozen=True)
class PlayedNode:
    """The node that a bag is played to.

    Attributes:
        parameters: what it is told; with one camera.
        threads: CPU threads of its network, None: as many as it likes.
    """

    parameters: NodeParameters
    threads: int | None = None


def replay_online(
    bag: BagReader, topics: CameraTopics, out: Path, node: PlayedNode, rate: float | None
) -> PlayedBag:
    """Play ``bag`` to a node of its own; outputs go to ``out``/output, its log is ``out``/node.log.

    Args:
        topics: of the camera in the bag.
        rate: speed, 1 is real time; None: real time, but no image is sent before the label of the
            one before has arrived, so that a slow machine labels every frame.

    Raises:
        ReplayError: no label came.
        NodeProcessError: the node did not start, or ended during the replay.
    """
    os.environ.update(private_environment(out / "log"))
    compressed = topics.image.type == COMPRESSED
    (camera,) = node.parameters.cameras
    packed = topics.depth is not None and topics.depth.type == COMPRESSED
    values = parameter_values(node.parameters) | {
        "use_sim_time": True,
        "autostart": True,
        "image_transport": "compressed" if compressed else "raw",
        "depth_transport": "compressedDepth" if packed else "raw",
        "image_reliability": "reliable",
        "label_size": "image",
    }
    inputs = {
        "image_raw/compressed" if compressed else "image_raw": topics.image,
        "camera_info": topics.info,
        "depth/compressedDepth" if packed else "depth": topics.depth,
    }
    prefix = f"{camera}/" if camera else ""
    remaps = {prefix + name: topic.name for name, topic in inputs.items() if topic is not None}
    if wrong := [name for name in remaps.values() if not is_topic_name(name)]:
        raise ReplayError(f"{wrong[0]!r} is no name of a ROS 2 topic: rename it in the bag")
    with NodeProcess(values, remaps, out / "node.log", node.threads) as process:
        output = RecordingFolder(out).output
        try:
            paired = topics.depth if node.parameters.depth else None
            check = process.check_alive
            return _play_and_record(
                bag, topics.image, paired, PlayOptions(), output, rate, check, (camera,)
            )
        except ReplayError as error:
            raise ReplayError(f"{error}; the node's last words: {process.last_line()}") from error


def record_while_playing(
    path: Path,
    image: str | None,
    output: Path,
    rate: float,
    options: PlayOptions,
    cameras: Sequence[str] = ("",),
) -> PlayedBag:
    """Play the bag at ``path`` to the node that runs; record its outputs into the bag ``output``.

    Args:
        image: topic of the camera the node listens to, of its first one where it has several;
            None: the bag has one alone, in the namespace of that camera.
        rate: speed, 1 is real time.
        options: what of the bag is played.
        cameras: of the node, as of its parameter.

    Raises:
        BagError: a bag or a topic cannot be used.
        ReplayError: there is no active node, or no label came.
    """
    with BagReader(path) as bag:
        namespace = f"/{cameras[0]}/" if cameras[0] else "/"
        of_camera = tuple(topic for topic in bag.topics if topic.name.startswith(namespace))
        topic = find_image_topic(bag.topics if image else of_camera, image)
        return _play_and_record(bag, topic, None, options, output, rate, lambda: None, cameras)


def _play_and_record(
    bag: BagReader,
    image: Topic,
    paired: Topic | None,
    options: PlayOptions,
    output: Path,
    rate: float | None,
    check: Callable[[], None],
    cameras: Sequence[str] = ("",),
) -> PlayedBag:
    """``check`` is called while waiting and may raise; ``image``: of the first camera.

    ``paired``: the depth images without which it is not labelled.
    """
    with _spinning_node() as node:
        layers = _wait_until_active(node, check)
        with BagWriter(output, compress=True) as writer:
            player = BagPlayer(node, bag, options)
            run = _Run(node, writer, player.start, image, cameras, layers, check)
            try:
                for topic in filter(None, (image, paired)):
                    _wait_until_found(player, topic, check)
                _wait_until_known(node, check)
                run.play(player, rate)
            finally:
                run.close()
    if not run.latencies:
        raise ReplayError("no image was labelled")
    return PlayedBag(rate, tuple(run.stamps), run.latencies, run.dropped, run.device)


class _Run:
    """Recording of the outputs and pacing of the images by the labels that come back."""

    def __init__(
        self,
        node: Node,
        writer: BagWriter,
        start: int,
        image: Topic,
        cameras: Sequence[str],
        layers: tuple[str, ...],
        check: Callable[[], None],
    ) -> None:
        self.stamps: list[int] = []  # of the images played, ns
        self.latencies: dict[int, float] = {}  # by stamp in ns
        self._done: set[int] = set()  # stamps of which the node has published all
        self._answered: set[int] = set()  # stamps that were labelled since they were sent last
        self.dropped = 0
        self.device = "unknown"
        self._image = image
        self._camera = cameras[0]
        self._check = check
        self._sent: dict[int, float] = {}  # stamp in ns: when it was sent
        self._refused = 0  # images the node did not label, as far as it has told
        self._refused_before = 0  # the image sent last
        self._labelled = threading.Condition()
        topics = output_topics(layers, cameras)
        self._recorder = Recorder(node, writer, topics, start, self._on_message)

    def play(self, player: BagPlayer, rate: float | None) -> None:
        with tqdm(total=self._image.count, desc="playing", unit="frame") as progress:

            def before(record: Record) -> None:
                self._check()
                self._recorder.check()
                if record.topic == self._image.name:
                    if rate is None:
                        self._wait_for_label()
                    stamp = header_stamp(record.data)
                    with self._labelled:
                        self._sent.pop(stamp, None)  # of a camera whose stamps stand still
                        self._sent[stamp] = time.monotonic()
                        self._answered.discard(stamp)
                        self._refused_before = self._refused
                    self.stamps.append(stamp)
                    progress.update()

            player.play(rate or 1.0, before)
        self._wait_for_label()
        time.sleep(SETTLING)

    def close(self) -> None:
        """Record nothing more; the bag may be closed after it."""
        self._recorder.close()
        self._recorder.check()

    def _wait_for_label(self) -> None:
        """Wait for the label of the image sent last, or the news that it cannot be used.

        And for the costmap of the one before: where it has not begun with the last one's labels,
        those of the next would take their place. Not for the last one's own: it may need transforms
        that come after the image. The first label has more time: that image warms the network up.
        """

        def answered() -> bool:
            if not self._sent or self._refused > self._refused_before:
                return True
            last, *before = islice(reversed(self._sent), 2)
            return last in self._answered and all(
                stamp in self._done or stamp not in self.latencies for stamp in before
            )

        patience = LABEL_TIMEOUT if self.latencies else START_TIMEOUT
        deadline = time.monotonic() + patience
        with self._labelled:
            while not (came := self._labelled.wait_for(answered, 0.5)):
                self._check()
                if time.monotonic() > deadline:
                    break
        if not came and not self.latencies:
            raise ReplayError(f"no label {patience:.0f} s after an image")

    def _on_message(self, topic: str, data: bytes) -> None:
        now = time.monotonic()
        if topic == camera_topic("label", self._camera):
            stamp = header_stamp(data)
            with self._labelled:
                if stamp in self._sent:
                    self.latencies.setdefault(stamp, now - self._sent[stamp])
                    self._answered.add(stamp)
                self._labelled.notify_all()
        elif topic == camera_topic("statistics", self._camera):
            statistics = deserialize_message(data, FrameStatistics)
            self.dropped = statistics.frames_dropped
            self.device = statistics.device
            with self._labelled:
                self._done.add(header_stamp(data))
                self._labelled.notify_all()
        elif topic == "/diagnostics":
            for status in deserialize_message(data, DiagnosticArray).status:
                if status.name == f"{NODE[1:]}: Input {self._camera}".strip():
                    with self._labelled:
                        values = {v.key: v.value for v in status.values}
                        kinds = ("invalid", "late", "left_out")
                        self._refused = sum(int(values[kind]) for kind in kinds)
                        self._labelled.notify_all()


@contextmanager
def _spinning_node() -> Iterator[Node]:
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Node("stmem_replay", parameter_overrides=[Parameter("use_sim_time", value=True)])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinner = threading.Thread(target=executor.spin, daemon=True)
    spinner.start()
    try:
        yield node
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
        spinner.join(timeout=5)


def _wait_until_active(node: Node, check: Callable[[], None]) -> tuple[str, ...]:
    """Returns the names of the layers the active node publishes."""
    infos: list[LabelInfo] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(LabelInfo, f"{NODE}/label_info", infos.append, latched)
    for state in _states(node, check):
        if state == State.PRIMARY_STATE_ACTIVE and infos:
            return tuple(dict.fromkeys(c.layer for c in infos[-1].classes if c.layer))
    raise ReplayError(f"{NODE} was not active after {START_TIMEOUT:.0f} s")


def _wait_until_known(node: Node, check: Callable[[], None]) -> None:
    """Wait for the player's node to have found all publishers: it misses what comes before.

    It finds them in the order in which they were made, and answers no client that it has not found:
    a client that is made last tells.
    """
    if next(_states(node, check), None) is None:
        raise ReplayError(f"{NODE} did not answer within {START_TIMEOUT:.0f} s")


def _states(node: Node, check: Callable[[], None]) -> Iterator[int]:
    """What a new client is told of the node's state, again and again; for ``START_TIMEOUT``."""
    client: Client = node.create_client(GetState, f"{NODE}/get_state")
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        check()
        if not client.wait_for_service(timeout_sec=0.5):
            continue
        future = client.call_async(GetState.Request())
        answer_by = time.monotonic() + 2.0
        while not future.done() and time.monotonic() < answer_by:
            time.sleep(0.02)
        answer = future.result()  # None as long as there is none
        if answer is not None:
            yield answer.current_state.id


def _wait_until_found(player: BagPlayer, topic: Topic, check: Callable[[], None]) -> None:
    """Wait for the node to subscribe to a topic; what is sent before is lost."""
    deadline = time.monotonic() + START_TIMEOUT
    while not player.listeners(topic.name):
        check()
        if time.monotonic() > deadline:
            raise ReplayError(f"{NODE} does not listen to {topic.name}")
        time.sleep(0.02)
