"""Real pictures of a straight road: what a distorted camera sees, placed on the ground."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stmem_ros.geometry.camera import CameraModel, Mounting
from stmem_ros.io.calibration import read_calibration

LANE = 3.7  # m, of a lane of a motorway in the United States
AHEAD = np.arange(5, 25, 0.05)  # m
ASIDE = np.arange(-5, 5, 0.02)


def from_above(
    picture: np.ndarray, camera: CameraModel, camera_from_base: np.ndarray
) -> np.ndarray:
    """The red of the picture at ground points, AHEAD x ASIDE (yellow and white are both red)."""
    x, y = np.meshgrid(AHEAD, ASIDE, indexing="ij")
    ground = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], axis=-1).reshape(-1, 4)
    pixels, _ = camera.project((ground @ camera_from_base.T)[:, :3])
    u, v = pixels.T.reshape(2, *x.shape).astype(np.float32)
    return cv2.remap(picture[..., 2], u, v, cv2.INTER_LINEAR).astype(np.float32)


def line_near(view: np.ndarray, aside: float) -> tuple[float, float]:
    """Slope and position at 12 m of the painted line nearest to ``aside``, m."""
    brighter = view - cv2.blur(view, (41, 1))
    around = np.flatnonzero(np.abs(ASIDE - aside) < 0.8)
    best = brighter[:, around].argmax(axis=1)
    painted = brighter[np.arange(len(view)), around[best]] > 40
    x, y = AHEAD[painted], ASIDE[around[best]][painted]
    for _ in range(5):
        slope, at_0 = np.polyfit(x, y, 1)
        off = np.abs(slope * x + at_0 - y)
        near = off < max(0.1, 2 * np.median(off))
        x, y = x[near], y[near]
    assert len(x) > 40
    return slope, slope * 12 + at_0


@pytest.mark.parametrize("name", ["straight_lines1.jpg", "straight_lines2.jpg"])
def test_lane_lines_are_parallel_and_a_lane_apart(real_data: Path, name: str) -> None:
    """Pitch, yaw and height were estimated on the first picture; the second tests them too."""
    calibration = real_data / "udacity" / "calibration.json"
    estimate = json.loads(calibration.read_text())["estimate"]
    mounting = Mounting(estimate["camera_height_m"], np.radians(estimate["pitch_down_deg"]))
    yaw = np.radians(estimate["yaw_deg"])
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    camera_from_base = np.linalg.inv(turned @ mounting.base_from_camera())
    picture = cv2.imread(str(real_data / "udacity" / name))

    view = from_above(picture, read_calibration(calibration), camera_from_base)
    left, right = line_near(view, LANE / 2), line_near(view, -LANE / 2)
    assert abs(np.degrees(np.arctan(left[0]) - np.arctan(right[0]))) < 1
    assert left[1] - right[1] == pytest.approx(LANE, rel=0.05)
