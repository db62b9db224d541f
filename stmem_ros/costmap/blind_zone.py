"""The ground around the base that no camera sees: from where the image begins back to the base."""

from __future__ import annotations

import json

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.view import LabelledView
from stmem_ros.geometry.ground import meet_ground

NONE, AUTO = "", "auto"
REACH = 6.0  # m from the base, of a zone that is found by itself
BODY = 0.5  # m around the base's origin and below the camera, which the robot stands on
FORM = '"", "auto", or a polygon such as "[[-0.5, -0.6], [3.0, -1.5], [3.0, 1.5], [-0.5, 0.6]]"'


class BlindZone:
    """Where ground is taken for free until it is seen otherwise.

    Args:
        text: ``auto``: what lies between the base and the nearest ground that the image shows; a
            polygon x y in the base frame, m, as JSON; empty: nowhere.

    Raises:
        ValueError: it is none of these.
    """

    def __init__(self, text: str) -> None:
        self._is_auto = text == AUTO
        self._polygon = None if text in (NONE, AUTO) else _polygon(text)

    def outline(self, view: LabelledView) -> np.ndarray | None:
        """Corners N x 2 in the base frame, m; None where there is no zone."""
        return _before_image(view) if self._is_auto else self._polygon


def _polygon(text: str) -> np.ndarray:
    problem = f"costmap.blind_zone is {text!r}; allowed: {FORM}"
    try:
        corners = np.array(json.loads(text), float)
    except (ValueError, TypeError) as error:
        raise ValueError(problem) from error
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ValueError(problem)
    if not np.isfinite(corners).all():
        raise ValueError(problem)
    return corners


def _before_image(view: LabelledView) -> np.ndarray:
    """The hull of what the robot stands on and of the ground in the lowest row of the image.

    Where a mask covers that row, it is the lowest one above it that has a label.
    """
    columns = np.arange(0, view.camera.width, max(1, view.camera.width // 32))
    labelled = view.label[::-1, columns] != UNLABELLED
    rows = view.camera.height - 1 - labelled.argmax(axis=0)
    seen = labelled.any(axis=0)
    rays = view.lower_rays[rows[seen], columns[seen]]
    points, meets = meet_ground(rays, view.camera_from_base)
    points = points[meets]
    points *= np.minimum(1, REACH / np.maximum(np.hypot(*points.T), 1e-6))[:, None]
    corners = BODY * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    body = np.concatenate([corners, corners + view.eye[:2]])
    hull = cv2.convexHull(np.concatenate([body, points]).astype(np.float32))
    return hull[:, 0].astype(float)
