"""What a side of the image cuts off may stand beside it."""

from __future__ import annotations

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridConfig, GridSnapshot
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.data.synthetic.scene import ID
from stmem_ros.geometry.camera import CameraModel

AHEAD = MOUNTING.base_from_camera()
LEFT = np.array([[np.cos(1), -np.sin(1), 0], [np.sin(1), np.cos(1), 0], [0, 0, 1]])
TURNED = AHEAD.copy()  # a camera that looks 1 rad to the left
TURNED[:3] = LEFT @ AHEAD[:3]
WIDE = ((80.0, 0.0, 239.5), (0.0, 80.0, 179.5), (0.0, 0.0, 1.0))
ROW = 260  # the lowest of what is cut off


def road(name: str = "", columns: slice = slice(0, 0)) -> np.ndarray:
    """Labels: road below the sky, and something of a class in some columns."""
    label = np.full((CAMERA.height, CAMERA.width), ID["road"], np.uint8)
    label[:180] = ID["sky"]
    if name:
        label[180:ROW, columns] = ID[name]
    return label


class Drive:
    """A robot on a road, which it has driven along for 6 m."""

    def __init__(self, *, depth: bool = False, height: float = 0.0) -> None:
        self.mapper = SemanticMapper(GridConfig(resolution=0.1, size=30.0), default_rules(CAMVID))
        self.seconds = 0.0
        self.depth, self.height = depth, height
        for x in np.arange(0.0, 6.1, 0.5):
            self.see(road(), x=x)

    def see(
        self,
        label: np.ndarray,
        x: float = 6.0,
        base_from_camera: np.ndarray = AHEAD,
        camera: CameraModel = CAMERA,
        confidence: np.ndarray | None = None,
    ) -> GridSnapshot:
        """The grid after one more image."""
        self.seconds += 0.1
        pose = np.eye(4)
        pose[[0, 2], 3] = x, self.height
        depth = flat_depth(label) if self.depth else None
        sure = np.full_like(label, 255) if confidence is None else confidence
        camera_from_base = np.linalg.inv(base_from_camera)
        return self.mapper.update(
            label, sure, self.seconds, camera, camera_from_base, pose, depth
        ).grid


def flat_depth(label: np.ndarray) -> np.ndarray:
    """Depth of a flat road, and of what stands on it where it ends in the image, m."""
    rows = np.arange(CAMERA.height)
    columns = np.full(CAMERA.height, (CAMERA.width - 1) / 2)
    rays = CAMERA.rays(np.stack([columns, rows], axis=1)) @ AHEAD[:3, :3].T
    down = np.where(rays[:, 2] < -0.02, -rays[:, 2], np.nan)
    depth = np.repeat((MOUNTING.height / down).astype(np.float32)[:, None], CAMERA.width, axis=1)
    stands = (label != ID["road"]) & (label != ID["sky"])
    return np.where(stands, depth[ROW - 1], depth)


def cost_at(grid: GridSnapshot, x: float, y: float) -> int:
    column, row = np.floor((np.array([x, y]) - grid.origin) / grid.resolution).astype(int)
    return int(grid.cost[row, column])


# In m from where the robot began; it is at (6, 0) now, and what is cut off stands at (12.7, 3.4).
BESIDE = [(9.0, 3.4), (10.0, 3.6), (10.0, 4.5)]
ELSEWHERE = [(9.0, 0.0), (9.0, 2.0), (9.0, -3.4), (20.0, 2.0)]


@pytest.mark.parametrize("depth", [False, True])
def test_ground_beside_the_image_is_unknown_where_something_that_moves_is_cut_off(
    depth: bool,
) -> None:
    drive = Drive(depth=depth)
    before = drive.see(road())
    assert {cost_at(before, *place) for place in BESIDE + ELSEWHERE} == {0}
    grid = drive.see(road("car", np.s_[:40]))
    assert {cost_at(grid, *place) for place in BESIDE} == {-1}
    assert {cost_at(grid, *place) for place in ELSEWHERE} == {0}


def test_on_the_right_it_is_the_ground_on_the_right() -> None:
    grid = Drive().see(road("car", np.s_[-40:]))
    assert {cost_at(grid, x, -y) for x, y in BESIDE} == {-1}
    assert {cost_at(grid, *place) for place in BESIDE} == {0}


@pytest.mark.parametrize(
    ("name", "columns"), [("building", np.s_[:40]), ("car", np.s_[20:60]), ("", np.s_[:0])]
)
def test_what_stands_or_is_whole_in_the_image_leaves_it_as_it_was(
    name: str, columns: slice
) -> None:
    grid = Drive().see(road(name, columns))
    assert {cost_at(grid, *place) for place in BESIDE} == {0}


@pytest.mark.parametrize("height", [0.0, 3.0])
def test_what_another_camera_sees_stays(height: float) -> None:
    drive = Drive(height=height)
    drive.see(road(), base_from_camera=TURNED)
    grid = drive.see(road("car", np.s_[:40]))
    assert {cost_at(grid, *place) for place in BESIDE} == {0}
    drive.seconds += 1.0  # and no longer where it has seen nothing for a while
    grid = drive.see(road("car", np.s_[:40]))
    assert {cost_at(grid, *place) for place in BESIDE} == {-1}


def test_what_another_camera_has_under_its_mask_it_does_not_see() -> None:
    drive = Drive()
    drive.see(np.full((CAMERA.height, CAMERA.width), 255, np.uint8), base_from_camera=TURNED)
    grid = drive.see(road("car", np.s_[:40]))
    assert {cost_at(grid, *place) for place in BESIDE} == {-1}


def test_a_camera_with_another_lens_in_the_same_direction_is_another_camera() -> None:
    drive = Drive()
    wide = CameraModel(CAMERA.width, CAMERA.height, WIDE)
    drive.see(road(), camera=wide)
    grid = drive.see(road("car", np.s_[:40]))
    assert {cost_at(grid, *place) for place in BESIDE} == {0}


@pytest.mark.parametrize("depth", [False, True])
def test_what_is_not_sure_to_be_there_is_not_cut_off(depth: bool) -> None:
    label = road("car", np.s_[:40])
    grid = Drive(depth=depth).see(label, confidence=np.full_like(label, 100))
    assert {cost_at(grid, *place) for place in BESIDE} == {0}


def test_what_a_mask_cuts_off_at_the_side_is_cut_off_there() -> None:
    label = road("car", np.s_[:100])
    label[:, :60] = 255
    grid = Drive().see(label)
    assert {cost_at(grid, *place) for place in BESIDE} == {-1}
