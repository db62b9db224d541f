"""The ground plane, z = 0 of the base frame, and the rays of a camera that meet it."""

from __future__ import annotations

import numpy as np

from stmem_ros.geometry.camera import CameraModel


def meet_ground(rays: np.ndarray, camera_from_base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays N x 3 of the camera meet the ground: N x 2 in the base frame (m), and whether."""
    base_from_camera = np.linalg.inv(camera_from_base)
    directions = rays @ base_from_camera[:3, :3].T
    origin = base_from_camera[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = -origin[2] / directions[:, 2]
    meets = np.isfinite(distance) & (distance > 0)
    distance = np.where(meets, distance, 0)
    return origin[:2] + directions[:, :2] * distance[:, None], meets


def squared_norms(points: np.ndarray) -> np.ndarray:
    """Squared lengths of points N x 2."""
    return np.einsum("nd,nd->n", points, points)


def pixel_footprint(squared_distance: np.ndarray, camera: CameraModel, height: float) -> np.ndarray:
    """Metres of ground a pixel covers along the view, at squared distances over the ground."""
    return (squared_distance + height**2) / (camera.matrix[1][1] * height)
