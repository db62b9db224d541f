"""The calibrations of cameras over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stmem_ros.geometry.camera import CameraModel
from stmem_ros.geometry.camera_info import to_camera

STEADY = 0.25  # pixels, by which a calibration may change without being another one


@dataclass(frozen=True)
class _Kept:
    """A calibration in use, and the rays of some pixels all over its image."""

    camera: CameraModel
    pixels: np.ndarray
    rays: np.ndarray


class Calibrations:
    """The camera model of each camera, from its newest CameraInfo.

    Lenses that focus send a calibration with each image that differs a little from the one before.
    A model is kept as long as no pixel moves by more than ``STEADY``: what is worked out for each
    model (:func:`stmem_ros.geometry.rays.ray_table`) takes long.

    ``rectified``: the images are.
    """

    def __init__(self, rectified: bool) -> None:
        self._rectified = rectified
        self._kept: dict[str, _Kept] = {}

    def camera(self, name: str, info: Any, height: int, width: int) -> CameraModel:
        """The model of camera ``name``, for its images of ``height`` x ``width`` pixels.

        Raises:
            ValueError: as of :func:`to_camera`.
        """
        camera = to_camera(info, self._rectified, (width, height))
        kept = self._kept.get(name)
        if kept is None or not _is_steady(kept, camera):
            self._kept[name] = kept = _keep(camera)
        return kept.camera


def _keep(camera: CameraModel) -> _Kept:
    columns = np.linspace(0, camera.width - 1, 5)
    rows = np.linspace(0, camera.height - 1, 5)
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    rays = camera.rays(pixels)
    seen = np.isfinite(rays).all(axis=1)
    return _Kept(camera, pixels[seen], rays[seen])


def _is_steady(kept: _Kept, camera: CameraModel) -> bool:
    """Whether the kept calibration stands for another one."""
    before = kept.camera
    if camera == before:
        return True
    if (camera.width, camera.height, camera.model, len(camera.distortion)) != (
        before.width, before.height, before.model, len(before.distortion)
    ) or not len(kept.pixels):  # fmt: skip
        return False
    return bool(np.abs(camera.distort(kept.rays[:, :2]) - kept.pixels).max() <= STEADY)
