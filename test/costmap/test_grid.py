"""The rolling grid and its rules."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stmem_ros.classes import CAMVID, CITYSCAPES, IDD_LITE
from stmem_ros.costmap.grid import GridConfig, RollingGrid
from stmem_ros.costmap.rules import Kind, default_rules, load_rules
from stmem_ros.resources import resource

ID = {c.name: c.id for c in CAMVID}
RULES = default_rules(CAMVID)
SHIPPED = resource("config", "cost_rules", "camvid.yaml").read_text()
CONFIG = GridConfig(size=4.0, resolution=0.5)  # 8 x 8 cells


def see(grid: RollingGrid, point: tuple[float, float], name: str, times: int = 1) -> None:
    cells, inside = grid.cells_of(np.array([point]))
    assert inside.all()
    for _ in range(times):
        grid.add(cells, np.array([ID[name]]), np.ones(1, np.float32))


def cost_at(grid: RollingGrid, point: tuple[float, float]) -> int:
    cells, _ = grid.cells_of(np.array([point]))
    return int(grid.snapshot().cost.reshape(-1)[cells[0]])


def test_cells_never_seen_are_unknown() -> None:
    shot = RollingGrid(CONFIG, RULES).snapshot()
    assert (shot.cost == -1).all() and (shot.label == 255).all() and (shot.confidence == 0).all()
    assert all((layer == -1).all() for layer in shot.layers.values())


def test_a_cell_keeps_its_place_in_the_world_while_the_window_rolls() -> None:
    grid = RollingGrid(CONFIG, RULES)
    see(grid, (0.7, -0.3), "road")
    for x, y in ((0.3, 0.2), (1.1, -0.6), (-0.4, 0.9)):
        grid.roll_to(x, y)
        shot = grid.snapshot()
        row, column = np.argwhere(shot.cost == 0)[0]
        assert np.allclose(
            np.array(shot.origin) + (np.array([column, row]) + 0.5) * 0.5, (0.75, -0.25)
        )
        assert (shot.cost == 0).sum() == 1


def test_the_origin_is_a_multiple_of_the_resolution() -> None:
    grid = RollingGrid(CONFIG, RULES)
    for x in np.linspace(-3, 3, 17):
        grid.roll_to(x, 1.7 * x)
        origin = np.array(grid.snapshot().origin) / 0.5
        assert np.allclose(origin, np.round(origin))


@pytest.mark.parametrize("resolution", [0.1, 0.2, 0.13])
def test_a_snapshot_has_the_cell_centres_of_its_grid(resolution: float) -> None:
    grid = RollingGrid(GridConfig(size=4.0, resolution=resolution), RULES)
    grid.roll_to(371.3, -29.77)
    centres = grid.centres()
    assert np.array_equal(grid.snapshot().centres(), centres)
    cells, inside = grid.cells_of(centres)
    assert inside.all() and np.array_equal(cells, np.arange(len(centres)))


def test_what_rolled_out_is_forgotten() -> None:
    grid = RollingGrid(CONFIG, RULES)
    see(grid, (0.0, 0.0), "road")
    grid.roll_to(50, 0)
    grid.roll_to(0, 0)
    assert cost_at(grid, (0.0, 0.0)) == -1


def test_one_wrong_frame_neither_plants_nor_clears_an_obstacle() -> None:
    grid = RollingGrid(CONFIG, RULES)
    see(grid, (0, 0), "road", times=4)
    see(grid, (0, 0), "car")
    assert cost_at(grid, (0, 0)) == 0
    see(grid, (1, 1), "car", times=4)
    see(grid, (1, 1), "road")
    assert cost_at(grid, (1, 1)) == 100


def test_seen_free_clears_an_obstacle_in_the_end() -> None:
    grid = RollingGrid(CONFIG, RULES)
    see(grid, (0, 0), "car", times=10)
    see(grid, (0, 0), "road", times=10)
    assert cost_at(grid, (0, 0)) == 0


def test_moving_things_are_forgotten_before_fixed_ones() -> None:
    grid = RollingGrid(CONFIG, RULES)
    see(grid, (0, 0), "car", times=5)
    see(grid, (1, 1), "building", times=5)
    grid.fade(6.0)
    assert cost_at(grid, (0, 0)) == -1
    assert cost_at(grid, (1, 1)) == 100


def doubt(grid: RollingGrid, point: tuple[float, float], times: int = 1) -> None:
    cells, _ = grid.cells_of(np.array([point]))
    for _ in range(times):
        grid.add_doubtful_ground(cells, np.ones(1, np.float32))


def test_doubtful_ground_has_a_cost_but_no_class_and_no_layer() -> None:
    grid = RollingGrid(CONFIG, RULES)
    doubt(grid, (0, 0))
    shot = grid.snapshot()
    assert cost_at(grid, (0, 0)) == RULES.doubtful and (shot.cost >= 0).sum() == 1
    assert (shot.label == 255).all() and (shot.confidence > 127).sum() == 1
    assert all((layer == -1).all() for layer in shot.layers.values())


def test_ground_whose_class_is_not_agreed_on_is_doubtful() -> None:
    grid = RollingGrid(CONFIG, RULES)
    see(grid, (0, 0), "road")
    see(grid, (0, 0), "sidewalk")
    assert cost_at(grid, (0, 0)) == RULES.doubtful


def test_from_free_to_doubtful_and_back_a_cell_is_never_unknown() -> None:
    grid = RollingGrid(CONFIG, RULES)
    costs = []
    for step in ("road",) * 3 + ("doubtful",) * 6 + ("road",) * 9:
        if step == "road":
            see(grid, (0, 0), step)
        else:
            doubt(grid, (0, 0))
        costs.append(cost_at(grid, (0, 0)))
    changes = [costs[0], *(b for a, b in pairwise(costs) if a != b)]
    assert changes == [0, RULES.doubtful, 0]


def test_an_obstacle_outranks_doubtful_ground_which_is_forgotten_as_fast() -> None:
    grid = RollingGrid(CONFIG, RULES)
    doubt(grid, (0, 0), times=3)
    see(grid, (0, 0), "building")
    assert cost_at(grid, (0, 0)) == 100
    doubt(grid, (1, 1), times=3)
    grid.fade(6.0)
    assert cost_at(grid, (1, 1)) == -1


def test_layers_hold_their_own_classes() -> None:
    grid = RollingGrid(CONFIG, RULES)
    see(grid, (0, 0), "sidewalk")
    see(grid, (1, 1), "pedestrian")
    shot = grid.snapshot()
    assert sorted(shot.layers["walkable"][shot.layers["walkable"] >= 0]) == [0, 60]
    assert shot.layers["moving_obstacle"].max() == 100
    assert shot.layers["static_obstacle"].max() == 0
    assert set(shot.layers) == set(RULES.layers)


def refused(folder: Path, rules: str, named: str) -> None:
    path = folder / "rules.yaml"
    path.write_text(rules)
    with pytest.raises(ValueError, match=named):
        load_rules(path, CAMVID)


def test_the_shipped_rules_know_every_class() -> None:
    kinds = {c.name: rule.kind for c, rule in zip(CAMVID, RULES.rules, strict=True)}
    assert kinds["road"] is Kind.GROUND
    assert kinds["car"] is Kind.OBSTACLE
    assert kinds["sky"] is Kind.IGNORE


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("road: {kind: water, cost: 1, layer: a}", "classes.road.kind is 'water'.*ground"),
        ("road: {kind: ground, cost: 300, layer: a}", "classes.road.cost is 300.*100"),
        ("road: {kind: ground, cost: no, layer: a}", "classes.road.cost is False"),
        ("road: {kind: ground, layer: a}", "classes.road.cost"),
        ("road: {kind: ground, cost: 1}", "classes.road.layer"),
        ("road: {kind: ground, cost: 1, layer: bänke}", "classes.road.layer is 'bänke'"),
        ("road: {kind: ground, cost: 1, layer: a__b}", "classes.road.layer is 'a__b'"),
        ("road: {kind: ground, prize: 1}", "classes.road.prize .*kind, cost, layer"),
        ("road: {cost: 1, layer: a}", "classes.road.kind"),
        ("road: {kind: ground, cost: 1, layer: a, overhang: 9}", "classes.road.overhang is 9"),
        ("road: {kind: ground, cost: 1, layer: a, moving: 1}", "classes.road.moving is 1"),
        ("road: drivable", "classes.road is 'drivable'"),
        ("rode: {kind: ignore}", r"\broad\b"),
    ],
)
def test_a_wrong_rule_is_named(tmp_path: Path, line: str, named: str) -> None:
    rows = SHIPPED.splitlines()
    changed = "\n".join(f"  {line}" if row.startswith("  road:") else row for row in rows)
    refused(tmp_path, changed, named)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("doubtful: 101", "doubtful is 101.*-1 to 100"),
        ("doubtful: much", "doubtful is 'much'"),
        ("doubtful: no", "doubtful is False"),
        ("doubtfull: 3", "doubtfull .*classes, doubtful"),
    ],
)
def test_what_is_wrong_beside_the_classes_is_named(tmp_path: Path, line: str, named: str) -> None:
    refused(tmp_path, SHIPPED.replace("doubtful: 60", line), named)


def test_a_rule_of_an_ignored_class_holds_its_kind_alone(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(SHIPPED.replace("sky: {kind: ignore}", "sky: {kind: IGNORE, cost: 3}"))
    assert load_rules(path, CAMVID) == RULES


def test_people_and_vehicles_of_the_coarse_classes_are_lethal_and_move() -> None:
    rules = dict(zip([c.name for c in IDD_LITE], default_rules(IDD_LITE).rules, strict=True))
    for name in ("living", "vehicle"):
        assert (rules[name].kind, rules[name].cost, rules[name].moving) == (
            Kind.OBSTACLE,
            100,
            True,
        )
    assert rules["living"].slender
    assert (rules["drivable"].kind, rules["drivable"].cost) == (Kind.GROUND, 0)
    assert rules["sky"].kind is Kind.IGNORE


def test_cityscapes_classes_have_rules_of_their_own_and_unknown_ones_are_refused() -> None:
    rules = default_rules(CITYSCAPES)
    by_name = dict(zip([c.name for c in CITYSCAPES], rules.rules, strict=True))
    assert by_name["road"].kind is Kind.GROUND and by_name["truck"].moving
    assert {"drivable", "walkable", "vegetation", "static_obstacle", "moving_obstacle"} == set(
        rules.layers
    )
    with pytest.raises(ValueError, match="cost_rules"):
        default_rules(CITYSCAPES[:4])
