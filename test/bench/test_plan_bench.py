"""A planner on the costmap, judged by the synthetic world's truth."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stmem_ros.bench import plan as plan_bench
from stmem_ros.bench.plan import bench_plan
from stmem_ros.bench.planner import (
    INSCRIBED,
    LETHAL,
    UNKNOWN,
    PathSearch,
    PlannerSettings,
    costmap_costs,
    path_length,
)
from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import main
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.scene import ID

pytestmark = pytest.mark.end_to_end

CAREFUL = PlannerSettings(60, 0.1, allow_unknown=False)


def test_costs_are_those_that_the_real_costmap_has() -> None:
    """As measured under Nav2 1.4 with a threshold of 100."""
    cost = np.array([[-1, 0, 1, 30, 59, 60, 61, 98, 99]], np.int8)
    costs = costmap_costs(cost, 0.1, PlannerSettings(100, 0.1, allow_unknown=True))
    assert costs.tolist() == [[255, 0, 2, 76, 149, 152, 154, 248, 251]]


def test_inflation_spreads_around_what_is_lethal_and_not_far_into_the_unknown() -> None:
    cost = np.zeros((21, 21), np.int8)
    cost[10, 10], cost[:, :9] = 100, -1
    costs = costmap_costs(cost, 0.1, PlannerSettings(100, 0.2, allow_unknown=True))
    assert costs[10, 10] == LETHAL and costs[10, 12] == INSCRIBED
    assert costs[10, 13] > costs[10, 14] > 0 == costs[10, 18]
    assert costs[10, 8] == INSCRIBED and costs[10, 7] == UNKNOWN


def test_a_path_leads_round_a_wall_and_through_the_unknown_only_where_that_is_allowed() -> None:
    costs = np.zeros((20, 20), np.uint8)
    costs[5:, 10] = LETHAL
    path = PathSearch(costs, (15, 5), allow_unknown=False).path((15, 15), 0)
    assert path is not None and path[0].tolist() == [15, 5] and path[-1].tolist() == [15, 15]
    assert (costs[tuple(path.T)] < INSCRIBED).all() and path[:, 0].min() == 4
    assert path_length(path, 0.1) == pytest.approx(2.5, abs=0.3)
    costs[:5, 10] = UNKNOWN
    assert PathSearch(costs, (15, 5), allow_unknown=False).path((15, 15), 0) is None
    assert PathSearch(costs, (15, 5), allow_unknown=True).path((15, 15), 0) is not None


def test_a_careful_planner_hits_nothing_and_finds_ways_from_a_standing_start() -> None:
    [shares] = bench_plan(default_rules(CAMVID), seeds=[742], settings=[CAREFUL]).values()
    assert shares.found > 15 and shares.hit_standing == shares.hit_moving == 0
    assert shares.refused <= 0.15 and shares.length <= 1.15


def test_labels_that_take_all_for_road_lead_into_bodies(tmp_path: Path) -> None:
    def careless(pipeline, frame):
        road = np.full_like(frame.source.view.label, ID["road"])
        return pipeline.labelled_frame(frame, road, np.full_like(road, 255))

    found = bench_plan(
        default_rules(CAMVID), labeller=careless, seeds=[742],
        settings=[PlannerSettings(100, 0.1, allow_unknown=True)], pictures=tmp_path / "hits",
    )  # fmt: skip
    [shares] = found.values()
    assert shares.hit_standing > 0.02 and list((tmp_path / "hits").glob("742_*.png"))


def test_the_command_writes_a_row_for_each_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(
        plan_bench, "bench_plan", partial(bench_plan, seeds=[741], settings=[CAREFUL])
    )
    monkeypatch.setattr(plan_bench, "MOMENTS", (1,))
    out = tmp_path / "plan.json"
    assert main(["bench", "plan", "--json", str(out)]) == 0
    [row] = json.loads(out.read_text())
    assert row["lethal_threshold"] == 60 and 0 <= row["hit_standing"] <= 1
    assert "refused" in capsys.readouterr().out
