"""The costmap against the synthetic world's truth: how far free means free."""

import json

import numpy as np
import pytest

from stmem_ros.bench import costmap as costmap_bench
from stmem_ros.bench.costmap import bench_costmap
from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import main
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.scene import ID
from stmem_ros.frames import CameraFrame, LabelledFrame
from stmem_ros.pipeline import Pipeline


def test_geometry_alone_keeps_what_is_promised() -> None:
    scores = bench_costmap(default_rules(CAMVID), seeds=[701, 702, 703])
    assert scores.occupied_not_free >= 0.99
    assert scores.drivable_iou >= 0.95
    assert scores.front_edge_error_m <= 0.15
    assert scores.turn_iou >= 0.92
    assert scores.seen >= 0.97
    assert scores.sure >= 0.87


def test_a_labeller_that_takes_all_for_road_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costmap_bench, "FRAMES", 5)

    def careless(pipeline: Pipeline, frame: CameraFrame) -> LabelledFrame:
        road = np.full_like(frame.source.view.label, ID["road"])
        return pipeline.labelled_frame(frame, road, np.full_like(road, 255))

    scores = bench_costmap(default_rules(CAMVID), labeller=careless, seeds=[702])
    assert scores.occupied_not_free < 0.05


def test_the_command_writes_its_figures(monkeypatch: pytest.MonkeyPatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(costmap_bench, "FRAMES", 5)
    monkeypatch.setattr(costmap_bench, "TURN", (6.0, 2))
    out = tmp_path / "scores.json"
    assert main(["bench", "costmap", "--json", str(out)]) == 0
    assert set(json.loads(out.read_text())) >= {
        "occupied_not_free", "drivable_iou", "front_edge_error_m", "turn_iou", "update_ms_median",
    }  # fmt: skip
    assert "drivable_iou" in capsys.readouterr().out
