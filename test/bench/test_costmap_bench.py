"""The costmap against the synthetic world's truth: how far free means free."""

import json
from functools import partial

import numpy as np
import pytest

from stmem_ros.bench import costmap as costmap_bench
from stmem_ros.bench.costmap import bench_costmap
from stmem_ros.classes import CAMVID, IDD_LITE
from stmem_ros.commands.stmem import main
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.label_sets import allowed_classes
from stmem_ros.data.synthetic.scene import ID
from stmem_ros.frames import CameraFrame, LabelledFrame
from stmem_ros.pipeline import Pipeline

pytestmark = pytest.mark.end_to_end

SHORT_DRIVE, SHORT_TURN = 5, (6.0, 2)


@pytest.fixture(autouse=True)
def few_timed_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costmap_bench, "_update_ms", partial(costmap_bench._update_ms, repeats=4))


@pytest.fixture
def short_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costmap_bench, "FRAMES", SHORT_DRIVE)
    monkeypatch.setattr(costmap_bench, "CROWD_FRAMES", SHORT_DRIVE)


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costmap_bench, "TURN", SHORT_TURN)


def test_geometry_alone_keeps_what_is_promised(
    short_turns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costmap_bench, "FRAMES", 10)
    monkeypatch.setattr(costmap_bench, "CROWD_FRAMES", 12)
    scores = bench_costmap(default_rules(CAMVID), seeds=[701, 702], crowds=[720])
    assert scores.occupied_not_free >= 0.99
    assert scores.drivable_iou >= 0.95
    assert scores.front_edge_error_m <= 0.15
    assert scores.seen >= 0.97
    assert scores.sure >= 0.87
    assert scores.lethal_road <= 0.005
    shares = [s for row in scores.sightings if row.name != "car" for s in row.at.values()]
    seen = sum(share.sightings for share in shares)
    assert seen > 10 and sum(s.sightings * s.barred for s in shares) >= 0.9 * seen


def test_geometry_alone_keeps_what_is_promised_after_a_turn(short_drives: None) -> None:
    assert bench_costmap(default_rules(CAMVID), seeds=[701], crowds=[720]).turn_iou >= 0.92


@pytest.mark.usefixtures("short_drives", "short_turns")
def test_a_labeller_that_takes_all_for_road_is_found_out() -> None:
    def careless(pipeline: Pipeline, frame: CameraFrame) -> LabelledFrame:
        road = np.full_like(frame.source.view.label, ID["road"])
        return pipeline.labelled_frame(frame, road, np.full_like(road, 255))

    scores = bench_costmap(default_rules(CAMVID), labeller=careless, seeds=[702], crowds=[720])
    assert scores.occupied_not_free < 0.05
    assert not any(s.barred > 0 for row in scores.sightings for s in row.at.values())


@pytest.mark.usefixtures("short_drives", "short_turns")
def test_labels_of_other_classes_are_compared_with_the_same_world() -> None:
    coarse_of = allowed_classes(CAMVID, IDD_LITE).argmax(axis=1).astype(np.uint8)

    def coarse(pipeline: Pipeline, frame: CameraFrame) -> LabelledFrame:
        label = coarse_of[frame.source.view.label]
        return pipeline.labelled_frame(frame, label, np.full_like(label, 255))

    scene = {"seeds": [702], "crowds": [720]}
    scores = bench_costmap(default_rules(IDD_LITE), labeller=coarse, **scene)
    own = bench_costmap(default_rules(CAMVID), **scene)
    for name in ("occupied_not_free", "drivable_iou", "drivable_iou_in_view", "seen"):
        assert getattr(scores, name) == pytest.approx(getattr(own, name), abs=0.02), name
    assert [row.name for row in scores.sightings] == [row.name for row in own.sightings]


@pytest.mark.usefixtures("short_drives", "short_turns")
def test_the_command_writes_its_figures(monkeypatch: pytest.MonkeyPatch, tmp_path, capsys) -> None:
    one_scene = partial(bench_costmap, seeds=[702], crowds=[720])
    monkeypatch.setattr(costmap_bench, "bench_costmap", one_scene)
    out = tmp_path / "scores.json"
    assert main(["bench", "costmap", "--json", str(out)]) == 0
    assert {row["name"] for row in json.loads(out.read_text())["sightings"]} >= {"bicyclist"}
    assert set(json.loads(out.read_text())) >= {
        "occupied_not_free", "drivable_iou", "front_edge_error_m", "turn_iou", "update_ms_median",
    }  # fmt: skip
    assert "drivable_iou" in capsys.readouterr().out
