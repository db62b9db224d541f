"""Placing labels on flat ground: which ground cells an image says something about, and what.

Frames of REP-105: the ground is the plane z = 0 of the base frame (``base_footprint``); transforms
are 4 x 4 matrices, ``a_from_b`` takes points of frame b to frame a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stmem_ros.costmap.camera import CameraModel
from stmem_ros.costmap.rules import CostRules, Kind


@dataclass(frozen=True)
class GroundObservation:
    """What one image says about ground points.

    Attributes:
        cells: indices of observed cells, in the order the cell centres were given in.
        labels: class of each, uint8.
        weights: how much to trust each, 0..1.
        contacts: ground points N x 2 (m, base frame) where an obstacle meets the ground.
        contact_labels: class of each, uint8.
        contact_weights: how much to trust each, 0..1.
    """

    cells: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    contacts: np.ndarray
    contact_labels: np.ndarray
    contact_weights: np.ndarray


def observe_ground(
    label: np.ndarray,
    confidence: np.ndarray,
    camera: CameraModel,
    camera_from_base: np.ndarray,
    centres: np.ndarray,
    rules: CostRules,
    max_range: float,
) -> GroundObservation:
    """Read the cells' classes out of a label image, and find where obstacles stand.

    Each cell centre is projected into the image and takes the label it meets, if that is a ground
    class. Obstacles are placed by their contact line: the lowest pixels above ground pixels.

    Args:
        label, confidence: H x W uint8, as in ``Segmentation``.
        camera: of the same image size.
        camera_from_base: base frame to the camera's optical frame.
        centres: N x 2 cell centres in the base frame, m.
        rules: kinds of the classes.
        max_range: ground farther from the base than this is not read, m.
    """
    kinds = rules.kinds[label]
    near = np.flatnonzero((centres**2).sum(axis=1) <= max_range**2)
    points = centres[near] @ camera_from_base[:3, :2].T + camera_from_base[:3, 3]
    pixels, inside = camera.project(points)
    cells = near[inside]
    column, row = np.rint(pixels[inside]).astype(np.intp).T
    ground = kinds[row, column] == Kind.GROUND
    cells, row, column = cells[ground], row[ground], column[ground]

    contact_row, contact_column = np.nonzero(contact_line(kinds))
    contacts, on_ground = ground_points(
        np.stack([contact_column, contact_row + 0.5], axis=1), camera, camera_from_base
    )
    kept = on_ground & ((contacts**2).sum(axis=1) <= max_range**2)
    contact_row, contact_column = contact_row[kept], contact_column[kept]
    return GroundObservation(
        cells,
        label[row, column],
        confidence[row, column] / np.float32(255),
        contacts[kept],
        label[contact_row, contact_column],
        confidence[contact_row, contact_column] / np.float32(255),
    )


def contact_line(kinds: np.ndarray) -> np.ndarray:
    """Obstacle pixels with ground right below them, or cut off by the image's edge; bool H x W."""
    obstacle = kinds == Kind.OBSTACLE
    below = np.full_like(kinds, Kind.GROUND)
    below[:-1] = kinds[1:]
    return obstacle & (below == Kind.GROUND)


def ground_points(
    pixels: np.ndarray, camera: CameraModel, camera_from_base: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where the rays of pixels N x 2 meet the ground: N x 2 in the base frame (m), and whether."""
    base_from_camera = np.linalg.inv(camera_from_base)
    directions = camera.rays(pixels) @ base_from_camera[:3, :3].T
    origin = base_from_camera[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = -origin[2] / directions[:, 2]
    meets = np.isfinite(distance) & (distance > 0)
    distance = np.where(meets, distance, 0)
    return origin[:2] + directions[:, :2] * distance[:, None], meets
