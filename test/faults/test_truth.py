"""The check of grids by the street sees what it is there for: obstacles left in a wrong place."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from catalogue import pose
from robot import CAMERA, Street, base_from_camera, base_pose
from trial import CAMERAS, WRONG
from watch import SeenGrid, Truth

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.motion import BaseMotion
from stmem_ros.costmap.rules import default_rules
from stmem_ros.frames import CameraFrame
from stmem_ros.io.bags import BAG_MESSAGES
from stmem_ros.pipeline import Pipeline, PipelineConfig
from stmem_ros.stamps import SECOND

RATE = 5.0  # Hz
JUMP, END = 6.0, 9.0  # s


class KnownPoses:
    """A ``TransformSource`` that knows where the robot is, in an odometry that jumps once."""

    def __init__(self, jump: np.ndarray) -> None:
        self._jump = jump

    def lookup(self, target: str, source: str, stamp: int) -> np.ndarray:
        if target != "odom":
            return np.linalg.inv(base_from_camera(target))
        return self.odom_from_street(stamp / SECOND) @ base_pose(stamp / SECOND)

    def odom_from_street(self, seconds: float) -> np.ndarray:
        return self._jump if seconds >= JUMP else np.eye(4)

    def time_went_back(self) -> None:
        raise AssertionError("it does not")


@pytest.fixture(scope="module")
def street() -> Street:
    return Street(CAMERAS, RATE)


def grids(street: Street, poses: KnownPoses) -> Iterator[SeenGrid]:
    """What becomes of labels that are right."""
    config = PipelineConfig(cameras=CAMERAS, costmap_rate=100.0)
    pipeline = Pipeline(None, default_rules(CAMVID), config, poses)
    info = BAG_MESSAGES.camera_info(CAMERA, BAG_MESSAGES.header(0, ""))
    for i in range(round(END * RATE)):
        for name, views in street.views.items():
            view, stamp = views[i % len(views)], round(i / RATE * SECOND)
            frame = CameraFrame(name, view.rgb, stamp, name)
            sure = np.full(view.label.shape, 255, np.uint8)
            result = pipeline.fuse(pipeline.labelled_frame(frame, view.label, sure), info)
            if result is not None and result.placed is not None:
                grid = result.placed.update.grid
                yield SeenGrid(i / RATE, i / RATE, grid.cost, grid.resolution, grid.origin, "odom")


def wrong_cells(street: Street, jump: np.ndarray) -> tuple[int, int]:
    """Of the worst grid before the jump, and after it."""
    poses, truth = KnownPoses(jump), Truth()
    counts = [
        (grid.at, truth.wrong_cells(grid, np.linalg.inv(poses.odom_from_street(grid.at))))
        for grid in grids(street, poses)
    ]
    before = max(count for at, count in counts if at < JUMP)
    return before, max(count for at, count in counts if at >= JUMP)


@pytest.mark.parametrize(
    "jump",
    [pose(x=1.0), pose(y=3.0), pose(x=10.0), pose(y=12.0), pose(yaw=math.pi / 2)],
    ids=["1 m", "3 m aside", "10 m", "12 m aside", "90 degrees"],
)
def test_obstacles_that_a_jump_left_in_a_wrong_place_are_seen(
    street: Street, jump: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = wrong_cells(street, jump)
    assert after <= before + WRONG
    monkeypatch.setattr(BaseMotion, "begins_anew", lambda self, *pose: self.stamp is None)
    before, after = wrong_cells(street, jump)
    assert after > before + WRONG
