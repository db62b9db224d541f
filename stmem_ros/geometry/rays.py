"""The rays of a camera's pixels: a table made once per calibration, on the CPU.

They are found by Newton's method in double precision: OpenCV's iteration has not converged near the
edge of a wide lens. A GPU is left out of it: memory, and a context on a device that may not be the
network's, for a table that is made once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stmem_ros.geometry.camera import MAX_PIXEL_ERROR, CameraModel, largest_radius

NEWTON_STEPS = 20  # rays at 89 degrees take twelve
CONVERGED = 1e-12  # m at z = 1
CHUNK = 1 << 18  # pixels at a time
COEFFICIENTS = 12  # of Brown-Conrady: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4


@lru_cache(maxsize=16)
def ray_table(camera: CameraModel, below: float = 0.0) -> np.ndarray:
    """Rays of all pixels, H x W x 3 float32, z = 1; computed once per calibration.

    Through the points ``below`` pixels under the centres; NaN where no ray meets one.
    """
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height) + below)
    pixels = np.stack([column, row], axis=-1).reshape(-1, 2)
    if len(camera.distortion) <= COEFFICIENTS:
        parts = np.array_split(pixels, -(-len(pixels) // CHUNK))
        rays = np.concatenate([newton_rays(camera, part) for part in parts])
    else:  # a tilted sensor
        rays = camera.rays(pixels)
    return rays.reshape(camera.height, camera.width, 3).astype(np.float32)


def newton_rays(camera: CameraModel, pixels: np.ndarray) -> np.ndarray:
    """:meth:`CameraModel.rays`, all pixels N x 2 at once."""
    (fx, skew, cx), (_, fy, cy), _ = camera.matrix
    u, v = torch.as_tensor(pixels, dtype=torch.float64).T
    y = (v - cy) / fy
    distorted = torch.stack([(u - cx - skew * y) / fx, y])
    rays = _undistort(distorted, camera)
    error = (_distort(rays, camera) - distorted).abs() * distorted.new_tensor([[fx], [fy]])
    valid = (error.amax(dim=0) <= MAX_PIXEL_ERROR) & (rays.norm(dim=0) <= largest_radius(camera))
    rays = torch.where(valid, rays, torch.nan)
    return torch.cat([rays, torch.ones_like(rays[:1])]).T.numpy()


@torch.enable_grad()
def _undistort(distorted: Tensor, camera: CameraModel) -> Tensor:
    """The rays 2 x N (x and y at z = 1) that appear at points 2 x N, by Newton's method."""
    if not any(camera.distortion) and not camera.fisheye:
        return distorted
    rays = distorted
    for _ in range(NEWTON_STEPS):
        rays = rays.detach().requires_grad_()
        projected = _distort(rays, camera)
        # No ray depends on another: gradients of sums are the rows of each one's derivative.
        ((a, b),) = torch.autograd.grad(projected[0].sum(), rays, retain_graph=True)
        ((c, d),) = torch.autograd.grad(projected[1].sum(), rays)
        x, y = distorted - projected
        step = torch.stack([d * x - b * y, a * y - c * x]) / (a * d - b * c)
        rays = rays + step
        if step.abs().nan_to_num(0.0).amax() <= CONVERGED:  # no ray, no step
            break
    return rays.detach()


def _distort(rays: Tensor, camera: CameraModel) -> Tensor:
    """Where rays 2 x N appear, at z = 1: as OpenCV's ``projectPoints`` and ``fisheye``."""
    x, y = rays
    # A tiny radius in place of none has a derivative.
    r2 = x * x + y * y + 1e-12
    if camera.fisheye:
        k1, k2, k3, k4 = camera.distortion
        r = r2.sqrt()
        angle = r.atan()
        t2 = angle * angle
        return rays * angle * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) / r
    padded = camera.distortion + (0.0,) * (COEFFICIENTS - len(camera.distortion))
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = padded
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + r2 * s2),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + r2 * (s3 + r2 * s4),
        ]
    )
