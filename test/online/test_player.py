"""Playing bags to other processes."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import numpy as np
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from support.ros import LATCHED, Peer
from tf2_msgs.msg import TFMessage

from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.io.bags import BAG_MESSAGES, TF, BagReader, BagWriter
from stmem_ros.io.output_topics import NODE


def test_a_bag_is_played_with_its_clock_in_order_and_again_when_looped(
    peer: Peer, start_stmem, tmp_path: Path
) -> None:
    create_synthetic_bag(tmp_path / "bag", "straight", seed=2, frames=4, rate=10.0)
    images = peer.collect(Image, "/renamed")
    clocks = peer.collect(Clock, "/clock")
    static = peer.collect(TFMessage, "/tf_static", LATCHED)
    remap = ("--remap", "/camera/image_raw:=/renamed")
    player = start_stmem("bag", "play", tmp_path / "bag", "--loop", *remap)
    peer.wait(lambda: len(images) >= 12, "two whole rounds of images")
    stamps = [round(m.header.stamp.nanosec / 1e8) for m in images]
    first = stamps.index(0)
    assert stamps[first : first + 8] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert static and player.text() == ""
    times = [c.clock.sec + c.clock.nanosec / 1e9 for c in clocks]
    steps = [b - a for a, b in itertools.pairwise(times) if b >= a]
    assert statistics.median(steps) < 0.05  # it runs between messages, which are 0.1 s apart


def test_a_recorded_clock_is_left_out_and_what_was_latched_stays(
    peer: Peer, start_stmem, tmp_path: Path
) -> None:
    started = 1_700_000_000 * 10**9
    header = BAG_MESSAGES.header(started, "map")
    pose = BAG_MESSAGES.transform(np.eye(4), "base", header)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/map/pose", TF, pose, started, latched=True)
        for i in range(20):  # of a simulator, whose time is another one
            time = BAG_MESSAGES.make("rosgraph_msgs/msg/Clock", clock=BAG_MESSAGES.time(i * 10**8))
            bag.write("/clock", "rosgraph_msgs/msg/Clock", time, started + i * 10**8)
            bag.write("/pose", TF, pose, started + i * 10**8)
    clocks = peer.collect(Clock, "/clock")
    renamed = peer.collect(Clock, "/sim_clock")
    poses = peer.collect(TFMessage, "/pose")
    start_stmem("bag", "play", tmp_path / "bag", "--loop")
    start_stmem("bag", "play", tmp_path / "bag", "--loop", "--remap", "/clock:=/sim_clock")
    peer.wait(lambda: len(poses) >= 5 and renamed and len(clocks) >= 20, "both players")
    late = peer.collect(TFMessage, "/map/pose", LATCHED)
    peer.wait(lambda: late, "what was latched before anybody listened")
    assert min(c.clock.sec for c in clocks) >= 1_699_999_999


def test_a_name_that_ros_refuses_costs_its_topic_alone(
    start_stmem, ros_domain: None, tmp_path: Path
) -> None:
    for names in (["/old pose"], ["/old pose", "/pose"]):
        with BagWriter(tmp_path / f"{len(names)}") as bag:
            for name in names:
                pose = BAG_MESSAGES.transform(np.eye(4), "base", BAG_MESSAGES.header(0, "map"))
                bag.write(name, TF, pose, 10**9)
    alone, both = (start_stmem("bag", "play", tmp_path / name) for name in "12")
    assert both.exit_code(timeout=60) == 0, both.text()
    assert "'/old pose' is no name" in both.text() and "1 messages played" in both.text()
    assert alone.exit_code(timeout=60) == 1 and "Traceback" not in alone.text()


def test_what_the_node_makes_of_a_bag_is_recorded(start_node, start_stmem, tmp_path: Path) -> None:
    create_synthetic_bag(tmp_path / "bag", "straight", seed=2, frames=4, rate=10.0)
    parameters = {"use_sim_time": "true", "image_reliability": "reliable"}
    start_node(
        *("-r", "image_raw:=/camera/image_raw", "-r", "camera_info:=/camera/camera_info"),
        *(word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")),
    )
    output = tmp_path / "out"
    player = start_stmem("bag", "play", tmp_path / "bag", "--record", output, "--rate", "0.1")
    assert player.exit_code(timeout=120) == 0, player.text()
    assert "4 images played, 4 labelled" in player.text()
    with BagReader(output) as bag, BagReader(tmp_path / "bag") as played:
        counts = {t.name.removeprefix(f"{NODE}/"): t.count for t in bag.topics}
        stamps = [bag.decode(r).header.stamp for r in bag.records({f"{NODE}/label"})]
        assert bag.start >= played.start  # also what was latched before the clock ran
    assert [s.nanosec for s in stamps] == [0, 100_000_000, 200_000_000, 300_000_000]
    for name in ("label", "confidence", "overlay/compressed", "costmap", "layers/drivable",
                 "grid", "points", "statistics"):  # fmt: skip
        assert counts[name] == 4, name
    assert counts["label_info"] == 1
