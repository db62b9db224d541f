"""Labels placed by a depth image, in the synthetic world."""

from dataclasses import replace

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import MapUpdate, SemanticMapper
from stmem_ros.costmap.points import labelled_points
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.data.synthetic.render import View, render
from stmem_ros.data.synthetic.scene import ID, Solid, ground_truth, make_scene

RULES = default_rules(CAMVID)
CONFIG = GridConfig(size=40.0, resolution=0.1, max_range=15.0)
CAMERA_FROM_BASE = np.linalg.inv(MOUNTING.base_from_camera())


def view_of(*solids: Solid) -> View:
    scene = replace(make_scene("straight", 0), solids=solids)
    return render(scene, 0.0, CAMERA, MOUNTING.base_from_camera())


def mapped(view: View, depth: np.ndarray | None) -> MapUpdate:
    mapper = SemanticMapper(CONFIG, RULES)
    sure = np.full_like(view.label, 255)
    return mapper.update(view.label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4), depth)


def cells(update: MapUpdate) -> tuple[np.ndarray, np.ndarray]:
    steps = 0.1 * (np.arange(update.grid.label.shape[0]) + 0.5)
    x, y = np.meshgrid(update.grid.origin[0] + steps, update.grid.origin[1] + steps)
    return x, y


def box(x: float, z: float, height: float) -> Solid:
    return Solid("box", (x, 0.0, z), (2.0, 2.0, height), ID["building"], (90, 90, 90))


def test_a_bridge_blocks_nothing_and_the_road_goes_on_under_it() -> None:
    view = view_of(box(10.0, 4.0, 1.0))
    update = mapped(view, view.depth)
    assert not (update.grid.cost == 100).any()
    x, y = cells(update)
    under = (np.abs(x - 9.5) < 0.3) & (np.abs(y) < 0.5)
    assert (update.grid.label[under] == ID["road"]).mean() > 0.8  # rows are 16 cm apart there


def test_the_front_of_a_box_stands_where_it_is_even_if_it_hovers() -> None:
    view = view_of(box(10.0, 1.0, 1.2))  # its lower edge is 0.4 m over the ground
    update = mapped(view, view.depth)
    x, y = cells(update)
    lethal = (update.grid.cost == 100) & (np.abs(y) < 0.8)
    assert x[lethal].min() == pytest.approx(9.0, abs=0.15)
    assert update.obstacles[:, 2].max() == pytest.approx(1.6, abs=0.05)


def test_ground_and_obstacles_are_those_of_the_world() -> None:
    scene = make_scene("crowded", 3)
    view = render(scene, 0.0, CAMERA, MOUNTING.base_from_camera())
    update = mapped(view, view.depth)
    truth = ground_truth(scene, 0.0, *cells(update))
    seen = update.grid.label == ID["road"]
    assert seen.sum() > 2000
    assert (truth[seen] == ID["road"]).mean() > 0.98


def test_points_stay_with_the_base_and_cells_go_where_it_is() -> None:
    view = view_of(box(10.0, 1.0, 2.0))
    sure = np.full_like(view.label, 255)
    moved = np.array([[0.0, -1, 0, 2], [1, 0, 0, -3], [0, 0, 1, 0], [0, 0, 0, 1]])  # to the left
    updates = [
        SemanticMapper(CONFIG, RULES).update(
            view.label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, pose, view.depth
        )
        for pose in (np.eye(4), moved)
    ]
    assert np.array_equal(updates[0].obstacles, updates[1].obstacles)
    assert np.array_equal(updates[0].cloud, updates[1].cloud, equal_nan=True)
    fronts = []
    for update in updates:
        x, y = cells(update)
        lethal = update.grid.cost == 100
        fronts.append((x[lethal].mean(), y[lethal].mean()))
    (x, y), turned = fronts
    assert turned == pytest.approx((2 - y, x - 3), abs=0.2)


def test_pixels_without_depth_are_not_placed() -> None:
    view = view_of(box(10.0, 1.0, 2.0))
    update = mapped(view, np.full_like(view.depth, np.nan))
    assert (update.grid.cost == -1).all() and len(update.obstacles) == 0


def test_depth_of_zero_or_less_or_without_end_is_none() -> None:
    view = view_of()
    depth = view.depth.copy()
    depth[300, ::4], depth[300, 1::4], depth[300, 2::4] = 0.0, -1.0, np.inf
    update = mapped(view, depth)
    assert update.cloud is not None
    known = np.isfinite(update.cloud[300]).all(axis=-1)
    assert known.tolist() == [i % 4 == 3 for i in range(480)]


def test_the_road_that_a_car_drives_onto_is_no_longer_free() -> None:
    car = Solid("box", (10.0, 0.0, 0.75), (4.0, 1.8, 1.5), ID["car"], (90, 90, 90))
    mapper = SemanticMapper(CONFIG, RULES)
    for i, view in enumerate([view_of()] * 5 + [view_of(car)]):
        sure = np.full_like(view.label, 255)
        update = mapper.update(
            view.label, sure, 0.1 * i, CAMERA, CAMERA_FROM_BASE, np.eye(4), view.depth
        )
        x, y = cells(update)
        under = update.grid.cost[(np.abs(x - 10.0) < 1.8) & (np.abs(y) < 0.7)]
        assert (under == 0).any() == (i < 5)


def test_depth_of_another_size_is_refused_and_changes_nothing() -> None:
    view = view_of(box(10.0, 1.0, 2.0))
    mapper = SemanticMapper(CONFIG, RULES)
    sure = np.full_like(view.label, 255)
    given = (view.label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    mapper.update(*given, view.depth)
    before = mapper.grid.evidence.copy()
    with pytest.raises(ValueError, match=r"240 x 180.*480"):
        mapper.update(*given, view.depth[::2, ::2])
    assert np.array_equal(mapper.grid.evidence, before)


def test_what_a_mask_covers_has_no_place() -> None:
    view = view_of(box(10.0, 1.0, 2.0))
    label = view.label.copy()
    label[150:] = 255
    update = mapped(replace(view, label=label), view.depth)
    assert update.cloud is not None
    assert np.isnan(update.cloud[150:]).all() and np.isfinite(update.cloud[149]).any()
    assert not len(update.obstacles) or update.obstacles[:, 2].min() > 1.0
    assert labelled_points(update, label, RULES)["cost"][150:].max() == 0
