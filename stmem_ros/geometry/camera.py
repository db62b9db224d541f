"""Camera geometry: between points in the camera's optical frame and pixels.

Optical frame of REP-103: x right, y down, z forward. Distortion models of sensor_msgs/CameraInfo:
``plumb_bob``, ``rational_polynomial`` (Brown-Conrady) and ``equidistant`` (Kannala-Brandt).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

MODELS = ("plumb_bob", "rational_polynomial", "equidistant")
BROWN_CONRADY = (0, 4, 5, 8, 12, 14)  # numbers of coefficients
SHORTEST = 1 / 20  # focal length by the image's longer side; less is of no lens, but of other units
MAX_PIXEL_ERROR = 1.0  # pixels; a ray that projects farther from its pixel is not its ray

Matrix3 = tuple[tuple[float, float, float], ...]


def as_matrix(rows: Any) -> Matrix3:
    """Rows of a 3 x 3 matrix in the form :class:`CameraModel` keeps them."""
    return tuple((float(a), float(b), float(c)) for a, b, c in rows)


@dataclass(frozen=True)
class Mounting:
    """Where a camera that looks ahead sits on the vehicle.

    Attributes:
        height: over the ground, m.
        pitch: downwards, rad.
        forward: ahead of the base's origin, m.
    """

    height: float
    pitch: float = 0.0
    forward: float = 0.0

    def base_from_camera(self) -> np.ndarray:
        """4 x 4, optical frame (x right, y down, z forward) to base frame."""
        ahead = np.array([np.cos(self.pitch), 0, -np.sin(self.pitch)])
        right = np.array([0.0, -1.0, 0.0])
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=1)
        pose[:3, 3] = self.forward, 0.0, self.height
        return pose


def resizing(sx: float, sy: float) -> np.ndarray:
    """3 x 3 matrix that takes pixels of an image to those of the image resized by sx and sy."""
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of one camera.

    Attributes:
        width, height: image size in pixels.
        matrix: 3 x 3 intrinsic matrix K, in pixels.
        distortion: coefficients D; empty for a rectified image.
        model: name of the distortion model.

    Raises:
        ValueError: on construction, if a value cannot be used; the message names it.
    """

    width: int
    height: int
    matrix: Matrix3
    distortion: tuple[float, ...] = ()
    model: str = "plumb_bob"

    def __post_init__(self) -> None:
        k = np.asarray(self.matrix, float)
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"camera size is {self.width} x {self.height} pixels")
        if k.shape != (3, 3) or not np.isfinite(k).all() or k[0, 0] <= 0 or k[1, 1] <= 0:
            raise ValueError(
                f"camera matrix K is {k.tolist()}; focal lengths must be positive and finite"
            )
        longer = max(self.width, self.height)
        if min(k[0, 0], k[1, 1]) < SHORTEST * longer:
            raise ValueError(
                f"camera matrix K has focal lengths of {k[0, 0]:g} and {k[1, 1]:g}, the image "
                f"{longer} pixels; they must be in pixels, from {SHORTEST * longer:g} on"
            )
        if k[1, 0] != 0 or k[2].tolist() != [0, 0, 1]:
            raise ValueError(
                f"camera matrix K is {k.tolist()}; it must be [fx s cx, 0 fy cy, 0 0 1]"
            )
        if not np.isfinite(self.distortion).all():
            raise ValueError(f"distortion D is {self.distortion}; it must be finite")
        if self.model not in MODELS:
            raise ValueError(f"distortion model is {self.model!r}; supported: {', '.join(MODELS)}")
        allowed = (4,) if self.model == "equidistant" else BROWN_CONRADY
        if len(self.distortion) not in allowed:
            raise ValueError(
                f"distortion D has {len(self.distortion)} coefficients; {self.model!r} takes "
                f"{', '.join(map(str, allowed))}"
            )
        if k[0, 1] != 0 and any(self.distortion):
            raise ValueError(
                f"camera matrix K has a skew of {k[0, 1]}; with distortion it must be 0"
            )

    @property
    def _k(self) -> np.ndarray:
        return np.asarray(self.matrix, float)

    @property
    def _d(self) -> np.ndarray:
        return np.asarray(self.distortion, float)

    @property
    def fisheye(self) -> bool:
        """Whether pixels are distorted by the angle of their ray."""
        return self.model == "equidistant"

    def scaled(self, width: int, height: int) -> CameraModel:
        """The same camera for an image resized to ``width`` x ``height`` pixels.

        Raises:
            ValueError: the aspect ratio differs by more than 2 %: it is another camera's image.
        """
        if (width, height) == (self.width, self.height):
            return self
        sx, sy = width / self.width, height / self.height
        if abs(sx / sy - 1) > 0.02:
            raise ValueError(
                f"camera_info is for {self.width} x {self.height} pixels but the image has "
                f"{width} x {height}: the aspect ratios differ"
            )
        matrix = as_matrix(resizing(sx, sy) @ self._k)
        return replace(self, width=width, height=height, matrix=matrix)

    def turned(self, turns: int) -> CameraModel:
        """The same camera for an image turned counter-clockwise by quarter turns (np.rot90).

        Its optical frame turns with the image: see :func:`quarter_turns`.

        Raises:
            ValueError: the matrix has a skew, or the distortion a tilted sensor.
        """
        if not turns % 4:
            return self
        (fx, skew, cx), (_, fy, cy), _ = self.matrix
        if skew or any(self.distortion[12:]):
            raise ValueError(
                "a camera whose matrix has a skew, or whose distortion has a tilted sensor, must "
                "be mounted upright"
            )
        distortion = list(self.distortion)
        if not self.fisheye:  # terms that are not radial form vectors: (p2, p1), (s1, s3), (s2, s4)
            for x, y in ((3, 2), (8, 10), (9, 11)):
                if len(distortion) > max(x, y):
                    distortion[x], distortion[y] = distortion[y], -distortion[x]
        matrix = as_matrix([[fy, 0, cy], [0, fx, self.width - 1 - cx], [0, 0, 1]])
        once = replace(
            self, width=self.height, height=self.width, matrix=matrix, distortion=tuple(distortion)
        )
        return once.turned(turns % 4 - 1)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points N x 3 in the optical frame (m) to pixels N x 2, and which are in the image.

        Pixel centres have whole coordinates. Points behind the camera, outside the image, or beyond
        the angle up to which the distortion model is calibrated are not in the image.
        """
        in_front = points[:, 2] > 1e-3
        pixels = np.full((len(points), 2), -1.0)
        rays = points[in_front, :2] / points[in_front, 2:]
        calibrated = np.einsum("nd,nd->n", rays, rays) <= largest_radius(self) ** 2
        inside = np.zeros(len(points), bool)
        inside[np.flatnonzero(in_front)[calibrated]] = True
        if calibrated.any():
            pixels[inside] = self.distort(rays[calibrated])
        u, v = pixels[:, 0], pixels[:, 1]
        inside &= (u > -0.5) & (u < self.width - 0.5) & (v > -0.5) & (v < self.height - 0.5)
        return pixels, inside

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels N x 2 to rays N x 3 in the optical frame, z = 1; NaN where no ray meets one."""
        if not len(pixels):
            return np.empty((0, 3))
        points = np.ascontiguousarray(pixels, dtype=float).reshape(-1, 1, 2)
        if self.fisheye:
            flat = cv2.fisheye.undistortPoints(points, self._k, self._d)
        elif self._d.any():
            criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-9)
            flat = cv2.undistortPointsIter(points, self._k, self._d, np.eye(3), np.eye(3), criteria)
        else:
            k = self._k
            y = (points[..., 1] - k[1, 2]) / k[1, 1]
            x = (points[..., 0] - k[0, 2] - k[0, 1] * y) / k[0, 0]
            flat = np.stack([x, y], axis=-1)
        rays = np.concatenate([flat[:, 0], np.ones((len(pixels), 1))], axis=1)
        if self._d.any() or self.fisheye:  # corners may lie outside what the model can reach
            error = np.abs(self.distort(rays[:, :2]) - pixels).max(axis=1)
            too_far = np.hypot(*flat[:, 0].T) > largest_radius(self)
            rays[(error > MAX_PIXEL_ERROR) | too_far] = np.nan
        return rays

    def distort(self, rays: np.ndarray) -> np.ndarray:
        """Rays N x 2 (x and y at z = 1) to pixels N x 2, by the distortion polynomial alone."""
        if not self._d.any() and not self.fisheye:
            k = self._k
            return rays @ k[:2, :2].T + k[:2, 2]
        if self.fisheye:
            return cv2.fisheye.distortPoints(rays[:, None], self._k, self._d)[:, 0]
        points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
        return cv2.projectPoints(points, np.zeros(3), np.zeros(3), self._k, self._d)[0][:, 0]


def quarter_turns(turns: int) -> np.ndarray:
    """4 x 4: from a camera's optical frame to that of its image turned by np.rot90."""
    once = np.eye(4)
    once[:2, :2] = [[0, 1], [-1, 0]]
    return np.linalg.matrix_power(once, turns % 4)


@lru_cache(maxsize=64)
def largest_radius(camera: CameraModel) -> float:
    """Up to which distance from the axis, at z = 1, what lies farther out is seen farther out.

    Distortion polynomials turn round somewhere beyond the angles they were fitted to.
    """
    radius = np.tan(np.linspace(0, np.deg2rad(88), 1761))
    rays = np.stack([radius, np.zeros_like(radius)], axis=1)
    outward = np.diff(camera.distort(rays)[:, 0]) > 0
    return float(radius[-1] if outward.all() else radius[outward.argmin()])
