"""The rays of a camera's pixels: a table made once a calibration, on the GPU where there is one.

On a CPU that is OpenCV's work: a second or two for a distorted image of 1920 x 1080.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stmem_ros.geometry.camera import MISSED, CameraModel, largest_radius

STEPS = 20  # of Newton's method; twelve for rays at 89 degrees
COEFFICIENTS = 12  # of Brown-Conrady: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4


@lru_cache(maxsize=16)
def ray_table(camera: CameraModel, below: float = 0.0) -> np.ndarray:
    """Rays of all pixels, H x W x 3 float32, z = 1; computed once a calibration.

    Through the points ``below`` pixels under the centres; NaN where no ray meets one. By the GPU,
    if this process already uses one.
    """
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height) + below)
    pixels = np.stack([column, row], axis=-1).reshape(-1, 2)
    if torch.cuda.is_initialized() and len(camera.distortion) <= COEFFICIENTS:
        rays = rays_on(torch.device("cuda"), camera, pixels)
    else:
        rays = camera.rays(pixels)
    return rays.reshape(camera.height, camera.width, 3).astype(np.float32)


def rays_on(device: torch.device, camera: CameraModel, pixels: np.ndarray) -> np.ndarray:
    """:meth:`CameraModel.rays`, all pixels N x 2 at once on a device; float32."""
    (fx, skew, cx), (_, fy, cy), _ = camera.matrix
    u, v = torch.as_tensor(pixels, dtype=torch.float32, device=device).T
    y = (v - cy) / fy
    seen = torch.stack([(u - cx - skew * y) / fx, y])
    rays = _undistorted(seen, camera)
    missed = (_distorted(rays, camera) - seen).abs() * torch.tensor([[fx], [fy]], device=device)
    found = (missed.amax(dim=0) <= MISSED) & (rays.norm(dim=0) <= largest_radius(camera))
    rays = torch.where(found, rays, torch.nan)
    return torch.cat([rays, torch.ones_like(rays[:1])]).T.cpu().numpy()


@torch.enable_grad()
def _undistorted(seen: Tensor, camera: CameraModel) -> Tensor:
    """The rays 2 x N (x and y at z = 1) that are seen at places 2 x N, by Newton's method."""
    if not any(camera.distortion) and not camera.fisheye:
        return seen
    rays = seen
    for _ in range(STEPS):
        rays = rays.detach().requires_grad_()
        there = _distorted(rays, camera)
        # No ray depends on another: gradients of sums are the rows of each one's derivative.
        ((a, b),) = torch.autograd.grad(there[0].sum(), rays, retain_graph=True)
        ((c, d),) = torch.autograd.grad(there[1].sum(), rays)
        x, y = seen - there
        rays = rays + torch.stack([d * x - b * y, a * y - c * x]) / (a * d - b * c)
    return rays.detach()


def _distorted(rays: Tensor, camera: CameraModel) -> Tensor:
    """Where rays 2 x N are seen, at z = 1: as OpenCV's ``projectPoints`` and ``fisheye``."""
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
