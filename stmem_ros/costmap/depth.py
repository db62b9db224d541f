"""Placing labels by a depth image: each pixel where it is, instead of where flat ground would be.

Frames as in :mod:`stmem_ros.costmap.projection`. Depth is the distance along the optical axis in m,
NaN where it is not known (REP-118).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.costmap.view import LabelledView
from stmem_ros.geometry.rays import ray_table
from stmem_ros.io.images import decode_depth


@dataclass(frozen=True)
class DepthObservation:
    """What one image with depth says; points in the base frame, m.

    Attributes:
        points: H x W x 3 float32, of every pixel, NaN where depth is not known, or no label.
        ground: N x 2, where ground was seen.
        ground_labels: class of each, uint8.
        ground_weights: how much to trust each, 0..1.
        obstacles: M x 3, what stands there and is in the way.
        obstacle_labels, obstacle_weights: as of the ground.
    """

    points: np.ndarray
    ground: np.ndarray
    ground_labels: np.ndarray
    ground_weights: np.ndarray
    obstacles: np.ndarray
    obstacle_labels: np.ndarray
    obstacle_weights: np.ndarray


def read_depth(message: Any, frame_id: str) -> np.ndarray:
    """Depth of the pixels of an image, H x W float32, m, NaN where it is not known.

    Args:
        message: sensor_msgs/Image of REP-118, or CompressedImage.
        frame_id: the image's; depth with no frame is taken for depth of the image.

    Raises:
        ValueError: the depth image cannot be decoded, or is of another frame: not of these pixels.
    """
    depth_frame = message.header.frame_id.lstrip("/")
    if depth_frame and depth_frame != frame_id.lstrip("/"):
        raise ValueError(
            f"depth images are of the frame {depth_frame!r}, images of {frame_id.lstrip('/')!r}: "
            "depth must be registered to the image; drivers call that aligned or registered depth"
        )
    return decode_depth(message)


def check_depth(depth: np.ndarray, label: np.ndarray) -> None:
    """Refuse a depth image that is not aligned with the labels.

    Raises:
        ValueError: it has another size.
    """
    if depth.shape != label.shape:
        raise ValueError(
            f"depth image is {depth.shape[1]} x {depth.shape[0]} pixels but the labels are "
            f"{label.shape[1]} x {label.shape[0]}: it must be aligned with the image"
        )


def observe_depth(
    view: LabelledView, rules: CostRules, max_range: float, max_height: float, step_height: float
) -> DepthObservation:
    """Place each pixel of a label image by its depth.

    Args:
        view: labels with depth, and their camera.
        rules: kinds of the classes.
        max_range: what is farther from the base is not placed, m.
        max_height: what is higher over the ground blocks nothing (bridges, branches), m.
        step_height: what reaches less high is taken for ground it may stand on, m.
    """
    assert view.depth is not None
    known = np.isfinite(view.depth) & (view.depth > 0) & (view.label != UNLABELLED)
    depth = np.where(known, view.depth, np.float32(np.nan))
    base_from_camera = np.linalg.inv(view.camera_from_base).astype(np.float32)
    points = (ray_table(view.camera) * depth[..., None]) @ base_from_camera[:3, :3].T
    points += base_from_camera[:3, 3]
    height = points[..., 2]
    known &= (points[..., 0] ** 2 + points[..., 1] ** 2) <= max_range**2
    kind = rules.kinds[view.label]
    obstacle = known & (kind == Kind.OBSTACLE) & (height > step_height) & (height <= max_height)
    ground = known & (kind == Kind.GROUND) & (np.abs(height) < max_height)
    ground &= ~_is_below_nearer(obstacle, depth)
    # The points of a pixel spread with its footprint: across the view, depth / f.
    focal_length = np.float32(view.camera.matrix[0][0])
    weights = view.confidence / (255 * (1 + 10 * depth / focal_length))
    return DepthObservation(
        points=points,
        ground=points[ground, :2],
        ground_labels=view.label[ground],
        ground_weights=weights[ground].astype(np.float32),
        obstacles=points[obstacle],
        obstacle_labels=view.label[obstacle],
        obstacle_weights=weights[obstacle].astype(np.float32),
    )


def hidden_cells(view: LabelledView, centres: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Indices of cells (centres N x 2, base frame, m) that something moving stands on or before.

    Args:
        view: labels with depth, and their camera.
        moving: of each class, whether it moves; bool.
    """
    assert view.depth is not None
    points = centres @ view.camera_from_base[:3, :2].T + view.camera_from_base[:3, 3]
    pixels, inside = view.camera.project(points)
    cells = np.flatnonzero(inside)
    column, row = np.rint(pixels[cells]).astype(np.intp).T
    behind = ~(view.depth[row, column] > points[cells, 2])  # and where depth is not known
    return cells[moving[view.label[row, column]] & behind]


def _is_below_nearer(obstacle: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Pixels whose next obstacle above in the image is no farther: under a car, it is seen through.

    Bool H x W.
    """
    rows = np.arange(len(depth), dtype=np.int16)[:, None]
    above = np.maximum.accumulate(np.where(obstacle, rows, np.int16(-1)), axis=0)
    nearer = np.take_along_axis(depth, np.maximum(above, 0).astype(np.intp), axis=0) <= depth
    return (above >= 0) & nearer
