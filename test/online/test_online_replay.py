"""``stmem evaluate --online``: the real node against the offline replay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.bags import rename_frames
from support.damage import cut_image
from support.forks import Fork

from stmem_ros.commands import stmem
from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.io.bags import BagReader
from stmem_ros.io.output_topics import NODE
from stmem_ros.online import online_replay
from stmem_ros.resources import resource

DAMAGED = 2


def test_in_lockstep_every_frame_and_grid_equals_the_offline_replay(
    ros_domain: None, start_stmem, small_bundle: Path, tmp_path: Path
) -> None:
    create_synthetic_bag(tmp_path / "whole", "straight", seed=2, frames=6, rate=10.0)
    cut_image(tmp_path / "whole", tmp_path / "drive", DAMAGED)
    out = tmp_path / "out"
    arguments = (tmp_path / "drive", "--model", small_bundle, "--device", "cpu", "--out", out)
    evaluate = start_stmem("evaluate", *arguments, "--online", "--lockstep")
    assert evaluate.exit_code(timeout=240) == 0, evaluate.text()
    online = json.loads((out / "online.json").read_text())["small"]["drive"]
    figures = online.pop("figures")
    assert (online["played"], online["unmatched"]) == (6, 0)
    assert (online["frames_compared"], online["frames_equal"]) == (5, 5)
    assert online["pixels_equal"] == 1.0
    assert (online["grids_compared"], online["grids_equal"]) == (5, 5)
    assert 0 < online["latency_p50_ms"] <= online["latency_max_ms"]
    offline = json.loads((out / "metrics.json").read_text())["models"]["small"]["totals"]
    assert (figures["frames"], figures["labelled"], figures["invalid"]) == (6, 5, 1)
    for name in ("miou", "iou", "temporal_consistency", "flicker", "ece", "coverage"):
        assert figures[name] == offline[name], name
    page = (out / "report.html").read_text()
    assert "Online against offline" in page and "5 of 5" in page and "small, online" in page
    with BagReader(out / "online" / "drive" / "small" / "output") as node:
        node_topics = {t.name: t.type for t in node.topics if t.name != "/diagnostics"}
    with BagReader(out / "bags" / "drive" / "small" / "output") as core:
        assert {t.name: t.type for t in core.topics} == node_topics
        labels = {t.name: t.count for t in core.topics}[f"{NODE}/label"]
    assert labels == 5


def evaluate_impatiently() -> int:
    """The command, with no time for labels after the first one."""
    online_replay.LABEL_TIMEOUT = 0.0
    return stmem.run()


def test_the_first_label_has_the_time_of_a_start(
    ros_domain: None, small_bundle: Path, tmp_path: Path
) -> None:
    create_synthetic_bag(tmp_path / "drive", "straight", seed=2, frames=1, rate=10.0)
    arguments = ("evaluate", tmp_path / "drive", "--model", small_bundle, "--device", "cpu")
    online = ("--out", tmp_path / "out", "--online", "--lockstep")
    words = ["stmem", *map(str, (*arguments, *online))]
    evaluate = Fork(evaluate_impatiently, words, tmp_path / "evaluate.log")
    assert evaluate.exit_code(timeout=240) == 0, evaluate.text()
    played = json.loads((tmp_path / "out" / "online.json").read_text())["small"]["drive"]
    assert (played["played"], played["frames_equal"]) == (1, 1)


PARAMETERS = """
/**:
  ros__parameters:
    odom_frame: map
    base_frame: base_link
    depth: true
    masks: ["[[0, 340], [240, 300], [479, 340], [479, 359], [0, 359]]"]
    regions: ["[20, 40, 440, 320]"]
    inference_rates: [9.5]
    max_gap: 0.5
    costmap_rate: 5.0
    unseen_cost: 0
    cost_rules: RULES
    costmap: {size: 21.0, resolution: 0.3, known: 0.7}
"""


def test_online_equals_offline_with_the_parameter_file_of_another_robot(
    ros_domain: None, start_stmem, small_bundle: Path, tmp_path: Path
) -> None:
    create_synthetic_bag(tmp_path / "drive", "straight", seed=2, frames=6, rate=10.0)
    frames = {"odom": "map", "base_footprint": "base_link"}
    rename_frames(tmp_path / "drive", tmp_path / "robot", frames)
    rules = tmp_path / "rules.yaml"
    shipped = resource("config", "cost_rules", "camvid.yaml").read_text()
    rules.write_text(shipped.replace("road: {kind: ground, layer: drivable, cost: 0}",
                                     "road: {kind: ground, layer: lanes, cost: 7}"))  # fmt: skip
    parameters = tmp_path / "robot.yaml"
    parameters.write_text(PARAMETERS.replace("RULES", str(rules)))
    out = tmp_path / "out"
    arguments = (tmp_path / "robot", "--model", small_bundle, "--out", out, "--params", parameters)
    evaluate = start_stmem("evaluate", *arguments, "--online", "--lockstep")
    assert evaluate.exit_code(timeout=240) == 0, evaluate.text()
    online = json.loads((out / "online.json").read_text())["small"]["robot"]
    assert (online["frames_compared"], online["frames_equal"]) == (5, 5)  # 9.5 Hz of 10
    assert online["grids_compared"] == online["grids_equal"] == 3  # 5 Hz of 10
    with BagReader(out / "bags" / "robot" / "small" / "output") as core:
        (grid, *_) = (core.decode(r) for r in core.records({f"{NODE}/grid"}))
        (lanes, *_) = (core.decode(r) for r in core.records({f"{NODE}/layers/lanes"}))
        (costmap, *_) = (core.decode(r) for r in core.records({f"{NODE}/costmap"}))
        (points, *_) = (core.decode(r) for r in core.records({f"{NODE}/points"}))
        (label, *_) = (core.decode(r) for r in core.records({f"{NODE}/label"}))
    assert grid.header.frame_id == "map" and grid.info.width == 70
    assert len(lanes.data) == 70 * 70 and (costmap.data >= 0).all()
    assert points.header.frame_id == "base_link"
    assert (points.height, points.width) == (360, 480)  # each pixel by its depth
    labelled = label.data.reshape(360, 480) != 255
    assert labelled[40:290, 20:460].all() and not labelled[341:].any()


def test_a_node_with_two_cameras_is_recorded_with_both(
    start_node, start_stmem, tmp_path: Path
) -> None:
    cameras = ["front", "rear"]
    create_synthetic_bag(tmp_path / "drive", "straight", 2, frames=15, rate=5.0, cameras=cameras)
    start_node("-p", "cameras:=[front,rear]", "-p", "use_sim_time:=true")
    out = tmp_path / "outputs"
    play = start_stmem("bag", "play", tmp_path / "drive", "--record", out, "--cameras=front,rear")
    assert play.exit_code(timeout=240) == 0, play.text()
    with BagReader(out) as recorded:
        counts = {topic.name: topic.count for topic in recorded.topics}
    assert all(counts[f"{NODE}/{camera}/label"] for camera in cameras)
    assert counts[f"{NODE}/costmap"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--online", "--drop", "0.1"), ("--drop", "--online")),
        (("--online", "--lockstep", "--rate", "0.5"), ("--lockstep", "--rate")),
        (("--lockstep",), ("--lockstep", "--online")),
        (("--rate", "0.5"), ("--rate", "--online")),
    ],
)
def test_options_that_contradict_each_other_are_named(
    arguments: tuple[str, ...], named: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert stmem.main(["evaluate", "/nowhere", *arguments]) == 1
    error = capsys.readouterr().err
    assert all(name in error for name in named)
