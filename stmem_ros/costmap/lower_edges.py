"""The lower edges of obstacles in an image: where they meet the ground, and how far that is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.bodies import near_sides
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.costmap.view import LabelledView
from stmem_ros.geometry.ground import meet_ground, pixel_footprint, squared_norms

DIRECTIONS = 160  # at most, in which bodies are looked for
LOW_BODY = 0.3  # m; a body that hangs lower surely joins the wheels beside it


@dataclass(frozen=True)
class GroundImage:
    """The rows of a label image that can show ground: those from the horizon down.

    Attributes:
        top: the first of them in the whole image.
        label, confidence: of their pixels, uint8.
        kind: of the classes of their pixels, uint8.
    """

    top: int
    label: np.ndarray
    confidence: np.ndarray
    kind: np.ndarray


@dataclass(frozen=True)
class LowerEdges:
    """Lower edges of obstacles: pixels with none below, of those that the ground lies behind.

    Attributes:
        row, column: of the pixels in a :class:`GroundImage`.
        direction: over the ground from the camera, N x 2 of length one.
        distance: how far from the camera the obstacle's near side is at most, m.
        free_to: up to which distance ground below the pixel is not under the obstacle, m.
        certain: whether the obstacle surely stands at ``distance``.
    """

    row: np.ndarray
    column: np.ndarray
    direction: np.ndarray
    distance: np.ndarray
    free_to: np.ndarray
    certain: np.ndarray


def ground_image(view: LabelledView, rules: CostRules) -> GroundImage:
    """The image from the first row that shows ground; nothing above it is looked at."""
    rays = view.lower_rays[:, :: max(1, (view.camera.width - 1) // 4)]
    _, meets = meet_ground(rays.reshape(-1, 3), view.camera_from_base)
    top = int(meets.reshape(rays.shape[:2]).any(axis=1).argmax())
    label = view.label[top:]
    return GroundImage(top, label, view.confidence[top:], cv2.LUT(label, rules.kinds))


def lower_edges(view: LabelledView, image: GroundImage, rules: CostRules) -> LowerEdges:
    """Find the lower edges of obstacles and draw bodies on wheels together.

    A lower edge that ends its class's ``clearance`` over the ground stands nearer than it seems to,
    but it reaches out over its wheels by no more than the class's ``overhang``.
    """
    obstacle = image.kind == Kind.OBSTACLE
    obstacle[:-1] &= ~obstacle[1:]
    row, column = np.divmod(np.flatnonzero(obstacle), view.camera.width)
    rays = view.lower_rays[image.top :]
    points, meets = meet_ground(rays[row, column], view.camera_from_base)
    row, column, points = row[meets], column[meets], points[meets]
    eye = view.eye
    feet = points - eye[:2]
    seen_at = np.sqrt(squared_norms(feet))
    classes = image.label[row, column]
    clearance = rules.clearances[classes]
    on_wheels = clearance > 0
    # What is seen between two wheels of a body is hidden by it or part of it.
    lift = np.where(on_wheels, clearance, rules.clearances.max())
    nearest = seen_at * (1 - np.minimum(lift / eye[2], 1))

    distance = _distances_of_bodies(column, view.camera.width, feet, seen_at, nearest, on_wheels)
    reach = rules.overhangs[classes] + pixel_footprint(distance**2, view.camera, eye[2])
    free_to = np.maximum(seen_at * (1 - clearance / eye[2]), distance - reach)
    free_to = np.minimum(free_to, distance)
    return LowerEdges(
        row=row,
        column=column,
        direction=feet / seen_at[:, None],
        distance=distance,
        free_to=np.where(free_to < seen_at, free_to, np.inf),
        certain=seen_at - distance <= seen_at * LOW_BODY / eye[2],
    )


def _distances_of_bodies(
    column: np.ndarray,
    width: int,
    feet: np.ndarray,
    seen_at: np.ndarray,
    nearest: np.ndarray,
    on_wheels: np.ndarray,
) -> np.ndarray:
    """How far obstacles stand, m: where their lower edges seem to, or nearer, as bodies on wheels.

    Args:
        column: of each lower edge, in the order of the rows.
        width: columns of the image.
        feet, nearest, on_wheels: of each edge, as in :func:`near_sides`.
        seen_at: distances of the feet, m.
    """
    edges = np.arange(len(column))
    # The lowest edge of each of a number of directions: the last, as rows come in order; or none,
    # -1, which is what is appended below.
    step = -(-width // DIRECTIONS)
    lowest = np.full(-(-width // step), -1)
    lowest[column // step] = edges
    side = near_sides(
        np.append(feet, [[np.nan, np.nan]], axis=0)[lowest],
        np.append(nearest, np.nan)[lowest],
        np.append(on_wheels, False)[lowest],
    )[column // step]
    lowest_of_column = np.full(width, -1)
    lowest_of_column[column] = edges
    is_nearer = (lowest_of_column[column] == edges) & (side < seen_at) & (side >= nearest)
    return np.where(is_nearer, side, seen_at)


def contact_line(kind: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Obstacle pixels with ground right below them, or cut off there; bool H x W.

    What cuts off is the image's edge, or where it has no label: a mask, or a region's edge.
    """
    obstacle = kind == Kind.OBSTACLE
    ends = np.ones_like(obstacle)
    ends[:-1] = (kind[1:] == Kind.GROUND) | (label[1:] == UNLABELLED)
    return obstacle & ends


def nearest_row_above(mask: np.ndarray) -> np.ndarray:
    """For each pixel the row of the next pixel of a mask at or above it, -1 if there is none."""
    rows = np.arange(len(mask), dtype=np.int16)[:, None]
    nearest = np.where(mask, rows, np.int16(-1))
    for above, row in pairwise(nearest):  # four times as fast as accumulate
        np.maximum(row, above, out=row)
    return nearest


def below_masks(label: np.ndarray) -> np.ndarray:
    """A label image that has, where nothing is labelled, the label next above it.

    What a mask cuts off may reach down there.
    """
    known = label != UNLABELLED
    if known.all():
        return label
    row = nearest_row_above(known)
    above = label[np.maximum(row, 0), np.arange(label.shape[1])]
    return np.where(row >= 0, above, np.uint8(UNLABELLED))
