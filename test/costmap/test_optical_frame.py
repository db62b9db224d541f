"""Images that name the frame of the camera's body give no grid."""

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.rules import default_rules
from stmem_ros.costmap.view import check_optical_frame
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.geometry.camera import Mounting, quarter_turns

LABEL = np.full((CAMERA.height, CAMERA.width), 3, np.uint8)


def body_frame(down: float, roll: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """Base to a body's frame (x forward, y left, z up) that looks down, 1.5 m over the ground."""
    d, r, y = np.radians((down, roll, yaw))
    base_from_body = np.eye(4)
    base_from_body[:3, :3] = (
        np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
        @ np.array([[np.cos(d), 0, np.sin(d)], [0, 1, 0], [-np.sin(d), 0, np.cos(d)]])
        @ np.array([[1, 0, 0], [0, np.cos(r), -np.sin(r)], [0, np.sin(r), np.cos(r)]])
    )
    base_from_body[2, 3] = 1.5
    return np.linalg.inv(base_from_body)


@pytest.mark.parametrize("down", [0, 15, 30, 45, 60, 75, 80])
@pytest.mark.parametrize(("roll", "yaw"), [(0, 0), (10, 0), (-10, 120), (0, -90)])
def test_a_body_frame_gives_no_grid(down: float, roll: float, yaw: float) -> None:
    camera_from_base = body_frame(down, roll, yaw)
    with pytest.raises(ValueError, match=r"optical.*REP-103"):
        check_optical_frame(camera_from_base)
    mapper = SemanticMapper(GridConfig(), default_rules(CAMVID))
    with pytest.raises(ValueError, match=r"optical.*REP-103"):
        mapper.update(LABEL, LABEL, 0.0, CAMERA, camera_from_base, np.eye(4))


def test_an_optical_frame_is_none_of_a_body() -> None:
    check_optical_frame(np.linalg.inv(MOUNTING.base_from_camera()))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("down", [-4, 0, 10, 40])
def test_a_camera_may_be_mounted_on_its_side(turns: int, down: float) -> None:
    mounting = Mounting(1.5, np.radians(down))
    upright = np.linalg.inv(mounting.base_from_camera())
    turned = quarter_turns(turns) @ upright
    check_optical_frame(turned)
    mapper = SemanticMapper(GridConfig(), default_rules(CAMVID))
    camera = CAMERA.turned(turns)
    label = np.full((camera.height, camera.width), 3, np.uint8)
    update = mapper.update(label, np.full_like(label, 255), 0.0, camera, turned, np.eye(4))
    assert update is not None
