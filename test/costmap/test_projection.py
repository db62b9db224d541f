"""What one image says about the ground below the lower edges of obstacles."""

from __future__ import annotations

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.projection import GroundObservation, observe_ground
from stmem_ros.costmap.rules import default_rules
from stmem_ros.costmap.view import LabelledView
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.data.synthetic.scene import ID
from stmem_ros.geometry.ground import meet_ground

COLUMN = CAMERA.width // 2
EDGE_ROW = CAMERA.height // 2 + 40  # the lowest row of what stands on the road


def observed(
    name: str, body: int, ground: int, edge_row: int = EDGE_ROW, unsure_rows: int = 0
) -> GroundObservation:
    """A road with something of a class on it; confidences of its body and of the ground below.

    The body is unsure in its lowest ``unsure_rows``.
    The cells are where the middle column's pixels meet the ground, from the lower edge down.
    """
    label = np.full((CAMERA.height, CAMERA.width), ID["road"], np.uint8)
    confidence = np.full_like(label, 255)
    columns = np.s_[COLUMN - 20 : COLUMN + 21]
    label[edge_row - 60 : edge_row + 1, columns] = ID[name]
    confidence[edge_row - 60 : edge_row + 1, columns] = body
    confidence[edge_row - unsure_rows + 1 : edge_row + 1, columns] = 200
    confidence[edge_row + 1 : edge_row + 12, columns] = ground
    camera_from_base = np.linalg.inv(MOUNTING.base_from_camera())
    view = LabelledView(label, confidence, CAMERA, camera_from_base, None)
    borders = view.lower_rays[edge_row : edge_row + 12, COLUMN]  # of the pixels, below each
    centres, _ = meet_ground((borders[1:] + borders[:-1]) / 2, camera_from_base)
    return observe_ground(view, centres[:, :2], default_rules(CAMVID), max_range=20.0)


@pytest.mark.parametrize(
    ("name", "body", "ground", "rows"),
    [
        ("bicyclist", 200, 160, 4),
        ("bicyclist", 250, 160, 2),
        ("bicyclist", 200, 255, 1),
        ("car", 250, 160, 2),
        ("car", 250, 255, 0),
        ("car", 200, 160, 0),
        ("pedestrian", 200, 160, 0),
        ("building", 250, 160, 0),
    ],
)
def test_wheels_may_stand_below_where_labels_of_what_moves_end(
    name: str, body: int, ground: int, rows: int
) -> None:
    seen = observed(name, body, ground)
    assert seen.wheels.tolist() == list(range(rows))
    assert (seen.wheel_labels == ID[name]).all()
    assert np.allclose(seen.wheel_weights, body / 255)


@pytest.mark.parametrize(
    ("below_centre", "rows"),
    [(20, 1), (40, 2), (100, 4)],  # 14, 9 and 4 m away
)
def test_the_nearer_a_sure_body_the_more_rows_its_wheels_may_stand_below_it(
    below_centre: int, rows: int
) -> None:
    seen = observed("car", 250, 160, CAMERA.height // 2 + below_centre)
    assert seen.wheels.tolist() == list(range(rows))


def test_the_body_of_what_is_near_speaks_for_its_wheels_though_its_edge_is_wide() -> None:
    row = CAMERA.height // 2 + 100
    unsure_rows = 8
    assert not len(observed("car", 200, 160, row).wheels)
    assert len(observed("car", 250, 160, row, unsure_rows).wheels)
    assert not len(observed("car", 250, 160, CAMERA.height // 2 + 20, unsure_rows).wheels)
