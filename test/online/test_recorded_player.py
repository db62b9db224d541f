"""Bags as recorders leave them, played: of ROS 1, of a simulator, with times and topics apart."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from nav_msgs.msg import OccupancyGrid
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from support.bags import START, jpeg, write_bag
from support.ros import LATCHED, Peer
from tf2_msgs.msg import TFMessage

from stmem_ros.io.bags import BAG_MESSAGES, TF, BagReader, BagWriter
from stmem_ros.io.output_topics import NODE
from stmem_ros.stamps import SECOND

STRING = "std_msgs/msg/String"
CLOCK = "rosgraph_msgs/msg/Clock"


def text(words: str) -> object:
    return BAG_MESSAGES.make(STRING, data=words)


def pose(stamp: int, child: str) -> object:
    return BAG_MESSAGES.transform(np.eye(4), child, BAG_MESSAGES.header(stamp, "base_footprint"))


def play(heard: dict[int, list], start_stmem, *arguments: object) -> str:
    """Play a bag until as many messages were heard; returns what the player said.

    A short bag may be over before the middleware has found its listeners.
    """
    for _ in range(5):
        for messages in heard.values():
            messages.clear()
        player = start_stmem("bag", "play", *arguments)
        assert player.exit_code(timeout=60) == 0, player.text()
        if all(len(messages) >= count for count, messages in heard.items()):
            break
    return player.text()


def test_messages_of_ros_1_reach_listeners_with_the_fields_of_today(
    peer: Peer, start_stmem, tmp_path: Path
) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    make = store.types
    stamp = make["builtin_interfaces/msg/Time"](sec=5, nanosec=7)
    header = make["std_msgs/msg/Header"](seq=3, stamp=stamp, frame_id="camera")
    roi = make["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k, p = np.arange(9.0), np.arange(12.0)
    info = make["sensor_msgs/msg/CameraInfo"](
        header, 48, 64, "plumb_bob", np.arange(5.0), k, np.eye(3).ravel(), p, 0, 0, roi
    )
    with Ros1Writer(tmp_path / "drive.bag") as bag:
        topic = bag.add_connection("/camera_info", "sensor_msgs/msg/CameraInfo", typestore=store)
        for i in range(6):
            data = store.serialize_ros1(info, "sensor_msgs/msg/CameraInfo")
            bag.write(topic, START + i * 10**8, data)
    infos = peer.collect(CameraInfo, "/camera_info")
    assert "6 messages played" in play({6: infos}, start_stmem, tmp_path / "drive.bag")
    assert len(infos) == 6
    got = infos[0]
    assert (got.header.stamp.sec, got.header.frame_id) == (5, "camera")
    assert list(got.k) == list(k) and list(got.p) == list(p) and list(got.d) == [0, 1, 2, 3, 4]


def test_the_clock_is_that_of_the_stamps_and_never_steps_back(
    peer: Peer, start_stmem, tmp_path: Path
) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for i in range(30):  # of a simulator at half of real time, recorded without its time
            stamp = 12 * SECOND + i * SECOND // 20
            time = BAG_MESSAGES.make(CLOCK, clock=BAG_MESSAGES.time(stamp))
            bag.write("/clock", CLOCK, time, START + i * SECOND // 10)
            bag.write("/tf", TF, pose(stamp, "wheel"), START + i * SECOND // 10)
    clocks = peer.collect(Clock, "/clock")
    play({100: clocks}, start_stmem, tmp_path / "bag")
    times = [c.clock.sec + c.clock.nanosec / 1e9 for c in clocks]
    assert 11.9 < times[0] < 12.3 and 13.4 < times[-1] < 13.6
    assert all(b >= a for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("early", [0, START - 3600 * SECOND])
def test_what_was_recorded_long_before_the_data_comes_with_them(
    peer: Peer, start_stmem, tmp_path: Path, early: int
) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/robot_description", STRING, text("<robot/>"), early, latched=True)
        for i in range(5):
            bag.write("/note", STRING, text(str(i)), START + i * SECOND // 10)
    notes = peer.collect(String, "/note")
    descriptions = peer.collect(String, "/robot_description", LATCHED)
    clocks = peer.collect(Clock, "/clock")
    heard = {5: notes, 1: descriptions}
    assert "6 messages played" in play(heard, start_stmem, tmp_path / "bag")
    assert len(notes) == 5 and descriptions
    assert min(c.clock.sec for c in clocks) >= START // SECOND - 1


def test_silences_are_shortened_and_those_who_come_late_get_what_was_latched(
    peer: Peer, start_stmem, tmp_path: Path
) -> None:
    info = BAG_MESSAGES.make(
        "nav_msgs/msg/MapMetaData",
        map_load_time=BAG_MESSAGES.time(START),
        resolution=0.1,
        width=2,
        height=1,
        origin=BAG_MESSAGES.make(
            "geometry_msgs/msg/Pose",
            position=BAG_MESSAGES.make("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0),
            orientation=BAG_MESSAGES.make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0,
                                          w=1.0),
        ),
    )  # fmt: skip
    header = BAG_MESSAGES.header(START, "map")
    grid = BAG_MESSAGES.make(
        "nav_msgs/msg/OccupancyGrid", header=header, info=info, data=np.zeros(2, np.int8)
    )
    with BagWriter(tmp_path / "bag") as bag:
        for i in range(15):
            bag.write("/tf_static", TF, pose(START, f"sensor_{i}"), START + i, latched=True)
        bag.write("/map", "nav_msgs/msg/OccupancyGrid", grid, START + 20, latched=True)
        for i in range(40):
            late = 500 * SECOND if i else 0  # most of it in one silence
            bag.write("/note", STRING, text(str(i)), START + 30 + late + i * SECOND // 2)
    notes = peer.collect(String, "/note")
    player = start_stmem("bag", "play", tmp_path / "bag", "--max-silence", "1")
    peer.wait(lambda: notes and int(notes[-1].data) >= 3, "notes after the silence")
    maps = peer.collect(OccupancyGrid, "/map", LATCHED)
    static = peer.collect(TFMessage, "/tf_static", qos_all())
    peer.wait(lambda: maps and len(static) == 15, "what was latched")
    assert len({m.transforms[0].child_frame_id for m in static}) == 15 and len(maps) == 1
    player.interrupt()
    assert player.exit_code(timeout=60) == 130
    played = int(player.text().split(" messages played")[0].split()[-1])
    assert 19 <= played <= 56


def qos_all():
    from rclpy.qos import DurabilityPolicy, QoSProfile

    return QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_what_a_node_published_is_left_out_unless_it_is_named(
    peer: Peer, start_stmem, tmp_path: Path
) -> None:
    label = f"{NODE}/label"
    black = np.zeros((4, 4), np.uint8)
    with BagWriter(tmp_path / "bag") as bag:
        for i in range(3):
            time = START + i * SECOND // 10
            bag.write(label, "sensor_msgs/msg/Image", BAG_MESSAGES.image(
                black, BAG_MESSAGES.header(time, "camera")), time)  # fmt: skip
            bag.write("/note", STRING, text("a"), time)
            bag.write("/other", STRING, text("b"), time)
    labels = peer.collect(Image, label)
    player = start_stmem("bag", "play", tmp_path / "bag", "--exclude", "/other")
    assert player.exit_code(timeout=60) == 0 and "3 messages played" in player.text()
    assert f"{label} is not played" in player.text()
    said = play({3: labels}, start_stmem, tmp_path / "bag", "--topics", label)
    assert "3 messages played" in said and len(labels) == 3
    player = start_stmem("bag", "play", tmp_path / "bag", "--exclude", label, "/note", "/other")
    assert player.exit_code(timeout=60) == 1  # nothing is played


def test_a_bag_without_its_metadata_is_played(peer: Peer, start_stmem, tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", [jpeg(np.zeros((32, 32, 3), np.uint8))] * 3)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    player = start_stmem("bag", "play", tmp_path / "bag")
    assert player.exit_code(timeout=60) == 0 and "3 messages played" in player.text()
    with BagReader(tmp_path / "bag") as bag:
        assert [t.count for t in bag.topics] == [3]
