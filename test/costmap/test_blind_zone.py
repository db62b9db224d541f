"""Ground around the base that no camera sees."""

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.blind_zone import BlindZone
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.data.synthetic.scene import ID

RULES = default_rules(CAMVID)
CAMERA_FROM_BASE = np.linalg.inv(MOUNTING.base_from_camera())


def road(wall_from: int = 0) -> np.ndarray:
    """Labels: road, and a wall above a row."""
    label = np.full((360, 480), ID["road"], np.uint8)
    label[:180] = ID["sky"]
    label[180:wall_from] = ID["building"]
    return label


def mapper_with(zone: str) -> SemanticMapper:
    return SemanticMapper(GridConfig(blind_zone=zone), RULES)


def update(mapper: SemanticMapper, label: np.ndarray, stamp: float = 0.0, x: float = 0.0):
    pose = np.eye(4)
    pose[0, 3] = x
    sure = np.full_like(label, 255)
    return mapper.update(label, sure, stamp, CAMERA, CAMERA_FROM_BASE, pose).grid


def cost_at(grid, x: float, y: float = 0.0) -> int:
    column, row = np.floor((np.array([x, y]) - grid.origin) / grid.resolution).astype(int)
    return int(grid.cost[row, column])


def test_from_the_base_to_where_the_image_begins_ground_is_free() -> None:
    before, with_zone = (update(mapper_with(zone), road()) for zone in ("", "auto"))
    places = np.arange(0.1, 8.0, 0.2)
    assert {cost_at(before, x) for x in places} == {-1, 0}
    assert {cost_at(with_zone, x) for x in places} == {0}
    assert cost_at(with_zone, -2.0) == -1 and cost_at(with_zone, 0.5, 3.0) == -1
    assert (with_zone.label == before.label).all()  # it has no class


def test_under_a_hood_ground_is_free_to_where_the_image_begins_above_it() -> None:
    label = road()
    label[280:] = 255
    before, with_zone = (update(mapper_with(zone), label) for zone in ("", "auto"))
    places = np.arange(0.1, 8.0, 0.2)
    assert cost_at(before, 5.0) == -1  # the hood is before it
    assert {cost_at(with_zone, x) for x in places} == {0}


def test_a_polygon_is_the_zone() -> None:
    grid = update(mapper_with("[[-1, -2], [-1, 2], [1, 2], [1, -2]]"), road())
    assert cost_at(grid, -0.5, 1.5) == 0 and cost_at(grid, 2.0) == -1


def test_where_the_robot_drove_ground_stays_free() -> None:
    mapper = mapper_with("auto")
    for i in range(30):
        grid = update(mapper, road(), 0.5 * i, 0.5 * i)
    assert cost_at(grid, 0.1) == 0


@pytest.mark.parametrize("seconds", [0.5, 200.0])
def test_what_was_seen_there_is_not_taken_for_free_however_long_ago(seconds: float) -> None:
    mapper = mapper_with("auto")
    for i in range(4):
        grid = update(mapper, road(wall_from=330), 0.1 * i)
    wall = 0.1 + np.flatnonzero(grid.cost[100] == 100).min() * 0.2 + grid.origin[0]
    for i in range(1, 5):  # the wall fills the image, then it is nearer than the image begins
        update(mapper, road(wall_from=360), 0.3 + 0.1 * i, 0.2 * i)
    grid = update(mapper, road(wall_from=360), 0.7 + seconds, 0.8)
    assert cost_at(grid, wall) == (100 if seconds < 1 else -1)


@pytest.mark.parametrize("text", ["automatic", "[[1, 2]]", "[[1, 2], [3, 4], [5]]", "{}"])
def test_a_zone_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"costmap\.blind_zone") as error:
        BlindZone(text)
    assert repr(text) in str(error.value)
