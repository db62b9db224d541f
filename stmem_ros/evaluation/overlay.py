"""Pictures for people: labels over the camera image, the costmap in colours."""

from __future__ import annotations

import cv2
import numpy as np

from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.data.classes import SemanticClass, palette


def overlay(
    rgb: np.ndarray, label: np.ndarray, classes: tuple[SemanticClass, ...], opacity: float = 0.5
) -> np.ndarray:
    """Label colours over an image, uint8 H x W x 3; unlabelled pixels show the image alone."""
    table = palette(classes)
    mixed = cv2.addWeighted(rgb, 1 - opacity, table[label], opacity, 0)
    unknown = label >= len(classes)
    if unknown.any():
        mixed[unknown] = rgb[unknown]
    return mixed


def costmap_picture(
    grid: GridSnapshot, classes: tuple[SemanticClass, ...], pixels: int = 480
) -> np.ndarray:
    """The grid's classes seen from above, uint8 ``pixels`` x ``pixels`` x 3.

    x points right, y up; cells never seen are dark, obstacles have a red edge.
    """
    table = palette(classes)
    picture = table[grid.label].copy()
    picture[grid.cost < 0] = (32, 32, 36)
    picture[grid.cost >= 100] = (
        0.5 * picture[grid.cost >= 100] + 0.5 * np.array([255, 40, 40])
    ).astype(np.uint8)
    return cv2.resize(picture[::-1], (pixels, pixels), interpolation=cv2.INTER_NEAREST)
