"""Every pixel of a label image placed without depth, as far as flat ground tells where it is."""

from __future__ import annotations

import cv2
import numpy as np

from stmem_ros.costmap.lower_edges import (
    contact_line,
    ground_image,
    lower_edges,
    nearest_row_above,
)
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.costmap.view import LabelledView
from stmem_ros.geometry.ground import meet_ground, squared_norms
from stmem_ros.geometry.rays import ray_table


def placed_pixels(
    view: LabelledView, rules: CostRules, max_range: float, with_obstacles: bool
) -> np.ndarray:
    """Points H x W x 3 float32 in the base frame, m; NaN where nothing tells.

    Ground lies where its rays meet the plane z = 0; obstacles stand upright over their contact
    line.

    Args:
        rules: kinds of the classes.
        max_range: what is farther from the base has no place, m.
        with_obstacles: False: those of ground alone.
    """
    kind = cv2.LUT(view.label, rules.kinds)
    points = np.full((*kind.shape, 3), np.nan)
    ground = np.flatnonzero(kind == Kind.GROUND)
    rays = ray_table(view.camera).reshape(-1, 3)
    flat = points.reshape(-1, 3)
    places, meets = meet_ground(rays[ground], view.camera_from_base)
    flat[ground[meets]] = np.insert(places[meets], 2, 0.0, axis=1)
    if with_obstacles:
        obstacle = np.flatnonzero(kind == Kind.OBSTACLE)
        distance = _standing_at(view, rules, kind).reshape(-1)[obstacle]
        base_from_camera = np.linalg.inv(view.camera_from_base)
        directions = rays[obstacle] @ base_from_camera[:3, :3].T
        with np.errstate(divide="ignore", invalid="ignore"):
            length = distance / np.sqrt(squared_norms(directions[:, :2]))
        flat[obstacle] = base_from_camera[:3, 3] + directions * length[:, None]
    flat[~(squared_norms(flat[:, :2]) <= max_range**2)] = np.nan
    return points.astype(np.float32)


def _standing_at(view: LabelledView, rules: CostRules, kind: np.ndarray) -> np.ndarray:
    """How far from the camera, over the ground, the obstacle of each pixel stands, m, H x W.

    NaN where no contact line is right below its pixels.
    """
    image = ground_image(view, rules)
    edges = lower_edges(view, image, rules)
    meets = contact_line(image.kind, image.label)[edges.row, edges.column]
    at_end = np.full(kind.shape, np.nan)
    at_end[edges.row[meets] + image.top, edges.column[meets]] = edges.distance[meets]
    ends = kind == Kind.OBSTACLE
    ends[:-1] &= ~ends[1:]
    # The end of each pixel's own run is the next one at or below it.
    row = len(kind) - 1 - nearest_row_above(ends[::-1])[::-1]
    found = at_end[np.minimum(row, len(kind) - 1), np.arange(kind.shape[1])]
    return np.where(row < len(kind), found, np.nan)
