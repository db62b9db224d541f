"""Doubtful ground in messages and pictures: a cost without a class, and never "unseen"."""

import numpy as np
import pytest

from stmem_ros.classes import CAMVID, CITYSCAPES, IDD_LITE
from stmem_ros.costmap.grid import GridConfig, GridSnapshot, RollingGrid
from stmem_ros.costmap.messages import occupancy_grid, semantic_grid
from stmem_ros.costmap.rules import Kind, default_rules
from stmem_ros.drawing import DOUBTFUL, NOTHING, GridView, bird_view
from stmem_ros.io.bags import BAG_MESSAGES

RULES = default_rules(CAMVID)
HEADER = BAG_MESSAGES.header(0, "odom")
CONFIG = GridConfig(size=40.0, resolution=1.0)


@pytest.fixture
def grid() -> GridSnapshot:
    """Doubtful ground 4.5 m ahead, the road 8.5 m ahead, else nothing."""
    rolling = RollingGrid(CONFIG, RULES)
    for point, label in (((4.5, 0.5), None), ((8.5, 0.5), 3)):
        cells, _ = rolling.cells_of(np.array([point]))
        if label is None:
            rolling.add_doubtful_ground(cells, np.ones(1))
        else:
            rolling.add(cells, np.array([label]), np.ones(1))
    return rolling.snapshot()


def test_in_a_semantic_grid_it_has_a_cost_and_a_confidence_but_no_class(grid: GridSnapshot) -> None:
    message = semantic_grid(BAG_MESSAGES, grid, RULES, HEADER)
    doubtful, road = 20 * 40 + 24, 20 * 40 + 28
    assert (message.label[doubtful], message.cost[doubtful]) == (255, RULES.doubtful)
    assert message.confidence[doubtful] > 127
    assert (message.label[road], message.cost[road]) == (3, 0)
    assert (message.cost == 255).sum() == 40 * 40 - 2


def test_an_unseen_cost_is_not_given_to_doubtful_ground(grid: GridSnapshot) -> None:
    for cost in (grid.cost, grid.layers["drivable"]):
        data = occupancy_grid(BAG_MESSAGES, cost, grid, HEADER, 0).data
        changed = data != cost.reshape(-1)
        assert changed.sum() == 40 * 40 - 2 and (data[changed] == 0).all()


def test_seen_from_above_it_has_a_colour_of_its_own(grid: GridSnapshot) -> None:
    view = GridView(grid.label, grid.cost, grid.origin, grid.resolution, np.eye(4))
    picture = bird_view(view, CAMVID, side=300)  # 0.1 m a pixel, 25 m ahead at the top
    assert tuple(picture[205, 145]) == DOUBTFUL
    assert tuple(picture[100, 100]) == NOTHING


@pytest.mark.parametrize("classes", [CAMVID, CITYSCAPES, IDD_LITE])
def test_seen_from_above_nothing_lethal_looks_like_ground(classes) -> None:
    label = np.arange(len(classes), dtype=np.uint8)[None]
    ground = [i for i, rule in enumerate(default_rules(classes).rules) if rule.kind == Kind.GROUND]

    def colour(label: int, cost: int) -> np.ndarray:
        cells = np.full((40, 40), label, np.uint8)
        view = GridView(cells, np.full((40, 40), cost, np.int8), (-20, -20), 1.0, np.eye(4))
        return bird_view(view, classes, side=300)[100, 100].astype(int)

    grounds = [np.array(DOUBTFUL), *(colour(i, 0) for i in ground)]
    for i in label[0]:
        assert min(np.linalg.norm(colour(i, 100) - other) for other in grounds) > 60
