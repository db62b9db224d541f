"""Images that stand still while the base moves."""

import numpy as np
import pytest

from stmem_ros.costmap.still_images import StillImages, StillImagesError

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def pose(x: float, yaw: float = 0.0) -> np.ndarray:
    result = np.eye(4)
    result[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    result[0, 3] = x
    return result


@pytest.mark.parametrize("there", [pose(1.0), pose(0.0, yaw=0.2)])
def test_an_image_from_where_the_base_is_no_more_is_refused(there: np.ndarray) -> None:
    images = StillImages()
    images.check("front", IMAGE, pose(0.0))
    with pytest.raises(StillImagesError, match="moved"):
        images.check("front", IMAGE, there)
    with pytest.raises(StillImagesError):  # also where the base comes back
        images.check("front", IMAGE, pose(0.0))
    images.check("front", IMAGE + 1, there)  # the camera works again
    images.check("front", IMAGE, pose(0.0))


def test_a_base_that_stands_may_see_the_same() -> None:
    images = StillImages()
    for step in range(20):
        images.check("front", IMAGE, pose(0.01 * step))


def test_an_image_of_flat_areas_may_look_the_same_from_elsewhere() -> None:
    images = StillImages()
    flat = np.full((48, 64, 3), 90, np.uint8)
    flat[:24] = (120, 160, 210)
    for step in range(5):
        images.check("front", flat, pose(0.3 * step))


def test_each_camera_is_judged_by_its_own_images() -> None:
    images = StillImages()
    images.check("front", IMAGE, pose(0.0))
    images.check("left", IMAGE, pose(5.0))


def test_without_odometry_nothing_is_refused() -> None:
    images = StillImages()
    images.check("front", IMAGE, None)
    images.check("front", IMAGE, None)
