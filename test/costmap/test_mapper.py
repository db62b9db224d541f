"""From labels to the grid, against the synthetic world's ground truth."""

import numpy as np
import pytest

from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.projection import contact_line, ground_points
from stmem_ros.costmap.rules import Kind, default_rules
from stmem_ros.data.classes import CAMVID
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, drive, ego_pose
from stmem_ros.data.synthetic.scene import ground_truth, make_scene

RULES = default_rules(CAMVID)
CONFIG = GridConfig(size=40.0, resolution=0.2, max_range=20.0)
CAMERA_FROM_BASE = np.linalg.inv(MOUNTING.base_from_camera())


def map_drive(kind: str, frames: int, odometry: bool = True):
    """The grid after a drive with perfect labels; also scene, last frame and time."""
    scene = make_scene(kind, 5)
    mapper = SemanticMapper(CONFIG, RULES)
    for frame in drive(scene, frames, rate=5.0):
        sure = np.full_like(frame.view.label, 255)
        pose = frame.world_from_base if odometry else None
        update = mapper.update(frame.view.label, sure, frame.stamp, CAMERA, CAMERA_FROM_BASE, pose)
    return update, scene, frame


def truth(update, scene, seconds: float) -> np.ndarray:
    n = update.grid.label.shape[0]
    x = update.grid.origin[0] + (np.arange(n) + 0.5) * update.grid.resolution
    y = update.grid.origin[1] + (np.arange(n) + 0.5) * update.grid.resolution
    return ground_truth(scene, seconds, *np.meshgrid(x, y))


def test_ground_lies_where_it_is() -> None:
    update, scene, frame = map_drive("straight", 8)
    real = truth(update, scene, frame.stamp)
    road = next(c.id for c in CAMVID if c.name == "road")
    known = update.grid.label != 255
    assert known.sum() > 4000
    mine, theirs = (update.grid.label == road) & known, (real == road) & known
    assert (mine & theirs).sum() / (mine | theirs).sum() > 0.9


def test_the_grid_lies_in_odom_and_its_origin_is_snapped() -> None:
    update, *_ = map_drive("straight", 4)
    steps = np.array(update.grid.origin) / CONFIG.resolution
    assert np.allclose(steps, np.round(steps))
    robot = ego_pose(make_scene("straight", 5), 3 / 5.0)[:2, 3]
    centre = np.array(update.grid.origin) + CONFIG.size / 2
    assert np.abs(centre - robot).max() <= CONFIG.resolution


def test_obstacles_stand_where_they_touch_the_ground() -> None:
    update, scene, frame = map_drive("crowded", 1)
    x, y = update.obstacles.T
    near = np.hypot(x - frame.world_from_base[0, 3], y - frame.world_from_base[1, 3]) < 12
    car = next(c.id for c in CAMVID if c.name == "car")
    mine = near & (update.obstacle_labels == car)
    assert mine.sum() > 20
    around = [
        ground_truth(scene, frame.stamp, x[mine] + dx, y[mine] + dy) == car
        for dx in (-0.4, 0, 0.4)
        for dy in (-0.4, 0, 0.4)
    ]
    assert np.logical_or.reduce(around).mean() > 0.9


def test_without_odometry_the_grid_lies_in_the_base_frame_without_memory() -> None:
    many, *_ = map_drive("straight", 5, odometry=False)
    mapper = SemanticMapper(CONFIG, RULES)
    *_, frame = drive(make_scene("straight", 5), 5, rate=5.0)
    sure = np.full_like(frame.view.label, 255)
    one = mapper.update(frame.view.label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, None)
    assert np.array_equal(many.grid.label, one.grid.label)
    assert many.grid.origin == (-20.0, -20.0)


def test_nothing_above_the_horizon_and_no_sky_is_placed() -> None:
    label = np.zeros((360, 480), np.uint8)  # all sky
    mapper = SemanticMapper(CONFIG, RULES)
    update = mapper.update(label, label + 255, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    assert (update.grid.cost == -1).all()
    top = np.array([[240.0, 10.0], [240.0, 350.0]])
    assert ground_points(top, CAMERA, CAMERA_FROM_BASE)[1].tolist() == [False, True]


def test_only_the_contact_line_of_an_obstacle_is_placed() -> None:
    kinds = np.full((6, 4), Kind.GROUND, np.uint8)
    kinds[1:4, 1] = Kind.OBSTACLE
    kinds[5, 3] = Kind.OBSTACLE  # cut by the image's edge
    kinds[0, 2] = Kind.OBSTACLE
    kinds[1, 2] = Kind.IGNORE
    assert np.argwhere(contact_line(kinds)).tolist() == [[3, 1], [5, 3]]


def test_what_cannot_be_used_leaves_the_grid_as_it_was() -> None:
    *_, frame = drive(make_scene("straight", 5), 1)
    label, sure = frame.view.label, np.full_like(frame.view.label, 255)
    mapper = SemanticMapper(CONFIG, RULES)
    mapper.update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    before = mapper.grid.evidence.copy()
    with pytest.raises(ValueError, match="aspect ratios differ"):
        mapper.update(label[:100], sure[:100], 0.1, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    with pytest.raises(ValueError, match="not finite"):
        mapper.update(label, sure, 0.1, CAMERA, CAMERA_FROM_BASE, np.full((4, 4), np.nan))
    assert np.array_equal(mapper.grid.evidence, before)
