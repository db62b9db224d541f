"""The synthetic world agrees with itself."""

from dataclasses import replace

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, drive
from stmem_ros.data.synthetic.render import View
from stmem_ros.data.synthetic.scene import KINDS, Appearance, ground_truth, make_scene
from stmem_ros.data.synthetic.varied import make_varied_scene, varied_camera

ID = {c.name: c.id for c in CAMVID}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_scene_shows_a_street(kind: str) -> None:
    frame = next(drive(make_scene(kind, 4), 1))
    share = np.bincount(frame.view.label.ravel(), minlength=256) / frame.view.label.size
    assert share[ID["road"]] > 0.15
    assert share[ID["building"]] > 0.05
    assert share[: len(CAMVID)].sum() == 1
    assert frame.view.rgb.std() > 20


def test_the_same_seed_gives_the_same_frame_and_another_seed_another() -> None:
    a, b, c = (next(drive(make_scene("avenue", s), 1)).view for s in (1, 1, 2))
    assert np.array_equal(a.rgb, b.rgb) and np.array_equal(a.label, b.label)
    assert not np.array_equal(a.label, c.label)


@pytest.mark.parametrize("seed", range(3))
def test_varied_streets_show_what_their_seed_says(seed: int) -> None:
    def view(seed: int) -> View:
        return next(drive(make_varied_scene(seed), 1, 10.0, 2.0, *varied_camera(seed))).view

    first, again, other = view(seed), view(seed), view(seed + 10)
    assert np.array_equal(first.rgb, again.rgb) and np.array_equal(first.label, again.label)
    assert not np.array_equal(first.label, other.label)
    assert (first.label == ID["road"]).mean() > 0.1
    assert np.isin(first.label, list(ID.values())).all()


def test_the_sun_darkens_ground_and_moves_no_label() -> None:
    scene = replace(make_scene("straight", 4), sun=(0.0, 0.6, 0.8))  # from a side of the street
    shade = replace(scene, appearance=Appearance(shade=0.5))
    plain, shaded = (next(drive(s, 1)).view for s in (scene, shade))
    assert np.array_equal(plain.label, shaded.label)
    road = plain.label == ID["road"]
    light = shaded.rgb[road].astype(float).mean(axis=1) / plain.rgb[road].mean(axis=1)
    assert 0.05 < (light < 0.75).mean() < 0.9 and (light > 0.9).mean() > 0.05


def test_depth_pose_and_ground_truth_agree() -> None:
    """Pixels of road and kerb, put into the world by their depth, lie on such ground."""
    scene = make_scene("straight", 4)
    *_, frame = drive(scene, 4)
    view = frame.view
    rows, columns = np.nonzero((view.label == ID["road"]) | (view.label == ID["sidewalk"]))
    depth = view.depth[rows, columns]
    rays = CAMERA.rays(np.stack([columns, rows], 1).astype(float))
    points = np.c_[rays * depth[:, None], np.ones(len(rays))]
    world = points @ (frame.world_from_base @ MOUNTING.base_from_camera()).T
    assert np.abs(world[:, 2]).max() < 1e-2
    near = depth < 30
    real = ground_truth(scene, frame.stamp, world[near, 0], world[near, 1])
    ground = view.label[rows, columns][near]
    assert (real == ground)[np.isin(real, (ID["road"], ID["sidewalk"]))].mean() > 0.999


def test_the_sky_has_no_depth() -> None:
    view = next(drive(make_scene("straight", 4), 1)).view
    assert np.array_equal(np.isnan(view.depth), view.label == ID["sky"])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'moon'.*straight"):
        make_scene("moon", 1)


def test_the_synthetic_world_is_a_data_set_too() -> None:
    from pathlib import Path

    from stmem_ros.data.dataset import DatasetError
    from stmem_ros.data.datasets import open_dataset

    data = open_dataset("synthetic", Path(), "val")
    assert len({clip.sequence for clip in data.clips}) == 4
    clip = data.clips[0]
    assert clip.is_video and data.has_label(clip.names[0])
    first, second = data.image(clip.names[0]), data.image(clip.names[1])
    assert first.shape == (360, 480, 3) and not np.array_equal(first, second)
    with pytest.raises(DatasetError, match=r"'night'.*train"):
        open_dataset("synthetic", Path(), "night")
