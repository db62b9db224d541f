"""Pictures for people: labels over the camera image, errors, the grid from above."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED, SemanticClass, palette

# Curves and bars that lie beside each other: the first few tell best apart.
SERIES_COLOURS = (
    "#2563ab", "#d9730d", "#1a7f37", "#8f3fae", "#b3261e", "#5b6470", "#5fa3d9", "#c9a227",
    "#0f766e",
)  # fmt: skip

BEHIND = 5.0  # m shown behind the robot in the view from above
AHEAD = 25.0  # m shown ahead of it
NOTHING = (32, 32, 36)  # colour of cells never seen
DOUBTFUL = (170, 105, 20)  # of ground that may not be free
LETHAL = (190, 15, 25)  # of cells that stop a planner, and a quarter of their class's colour


@dataclass(frozen=True)
class GridView:
    """A grid to be seen from above.

    Attributes:
        label, cost: rows (y) x columns (x) from the origin; cost below 0 or above 100 is unknown.
        origin, resolution: lower left corner in the grid's frame and side of a cell, m.
        grid_from_base: 4 x 4, base frame to the grid's frame.
    """

    label: np.ndarray
    cost: np.ndarray
    origin: tuple[float, float]
    resolution: float
    grid_from_base: np.ndarray


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


def error_picture(rgb: np.ndarray, label: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The image in grey with wrong pixels red; without a reference (255) dark, uint8 H x W x 3."""
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    grey[reference == UNLABELLED] //= 3
    wrong = (label != reference) & (reference != UNLABELLED)
    grey[wrong] = grey[wrong] // 2 + np.array([120, 0, 0], np.uint8)
    return grey


def bird_view(
    grid: GridView | None, classes: tuple[SemanticClass, ...], side: int = 360
) -> np.ndarray:
    """The grid from above, the robot's heading upwards, uint8 ``side`` x ``side`` x 3.

    Lethal cells are red, doubtful ground is orange, cells never seen are dark; None shows that
    there is no grid.
    """
    panel = np.full((side, side, 3), NOTHING, np.uint8)
    if grid is None:
        at = (round(0.3 * side), round(0.51 * side))
        cv2.putText(panel, "no costmap", at, cv2.FONT_HERSHEY_SIMPLEX, side / 450, (200,) * 3)
        return panel
    colours = palette(classes)[grid.label]
    colours[grid.label == UNLABELLED] = DOUBTFUL
    colours[(grid.cost < 0) | (grid.cost > 100)] = NOTHING
    lethal = grid.cost == 100
    colours[lethal] = colours[lethal] // 4 + np.array(LETHAL, np.uint8)
    # Panel pixel -> base frame -> grid frame -> cell.
    metres = (AHEAD + BEHIND) / side
    base_from_panel = np.array([[0, -metres, AHEAD], [-metres, 0, metres * side / 2], [0, 0, 1.0]])
    pose = grid.grid_from_base
    grid_from_base = np.array([[*pose[0, :2], pose[0, 3]], [*pose[1, :2], pose[1, 3]], [0, 0, 1.0]])
    x, y = grid.origin
    cell_from_grid = np.array(
        [
            [1 / grid.resolution, 0, -x / grid.resolution - 0.5],
            [0, 1 / grid.resolution, -y / grid.resolution - 0.5],
            [0, 0, 1.0],
        ]
    )
    cv2.warpAffine(
        colours,
        (cell_from_grid @ grid_from_base @ base_from_panel)[:2],
        (side, side),
        dst=panel,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    at = (side // 2, round(AHEAD / metres))
    nose = np.array([[0, -12], [-7, 6], [7, 6]]) + at
    cv2.fillPoly(panel, [nose.astype(np.int32)], (255, 255, 255))
    for distance in (5, 10, 15, 20):
        cv2.circle(panel, at, round(distance / metres), (90, 90, 96), 1, cv2.LINE_AA)
        where = (at[0] + 3, at[1] - round(distance / metres) - 3)
        cv2.putText(panel, f"{distance} m", where, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (230,) * 3)
    return panel
