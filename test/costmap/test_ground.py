"""Slope and lean: what of a base's tilt is the ground's."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.ground import GroundSlope
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.classes import CAMVID
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.data.synthetic.render import render
from stmem_ros.data.synthetic.scene import ID, Solid, make_scene

STEPS = np.arange(0.0, 40.0, 0.5)  # m


def turned(roll: float = 0.0, pitch: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """3 x 3; degrees, a positive pitch looks down (REP-103)."""
    (a, b, c), (d, e, f) = (t(np.radians((roll, pitch, yaw))) for t in (np.cos, np.sin))
    x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    z = np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])
    return z @ y @ x


def pose(turn: np.ndarray, *place: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, place
    return matrix


def leans(poses: Iterable[np.ndarray]) -> np.ndarray:
    """How far the base looks down and leans to the right on its ground, N x 2 degrees."""
    slope, found = GroundSlope(), []
    for odom_from_base in poses:
        slope.follow(odom_from_base)
        x, y, z = slope.base_from_ground(odom_from_base)[:3, 2]  # the normal in the base
        found.append(np.degrees([np.arctan2(-x, z), np.arctan2(y, z)]))
    return np.array(found)


def test_a_body_that_nods_and_leans_on_flat_ground() -> None:
    nod, lean = 2 * np.sin(STEPS), 1.5 * np.cos(STEPS / 2)
    found = leans(
        pose(turned(r, p), s, 0, 0)
        for s, p, r in zip(STEPS, np.append(0, nod[1:]), np.append(0, lean[1:]), strict=True)
    )
    assert np.abs(found[1:, 0] - nod[1:]).max() < 0.02
    assert np.abs(found[1:, 1] - lean[1:]).max() < 0.4  # what the average makes of it


def test_a_nod_that_lasts_as_long_as_one_brakes() -> None:
    found = leans(pose(turned(pitch=2.0 * (s > 10)), s, 0, 0) for s in STEPS)
    assert np.abs(found[STEPS > 10, 0] - 2).max() < 0.01


def test_a_ramp_is_no_nod() -> None:
    up, rise = turned(pitch=-6.0), np.tan(np.radians(6))
    found = leans(pose(up if s > 10 else np.eye(3), s, 0, max(0, s - 10) * rise) for s in STEPS)
    assert np.abs(found[(STEPS < 10) | (STEPS > 15.5), 0]).max() < 0.02


def test_a_drive_that_begins_on_a_slope_is_level_with_it() -> None:
    down = turned(pitch=4.0)
    found = leans(pose(down, *(down @ (s, 0, 0))) for s in STEPS)
    assert np.abs(found).max() < 1e-6


def test_turning_on_a_hillside() -> None:
    """Its slope is first along the path, then across it."""
    hill = turned(pitch=5.0)
    along = [pose(hill, *(hill @ (s, 0, 0))) for s in STEPS]
    round_ = [pose(hill @ turned(yaw=a), *(hill @ (40, 0, 0))) for a in range(0, 91, 5)]
    across = [pose(hill @ turned(yaw=90), *(hill @ (40, s, 0))) for s in STEPS]
    assert np.abs(leans([*along, *round_, *across])).max() < 1e-6


def test_a_lean_that_stays_is_the_roads() -> None:
    found = leans(pose(turned(roll=3.0 * (s > 10)), s, 0, 0) for s in np.arange(0, 90.0, 0.5))
    assert found[21, 1] > 2.8 and found[-1, 1] < 0.1


def test_standing_still_and_circling_tell_nothing_and_take_no_memory() -> None:
    slope = GroundSlope()
    slope.follow(np.eye(4))
    for i in range(1000):
        slope.follow(pose(turned(pitch=2 * np.sin(i)), 0.001 * np.sin(i), 0, 0))
    assert np.array_equal(slope.base_from_ground(np.eye(4)), np.eye(4))
    for angle in np.arange(0, 200, 0.2):
        slope.follow(pose(turned(yaw=np.degrees(angle)), np.sin(angle), 1 - np.cos(angle), 0))
    assert len(slope._path) <= 100


@pytest.mark.parametrize("depth", [False, True])
def test_what_stands_ahead_stays_there_while_the_body_nods_in_odometry(depth: bool) -> None:
    """Cameras are fixed to the base here; odometry alone tells of the nod."""
    empty = make_scene("straight", 0)
    box = Solid("box", (21.0, 0.0, 0.75), (2.0, 1.8, 1.5), ID["building"], (90, 90, 90))
    scene = replace(empty, solids=(box,))
    mapper = SemanticMapper(
        GridConfig(size=60.0, resolution=0.1, max_range=25.0), default_rules(CAMVID)
    )
    camera_from_base = np.linalg.inv(MOUNTING.base_from_camera())
    for i, s in enumerate(np.arange(0.0, 12.0, 1.0)):
        nods = pose(turned(1.0 * np.cos(i), 2.0 * np.sin(i)) if i else np.eye(3), s, 0, 0)
        view = render(scene, 0.0, CAMERA, nods @ MOUNTING.base_from_camera())
        sure = np.full_like(view.label, 255)
        update = mapper.update(
            view.label, sure, 0.1 * i, CAMERA, camera_from_base, nods,
            view.depth if depth else None,
        )  # fmt: skip
        seen = update.obstacles[update.obstacle_labels == ID["building"]]
        place = seen @ nods[:3, :3].T + nods[:3, 3]
        near = place[np.abs(place[:, 1]) < 0.7]
        assert near[:, 0].min() == pytest.approx(20.0, abs=0.03 * (20 - s))
        assert near[:, 2].min() > 0.05 if depth else near[:, 2] == pytest.approx(0.1, abs=0.1)
    y, x = (
        np.argwhere(update.grid.cost == 100).T * 0.1 + np.array(update.grid.origin[::-1])[:, None]
    )
    assert x[np.abs(y) < 0.7].min() == pytest.approx(20.0, abs=0.3)
    if depth:
        rows = update.cloud.reshape(-1, 3) @ nods[:3, :3].T + nods[:3, 3]
        assert np.nanmin(rows[:, 2]) > -0.1
