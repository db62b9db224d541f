"""Camera models: projection and its inverse."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.cameras import CAMERAS, K

from stmem_ros.geometry.camera import CameraModel, quarter_turns
from stmem_ros.geometry.camera_info import to_camera


@pytest.mark.parametrize("name", CAMERAS)
def test_projecting_the_ray_of_a_pixel_gives_the_pixel(name: str) -> None:
    camera = CAMERAS[name]
    u, v = np.meshgrid(np.arange(0, 640, 37), np.arange(0, 480, 31))
    pixels = np.stack([u.ravel(), v.ravel()], 1).astype(float)
    back, inside = camera.project(camera.rays(pixels) * 7.0)
    assert inside.all()
    assert np.abs(back - pixels).max() < 0.05


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("name", CAMERAS)
def test_a_turned_camera_sees_the_turned_image(name: str, turns: int) -> None:
    camera = CAMERAS[name]
    pixels = np.array([[20.0, 30.0], [600.0, 50.0], [100.0, 400.0], [320.0, 240.0]])
    there = camera.turned(turns)
    points = camera.rays(pixels) @ quarter_turns(turns)[:3, :3].T
    found, inside = there.project(points)
    assert inside.all()
    marks = np.zeros((480, 640), np.uint8)
    marks[pixels[:, 1].astype(int), pixels[:, 0].astype(int)] = [1, 2, 3, 4]
    column, row = np.rint(found).astype(int).T
    assert (there.height, there.width) == np.rot90(marks, turns).shape
    assert np.rot90(marks, turns)[row, column].tolist() == [1, 2, 3, 4]


def test_points_behind_and_beside_the_camera_are_not_in_the_image() -> None:
    points = np.array([[0, 0, -5.0], [100, 0, 5.0], [0, 0, 0.0], [0, 0, 5.0]])
    for camera in CAMERAS.values():
        assert camera.project(points)[1].tolist() == [False, False, False, True]


def test_distortion_does_not_fold_far_points_back_into_the_image() -> None:
    """At 60 degrees this polynomial has turned round and points at the image again."""
    camera = CameraModel(640, 480, K, (-0.25, 0.0, 0.0, 0.0, 0.0))
    angles = np.deg2rad(np.arange(55, 70))
    points = np.stack([np.tan(angles), np.zeros_like(angles), np.ones_like(angles)], 1)
    raw, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), np.array(K), np.array(camera.distortion)
    )
    assert ((raw[:, 0, 0] > 0) & (raw[:, 0, 0] < 640)).any()
    assert not camera.project(points)[1].any()


def test_a_scaled_camera_sees_the_same_directions() -> None:
    camera = CAMERAS["plumb_bob"]
    half = camera.scaled(320, 240)
    whole = camera.rays(np.array([[100.5, 200.5]]))
    assert np.allclose(half.rays(np.array([[50.0, 100.0]])), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 0}, "0 x 480"),
        ({"matrix": ((float("nan"), 0, 0), (0, 1, 0), (0, 0, 1))}, "focal lengths"),
        ({"matrix": ((0.0, 0, 0), (0, 0, 0), (0, 0, 0))}, "focal lengths"),
        ({"matrix": ((0.8, 0, 0.5), (0, 0.8, 0.5), (0, 0, 1))}, "pixels"),  # of the width
        ({"matrix": ((375, 375, 240), (375, 375, 240), (0, 0, 1))}, "cx"),
        ({"matrix": ((400, 0, 320), (0, 410, 240), (0, 0, 0))}, "cx"),
        ({"matrix": ((400, 2, 320), (0, 410, 240), (0, 0, 1)), "distortion": (0.1,) * 4}, "skew"),
        ({"distortion": (0.1, 0.1, 0.0)}, " 3 .*'plumb_bob'"),
        (
            {"distortion": (0.1,) * 5, "model": "equidistant"},
            " 5 .*'equidistant'",
        ),
        ({"distortion": (float("inf"),)}, "distortion D"),
        ({"model": "magic"}, "'magic'.*plumb_bob"),
    ],
)
def test_unusable_intrinsics_are_refused(change: dict, named: str) -> None:
    values = {"width": 640, "height": 480, "matrix": K} | change
    with pytest.raises(ValueError, match=named):
        CameraModel(**values)


def test_an_image_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"640 x 480.*640 x 200"):
        CAMERAS["rectified"].scaled(640, 200)


def camera_info(**changes: object) -> SimpleNamespace:
    """As of sensor_msgs/CameraInfo; a stereo pair's right camera by its P."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    values = {
        "width": 640, "height": 480, "distortion_model": "plumb_bob", "d": [0.1, 0, 0, 0, 0],
        "k": [500.0, 0, 320, 0, 510, 240, 0, 0, 1],
        "p": [450.0, 0, 310, -45, 0, 450, 235, 0, 0, 0, 1, 0],
        "binning_x": 0, "binning_y": 0, "roi": roi,
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def test_of_a_rectified_image_p_counts_and_no_distortion() -> None:
    camera = to_camera(camera_info(), rectified=True)
    assert camera.matrix == ((450, 0, 310), (0, 450, 235), (0, 0, 1))
    assert not camera.distortion
    raw = to_camera(camera_info(), rectified=False)
    assert raw.matrix == ((500, 0, 320), (0, 510, 240), (0, 0, 1))
    assert raw.distortion == (0.1, 0, 0, 0, 0)
    with pytest.raises(ValueError, match=r"\bP\b"):
        to_camera(camera_info(p=[0.0] * 12), rectified=True)


@pytest.mark.parametrize("rectified", [False, True])
def test_a_region_of_interest_and_binned_pixels_are_the_same_camera(rectified: bool) -> None:
    roi = SimpleNamespace(x_offset=100, y_offset=60, width=400, height=300)
    part = to_camera(camera_info(roi=roi, binning_x=2, binning_y=2), rectified)
    assert (part.width, part.height) == (200, 150)
    points = np.array([[0.1, 0.05, 1.0], [-0.2, 0.1, 2.0]])
    whole, _ = to_camera(camera_info(), rectified).project(points)
    mine, _ = part.project(points)
    # A binned pixel's centre lies between those of the two it is made of.
    assert np.allclose(mine, (whole - (100, 60) - 0.5) / 2)


def test_binning_alone_is_that_of_the_whole_sensor() -> None:
    camera = to_camera(camera_info(binning_x=4, binning_y=2), rectified=False)
    assert (camera.width, camera.height) == (160, 240)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"roi": (300, 60, 400, 300)},
            "400 x 300.*\\(300, 60\\)",
        ),
        ({"roi": (640, 0, 0, 480)}, "0 x 480.*\\(640, 0\\)"),
        ({"binning_x": 1000}, "1000 x 1.*640 x 480"),
    ],
)
def test_a_region_that_is_no_part_of_the_sensor_is_refused(changes: dict, named: str) -> None:
    if "roi" in changes:
        names = ("x_offset", "y_offset", "width", "height")
        changes = {"roi": SimpleNamespace(**dict(zip(names, changes["roi"], strict=True)))}
    with pytest.raises(ValueError, match=named):
        to_camera(camera_info(**changes), rectified=False)
