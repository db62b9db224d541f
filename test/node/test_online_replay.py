"""``stmem evaluate --online``: the real node against the offline replay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.damage import cut_image

from stmem_ros.commands.stmem import main
from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.io.bags import BagReader
from stmem_ros.io.output_topics import NODE

DAMAGED = 2


def test_in_lockstep_every_frame_and_grid_equals_the_offline_replay(
    ros_domain: None, small_bundle: Path, tmp_path: Path
) -> None:
    create_synthetic_bag(tmp_path / "whole", "straight", seed=2, frames=6, rate=10.0)
    cut_image(tmp_path / "whole", tmp_path / "drive", DAMAGED)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "stmem_ros.commands.stmem",
        "evaluate",
        str(tmp_path / "drive"),
    ]
    command += ["--model", str(small_bundle), "--device", "cpu", "--out", str(out)]
    command += ["--online", "--lockstep"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--online", "--drop", "0.1"), "--drop does not go with --online"),
        (("--online", "--lockstep", "--rate", "0.5"), "leave --rate away"),
        (("--lockstep",), "--lockstep goes with --online alone"),
        (("--rate", "0.5"), "use the real node with --online"),
    ],
)
def test_options_that_contradict_each_other_are_named(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "/nowhere", *arguments]) == 1
    assert said in capsys.readouterr().err
