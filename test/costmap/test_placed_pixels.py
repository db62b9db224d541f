"""Pixels placed without depth, against the depth of the synthetic world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import MapUpdate, Points, SemanticMapper
from stmem_ros.costmap.points import POINT, labelled_points
from stmem_ros.costmap.rules import Kind, default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.data.synthetic.render import View, render
from stmem_ros.data.synthetic.scene import ID, Solid, make_scene
from stmem_ros.geometry.camera import quarter_turns

RULES = default_rules(CAMVID)
CAMERA_FROM_BASE = np.linalg.inv(MOUNTING.base_from_camera())
WALL = Solid("box", (12.0, 1.0, 2.0), (2.0, 3.0, 4.0), ID["building"], (90, 90, 90))


@pytest.fixture(scope="module")
def view() -> View:
    """A street with a wall on the road, its front 11 m ahead."""
    return render(
        replace(make_scene("straight", 0), solids=(WALL,)),
        0.0,
        CAMERA,
        MOUNTING.base_from_camera(),
    )


def mapped(view: View, points: Points, turns: int = 0, depth: bool = False) -> MapUpdate:
    """What is made of a view, the camera turned clockwise by quarter turns."""
    mapper = SemanticMapper(GridConfig(max_range=20.0), RULES, points)
    images = view.label, np.full_like(view.label, 255), view.depth
    label, sure, metres = (np.ascontiguousarray(np.rot90(i, turns)) for i in images)
    camera, pose = CAMERA.turned(turns), quarter_turns(turns) @ CAMERA_FROM_BASE
    seen = (camera, pose, np.eye(4), metres if depth else None)
    return mapper.update(label, sure, 0.0, *seen)


def test_ground_lies_where_it_is_and_nothing_else_has_a_place(view: View) -> None:
    cloud, true = mapped(view, Points.GROUND).cloud, mapped(view, Points.ALL, depth=True).cloud
    assert cloud is not None and true is not None and cloud.shape == true.shape
    ground = RULES.kinds[view.label] == Kind.GROUND
    near = ground & (np.hypot(*np.moveaxis(true[..., :2], -1, 0)) < 19)
    assert near.mean() > 0.2 and np.isnan(cloud[~ground]).all()
    assert np.abs(cloud[near] - true[near]).max() < 0.05


def test_obstacles_stand_upright_where_they_touch_the_ground(view: View) -> None:
    cloud, true = (mapped(view, Points.ALL, depth=depth).cloud for depth in (False, True))
    wall = view.label == ID["building"]
    front = wall & (np.abs(true[..., 0] - 11) < 0.01)
    assert front.mean() > 0.02
    assert np.abs(cloud[front] - true[front]).max() < 0.4  # a pixel covers 0.2 m there


@pytest.mark.parametrize("turns", [1, 2])
def test_a_turned_camera_has_its_points_at_its_own_pixels(view: View, turns: int) -> None:
    upright, turned = (mapped(view, Points.ALL, t).cloud for t in (0, turns))
    assert np.allclose(np.rot90(turned, -turns), upright, atol=1e-3, equal_nan=True)


def test_with_depth_ground_alone_may_be_asked_for(view: View) -> None:
    cloud, whole = (mapped(view, p, depth=True).cloud for p in (Points.GROUND, Points.ALL))
    ground = RULES.kinds[view.label] == Kind.GROUND
    assert np.isnan(cloud[~ground]).all()
    assert np.array_equal(cloud[ground], whole[ground], equal_nan=True)


def test_contacts_alone_are_one_row_and_a_cloud_is_as_large_as_the_labels(view: View) -> None:
    update = mapped(view, Points.CONTACTS)
    assert update.cloud is None and len(labelled_points(update, view.label, RULES)) == 1
    update = mapped(view, Points.ALL)
    assert labelled_points(update, view.label, RULES).shape == (360, 480)
    small = labelled_points(update, view.label, RULES, (90, 120))
    assert small.shape == (90, 120) and POINT.itemsize == 16
    # Both pixels in the middle are nearest; OpenCV 4.6 takes the first.
    nearest = [view.label[i::4, i::4] for i in (1, 2)]
    assert any(np.array_equal(small["label"], label) for label in nearest)


def test_what_a_mask_covers_has_no_point(view: View) -> None:
    label = view.label.copy()
    label[300:] = 255
    update = mapped(replace(view, label=label), Points.ALL)
    assert np.isnan(update.cloud[300:]).all() and np.isfinite(update.cloud[299]).any()
