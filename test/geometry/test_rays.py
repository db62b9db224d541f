"""Tables of rays: the same on a CPU and on a GPU."""

from dataclasses import replace

import numpy as np
import pytest
from support.cameras import CAMERAS, K

from stmem_ros.geometry.camera import CameraModel, largest_radius
from stmem_ros.geometry.rays import newton_rays, ray_table

WIDE = {  # whose corners no ray reaches, or only far from the axis
    "folds": CameraModel(640, 480, K, (-0.35, 0.0, 0.0, 0.0, 0.0)),
    "thin prism": replace(CAMERAS["rational_polynomial"], distortion=(*CAMERAS[
        "rational_polynomial"].distortion, 1e-3, 1e-4, -1e-3, 1e-4)),
    "170 degrees": CameraModel(
        640, 480, ((216.0, 0, 319.0), (0, 216.0, 241.0), (0, 0, 1)), (0.0, 0.0, 0.0, 0.0),
        "equidistant"),
}  # fmt: skip


@pytest.mark.parametrize("name", CAMERAS | WIDE)
def test_rays_are_those_that_opencv_finds(name: str) -> None:
    camera = (CAMERAS | WIDE)[name]
    column, row = np.meshgrid(np.arange(640), np.arange(0, 480, 5) + 0.5)
    pixels = np.stack([column, row], axis=-1).reshape(-1, 2)
    rays = newton_rays(camera, pixels)
    by_opencv = camera.rays(pixels)
    found, known = (np.isfinite(r).all(axis=1) for r in (rays, by_opencv))
    assert known.mean() > 0.65 and (found == known).mean() > 0.998  # but where the image folds
    back = camera.distort(rays[known & found, :2].astype(float))
    assert np.quantile(np.abs(back - pixels[known & found]), 0.999) < 0.02


@pytest.mark.parametrize("name", [name for name in CAMERAS if name != "rectified"] + ["wide lens"])
def test_rays_are_exact_up_to_the_edge(name: str) -> None:
    wide = CameraModel(640, 480, K, (-0.25, 0.08, 0.0, 0.0, -0.01))  # OpenCV stops too soon
    camera = (CAMERAS | {"wide lens": wide})[name]
    radius = 0.97 * min(largest_radius(camera), 4.0)
    angle = np.linspace(0, 2 * np.pi, 60)[:, None]
    distance = np.linspace(0, radius, 60)
    rays = np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=-1).reshape(-1, 2)
    found = newton_rays(camera, camera.distort(rays))
    assert np.abs(found[:, :2] - rays).max() < 1e-6


def test_no_ray_lies_beyond_the_angle_a_distortion_reaches() -> None:
    camera = WIDE["170 degrees"]
    rays = camera.rays(np.array([[319.0, 241.0], [0.0, 0.0]]))
    assert np.isfinite(rays[0]).all() and np.isnan(rays[1]).all()


def test_the_table_goes_through_the_points_below_the_pixels() -> None:
    ray_table.cache_clear()
    for camera in CAMERAS.values():
        table = ray_table(camera, 0.5)
        assert table.shape == (480, 640, 3) and table.dtype == np.float32
        back, inside = camera.project(table[100:200].reshape(-1, 3).astype(float))
        assert inside.all()
        rows = back[:, 1].reshape(100, 640) - np.arange(100, 200)[:, None]
        assert np.abs(rows - 0.5).max() < 0.05
