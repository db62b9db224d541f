"""Calibrations as drivers really send them: used where they mean one thing, else refused."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stmem_ros.geometry.calibrations import Calibrations
from stmem_ros.geometry.camera_info import read_out, to_camera
from stmem_ros.io.calibration import read_calibration

K = (100.0, 0, 63.5, 0, 100.0, 47.5, 0, 0, 1)
P = (100.0, 0, 63.5, 0, 0, 100.0, 47.5, 0, 0, 0, 1, 0)
IDENTITY = tuple(np.eye(3).ravel())
FISH = [0.02, -0.005, 0.001, 0.0]
SIZE = (128, 96)


def camera_info(model: str = "plumb_bob", d: list[float] | None = None, **changes: object):
    """As of sensor_msgs/CameraInfo, of 128 x 96 pixels; ``roi``: x, y, width, height."""
    x, y, width, height = changes.pop("roi", (0, 0, 0, 0))
    roi = SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height)
    values = {"width": 128, "height": 96, "k": K, "r": IDENTITY, "p": P, "binning_x": 0,
              "binning_y": 0} | changes  # fmt: skip
    return SimpleNamespace(distortion_model=model, d=d or [], roi=roi, **values)


@pytest.mark.parametrize(
    ("model", "d", "found"),
    [
        ("equidistant", [*FISH, 0.0], ("equidistant", tuple(FISH))),
        ("fisheye", FISH, ("equidistant", tuple(FISH))),
        ("Kannala Brandt4", FISH, ("equidistant", tuple(FISH))),
        ("none", [0.0] * 5, ("plumb_bob", ())),
        ("pinhole", [], ("plumb_bob", ())),
        ("", [], ("plumb_bob", ())),
        ("", [0.1, 0, 0, 0, 0], ("plumb_bob", (0.1, 0, 0, 0, 0))),
        ("plumb_bob", [0.4] * 8, ("plumb_bob", (0.4,) * 8)),
        ("plumb_bob", [0.1, 0.2, 0, 0, 0, 0], ("plumb_bob", (0.1, 0.2, 0, 0))),
        ("Brown-Conrady", [0.1] * 5, ("plumb_bob", (0.1,) * 5)),
        ("rational_polynomial", [0.4] * 8 + [0.0] * 6,
         ("rational_polynomial", (0.4,) * 8 + (0.0,) * 6)),
        ("rational_polynomial", [0.4] * 8 + [0.0] * 2, ("rational_polynomial", (0.4,) * 8)),
    ],
)  # fmt: skip
def test_names_and_numbers_of_drivers_are_understood(
    model: str, d: list[float], found: tuple, tmp_path: Path
) -> None:
    camera = to_camera(camera_info(model, d), rectified=False, size=SIZE)
    assert (camera.model, camera.distortion) == found
    content = {"width": 128, "height": 96, "K": np.reshape(K, (3, 3)).tolist(), "D": d}
    (tmp_path / "c.json").write_text(json.dumps(content | {"distortion_model": model}))
    assert read_calibration(tmp_path / "c.json") == camera


@pytest.mark.parametrize(
    ("model", "d", "named"),
    [
        ("plumb_bob", [float("nan")] * 5, "finite"),
        ("plumb_bob", [-0.2, 0.05], " 2 .*plumb_bob"),
        ("plumb_bob", [0.1] * 6, " 6 "),
        ("equidistant", [0.1] * 5, " 5 "),
        ("equidistant", [], " 0 "),
        ("none", [0.1, 0, 0, 0, 0], "'none'.*plumb_bob"),
        ("pinhole", [0.1, 0, 0, 0, 0], "'pinhole'.*plumb_bob"),
        ("mei", [0.1] * 4, "'mei'.*equidistant"),
    ],
)
def test_what_has_no_single_meaning_is_refused(model: str, d: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        to_camera(camera_info(model, d), rectified=False, size=SIZE)


def test_a_matrix_that_nobody_set_is_told_by_the_other_one() -> None:
    right = to_camera(camera_info(), rectified=False)
    for unset in (IDENTITY, (0.0,) * 9):
        assert to_camera(camera_info(k=unset), rectified=False) == right
        assert to_camera(camera_info(p=(0.0,) * 12), rectified=True) == right
        with pytest.raises(ValueError, match="calibrate"):
            to_camera(camera_info(d=[0.1] * 5, k=unset), rectified=False)
        with pytest.raises(ValueError, match="calibrate"):
            to_camera(camera_info(k=unset, p=(0.0,) * 12), rectified=False)


def test_a_size_that_nobody_filled_in_is_named() -> None:
    with pytest.raises(ValueError, match=r"0 x 0.*fill in"):
        to_camera(camera_info(width=0, height=0), rectified=False, size=SIZE)


def test_of_a_stereo_pairs_right_camera_the_image_is_its_own() -> None:
    right = to_camera(camera_info(p=(*P[:3], -12.0, *P[4:])), rectified=True)
    assert right == to_camera(camera_info(), rectified=True)


@pytest.mark.parametrize("roi", [(0, 0, 127, 95), (0, 0, 128, 95), (1, 0, 128, 96)])
def test_a_region_that_is_off_by_a_pixel_is_that_of_the_image(roi: tuple) -> None:
    camera = to_camera(camera_info(roi=roi), rectified=True, size=SIZE)
    assert (camera.width, camera.height) == SIZE
    assert camera.matrix[0][0] == 100


def test_binning_that_rounds_up_is_that_of_the_image() -> None:
    _, width, height = read_out(camera_info(binning_x=3, binning_y=3), (43, 32))
    assert (width, height) == (43, 32)


def test_a_region_of_an_image_that_is_whole_is_refused() -> None:
    with pytest.raises(ValueError, match=r"region of interest of 64 x 48.*128 x 96"):
        to_camera(camera_info(roi=(32, 24, 64, 48)), rectified=True, size=SIZE)


@pytest.mark.parametrize("roi", [(0, 0, 64, 48), (16, 12, 32, 24)])
def test_a_region_in_binned_pixels_is_refused(roi: tuple) -> None:
    info = camera_info(roi=roi, binning_x=2, binning_y=2)
    size = roi[2:]
    named = rf"{size[0]} x {size[1]} pixels, binned by 2 x 2.*image has {size[0]} x {size[1]}"
    with pytest.raises(ValueError, match=named):
        to_camera(info, rectified=True, size=size)
    assert to_camera(info, rectified=True, size=(size[0] // 2, size[1] // 2)).matrix[0][0] == 50


def test_a_lens_that_focuses_keeps_its_model_until_pixels_move() -> None:
    calibrations = Calibrations(rectified=False)

    def camera(focus: float):
        k = (100.0 + focus, *K[1:])
        return calibrations.camera("", camera_info(d=[-0.2, 0.05, 0, 0, 0], k=k), 96, 128)

    first = camera(0.0)
    assert camera(0.01) is first and camera(-0.02) is first
    moved = camera(2.0)
    assert moved.matrix[0][0] == 102 and camera(2.01) is moved
    other = calibrations.camera("", camera_info(d=[-0.2, 0.05, 0, 0]), 96, 128)
    assert other == dataclasses.replace(first, distortion=(-0.2, 0.05, 0, 0))
