"""Where the rays of a camera go and where bodies of the world lie in its image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stmem_ros.data.synthetic.scene import Solid
from stmem_ros.geometry.camera import CameraModel

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
EDGES = np.array([(a, a + step) for step in (1, 2, 4) for a in range(8) if not a & step])


@lru_cache(maxsize=4)
def pixel_rays(camera: CameraModel) -> np.ndarray:
    """Rays of all pixels, H x W x 3 in the optical frame, z = 1: their parameter is the depth."""
    v, u = np.mgrid[: camera.height, : camera.width]
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2)
    return camera.rays(pixels).reshape(camera.height, camera.width, 3)


class Box(NamedTuple):
    """The part of an image that a body may cover, and the depth it begins at, m."""

    near: float
    rows: slice
    columns: slice


@dataclass(frozen=True)
class Screen:
    """Where bodies of the world are in the image."""

    camera: CameraModel
    camera_from_world: np.ndarray

    def box(self, body: Solid) -> Box | None:
        """What the body may cover; None if nothing."""
        points = corners(body) @ self.camera_from_world[:3, :3].T + self.camera_from_world[:3, 3]
        near = float(points[:, 2].min())
        if points[:, 2].max() < 0.1 or near > 200:
            return None
        if near < 0.1:
            points = _in_front(points)
        height, width = self.camera.height, self.camera.width
        k = self.camera.matrix
        u = k[0][0] * points[:, 0] / points[:, 2] + k[0][2]
        v = k[1][1] * points[:, 1] / points[:, 2] + k[1][2]
        rows = slice(_within(v.min() - 1, height), _within(v.max() + 2, height))
        columns = slice(_within(u.min() - 1, width), _within(u.max() + 2, width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        return Box(near, rows, columns)

    def outline(self, polygon: np.ndarray, plane: float = 0.2) -> np.ndarray | None:
        """Pixels, int32 N x 2, of a convex polygon N x 3 in the world, as far as it lies in front
        of the camera by ``plane`` m; None if nothing does."""
        points = polygon @ self.camera_from_world[:3, :3].T + self.camera_from_world[:3, 3]
        following = np.roll(points, -1, axis=0)
        kept = []
        for start, end in zip(points, following, strict=True):
            if start[2] >= plane:
                kept.append(start)
            if (start[2] < plane) != (end[2] < plane):
                kept.append(start + (plane - start[2]) / (end[2] - start[2]) * (end - start))
        if not kept:
            return None
        seen = np.array(kept) @ np.array(self.camera.matrix).T
        reach = 8 * max(self.camera.width, self.camera.height)
        return np.rint(np.clip(seen[:, :2] / seen[:, 2:], -reach, reach)).astype(np.int32)


def _in_front(points: np.ndarray, plane: float = 1e-3) -> np.ndarray:
    """Corners of the part of a box that lies beyond a depth, m."""
    start, end = points[EDGES[:, 0]], points[EDGES[:, 1]]
    crossing = (start[:, 2] < plane) != (end[:, 2] < plane)
    start, end = start[crossing], end[crossing]
    share = ((plane - start[:, 2]) / (end[:, 2] - start[:, 2]))[:, None]
    return np.concatenate([points[points[:, 2] >= plane], start + share * (end - start)])


def corners(body: Solid) -> np.ndarray:
    """Corners 8 x 3 of the box round a body, in the world, m."""
    return CORNERS * body.size @ rotation(body.yaw).T + body.centre


def _within(value: float, limit: int) -> int:
    return int(min(max(value, 0), limit))


def rotation(yaw: float) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
