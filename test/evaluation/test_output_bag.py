"""The bag of an offline replay's outputs: what the node would have published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.replayed import RULES, START, dropped, replayed, row

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.points import POINT
from stmem_ros.evaluation.tasks.output_bag import OutputBag
from stmem_ros.io.bags import BagReader
from stmem_ros.io.images import decode_compressed, decode_label
from stmem_ros.io.output_topics import NODE, output_topics
from stmem_ros.parameters import DEFAULTS
from stmem_ros.stamps import nanoseconds


def write(path: Path, frames) -> None:
    bag = OutputBag(path, "small", CAMVID, RULES, window=3, device="cpu", parameters=DEFAULTS)
    for frame in frames:
        bag.add(frame, row(frame))
    bag.close()


def test_it_has_the_nodes_topics_and_types_with_the_stamps_of_the_images(tmp_path: Path) -> None:
    frames = list(replayed(3))
    write(tmp_path / "output", frames)
    with BagReader(tmp_path / "output") as bag:
        written = {t.name: t for t in bag.topics}
        messages = [(r.topic, r.time, bag.decode(r)) for r in bag.records()]
    expected = {t.name: t.type for t in output_topics(RULES.layers) if t.name != "/diagnostics"}
    assert {name: topic.type for name, topic in written.items()} == expected
    assert {t.count for n, t in written.items() if not n.endswith("label_info")} == {3}
    for topic, time, message in messages:
        stamp = nanoseconds(message.header.stamp)
        if not topic.endswith("label_info"):
            assert stamp in [f.stamp for f in frames], topic
        assert time in [f.received for f in frames], topic


def test_messages_carry_the_labels_pictures_and_grid_of_the_frame(tmp_path: Path) -> None:
    (frame,) = replayed(1)
    write(tmp_path / "output", [frame])
    with BagReader(tmp_path / "output") as bag:
        found = {r.topic.removeprefix(f"{NODE}/"): bag.decode(r) for r in bag.records()}
    assert (decode_label(found["label"]) == frame.label).all()
    assert (decode_label(found["confidence"]) == frame.confidence).all()
    assert found["label"].header.frame_id == "camera_optical_frame"
    assert decode_compressed(found["overlay/compressed"].data).shape == frame.rgb.shape
    grid = frame.map.update.grid
    shape = grid.cost.shape
    assert found["costmap"].header.frame_id == "odom"
    assert (found["costmap"].data.reshape(shape) == grid.cost).all()
    assert (found["layers/drivable"].data.reshape(shape) == grid.layers["drivable"]).all()
    assert (found["grid"].label.reshape(shape) == grid.label).all()
    assert ((found["grid"].cost == 255) == (grid.cost.reshape(-1) == -1)).all()
    assert np.isclose(found["grid"].info.origin.position.x, grid.origin[0])
    assert found["points"].header.frame_id == "base_footprint"
    points = np.frombuffer(found["points"].data, POINT)
    assert np.allclose(points["x"], frame.map.update.obstacles[:, 0], atol=1e-4)
    assert found["statistics"].backbone == np.float32(0.03)
    assert found["label_info"].classes[3].name == "road"


def test_it_counts_what_got_no_label_and_publishes_nothing_for_it(tmp_path: Path) -> None:
    first, second, third = replayed(3)
    write(tmp_path / "output", [first, dropped(second), third])
    with BagReader(tmp_path / "output") as bag:
        told = [bag.decode(r).frames_dropped for r in bag.records({f"{NODE}/statistics"})]
        labels = [bag.decode(r) for r in bag.records({f"{NODE}/label"})]
    assert told == [0, 1]
    assert [m.header.stamp.nanosec for m in labels] == [first.stamp - START, third.stamp - START]


def test_grids_come_no_faster_than_the_node_publishes_them(tmp_path: Path) -> None:
    write(tmp_path / "output", replayed(5, rate=20.0))
    with BagReader(tmp_path / "output") as bag:
        counts = {t.name.removeprefix(f"{NODE}/"): t.count for t in bag.topics}
    assert counts["points"] == 5
    assert counts["costmap"] == counts["grid"] == 3  # at most 10 Hz
