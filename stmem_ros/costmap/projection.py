"""Placing labels on flat ground: which ground cells an image says something about, and what.

Frames of REP-105: the ground is the plane z = 0 of the base frame (``base_footprint``), which the
mapper gives as level with the ground where it is not; transforms are 4 x 4 matrices, ``a_from_b``
takes points of frame b to frame a.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stmem_ros.costmap.lower_edges import (
    GroundImage,
    LowerEdges,
    below_masks,
    contact_line,
    ground_image,
    lower_edges,
    nearest_row_above,
)
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.costmap.view import LabelledView
from stmem_ros.geometry.camera import CameraModel
from stmem_ros.geometry.ground import pixel_footprint, squared_norms

EDGE_MARGIN = 1 / 120  # of the image's height: so near to an obstacle, labels do not clear ground
SURE_BODY = 0.9  # confidence from which on a body speaks for its edge
LIKELY_BODY = 0.5  # confidence from which on a body is taken for one that a side cuts off
BODY_RISE = 0.15  # m over its lower edge, at most, the body of what is near is sure
LOST_TYRE = 0.3  # m before where a sure body seems to stand, at most, its tyres are
SURE_GROUND = 250  # confidence from which on ground beside something living is taken for ground


@dataclass(frozen=True)
class GroundObservation:
    """What one image says about ground points.

    Attributes:
        cells: indices of observed cells, in the order the cell centres were given in.
        labels: class of each, uint8.
        weights: how much to trust each, 0..1.
        hidden: indices of cells that a moving obstacle stands on or before, or whose foot the
            image cuts off.
        covered: indices of cells that show ground, but may lie under an obstacle's body.
        doubtful: those, and the cells that show ground too near to an obstacle's edge to be sure.
        doubtful_weights: how much to trust that each shows ground, 0..1.
        contacts: ground points N x 2 (m, base frame) of the near sides of obstacles: where they
            meet the ground, or where a body hangs between its wheels.
        contact_labels: class of each, uint8.
        contact_weights: how much to trust each, 0..1; 0 where it is not sure that a body hangs.
        movers: ground points N x 2 (m, base frame) of the near sides of what moves.
        mover_columns: of the pixels that show them.
        wheels: indices of cells that show ground, or seem to, on which wheels of something that
            moves may stand.
        wheel_labels, wheel_weights: as of the contacts.
    """

    cells: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    hidden: np.ndarray
    covered: np.ndarray
    doubtful: np.ndarray
    doubtful_weights: np.ndarray
    contacts: np.ndarray
    contact_labels: np.ndarray
    contact_weights: np.ndarray
    movers: np.ndarray
    mover_columns: np.ndarray
    wheels: np.ndarray
    wheel_labels: np.ndarray
    wheel_weights: np.ndarray


@dataclass(frozen=True)
class _ProjectedCells:
    """Cells and the pixels of a :class:`GroundImage` that their centres meet."""

    cells: np.ndarray
    row: np.ndarray
    column: np.ndarray

    def select(self, chosen: np.ndarray) -> _ProjectedCells:
        """Those that a mask chooses."""
        return _ProjectedCells(self.cells[chosen], self.row[chosen], self.column[chosen])


def observe_ground(
    view: LabelledView, centres: np.ndarray, rules: CostRules, max_range: float
) -> GroundObservation:
    """Read the cells' classes out of a label image, and find where obstacles stand.

    Each cell centre is projected into the image and takes the label it meets, if that is a ground
    class and no obstacle may hang over it. Obstacles are placed by their contact line: the lowest
    pixels above ground pixels.

    Args:
        view: the labels and their camera.
        centres: N x 2 cell centres in the base frame, m.
        rules: kinds of the classes.
        max_range: ground farther from the base than this is not read, m.
    """
    image = ground_image(view, rules)
    edge_margin = max(1, round(view.camera.height * EDGE_MARGIN))
    projected, hidden = _project(view, image, centres, rules, max_range, edge_margin)
    ground = projected.select(image.kind[projected.row, projected.column] == Kind.GROUND)
    edges = lower_edges(view, image, rules)
    edge_row = nearest_row_above(image.kind == Kind.OBSTACLE)[ground.row, ground.column]
    covered = _lies_under_body(view, image, ground, centres[ground.cells], edges, edge_row)
    wheels, wheel_weights = _find_wheels(
        view, image, ground, centres[ground.cells], edge_row, rules, edge_margin
    )
    near_edge = _dilate(image.kind == Kind.OBSTACLE, edge_margin)[ground.row, ground.column]
    clear = ~(covered | near_edge)
    weights = image.confidence[ground.row, ground.column] * sharpness(
        centres[ground.cells], view.camera, view.camera_from_base
    )
    contacts, contact_labels, contact_weights = _contacts(
        view, image, edges, rules, max_range, edge_margin
    )
    moving = np.flatnonzero(rules.moving[image.label[edges.row, edges.column]])
    body = _body_confidence(image, edges.row[moving], edges.column[moving], edge_margin)
    moving = moving[body >= LIKELY_BODY]
    movers = view.eye[:2] + edges.direction[moving] * edges.distance[moving, None]
    return GroundObservation(
        cells=ground.cells[clear],
        labels=image.label[ground.row, ground.column][clear],
        weights=weights[clear],
        hidden=hidden,
        covered=ground.cells[covered],
        doubtful=ground.cells[~clear],
        doubtful_weights=weights[~clear],
        contacts=contacts,
        contact_labels=contact_labels,
        contact_weights=contact_weights,
        movers=movers,
        mover_columns=edges.column[moving],
        wheels=ground.cells[wheels],
        wheel_labels=image.label[edge_row[wheels], ground.column[wheels]],
        wheel_weights=wheel_weights,
    )


def _project(
    view: LabelledView,
    image: GroundImage,
    centres: np.ndarray,
    rules: CostRules,
    max_range: float,
    edge_margin: int,
) -> tuple[_ProjectedCells, np.ndarray]:
    """The cells in the image, and the indices of those that something moving hides."""
    camera, camera_from_base = view.camera, view.camera_from_base
    depth = centres @ camera_from_base[2, :2] + camera_from_base[2, 3]
    ahead = np.flatnonzero((depth > 0) & (squared_norms(centres) <= max_range**2))
    points = centres[ahead] @ camera_from_base[:3, :2].T + camera_from_base[:3, 3]
    pixels, inside = camera.project(points)
    column, row = np.rint(pixels[inside]).astype(np.intp).T
    projected = _ProjectedCells(ahead[inside], np.maximum(row - image.top, 0), column)

    label = below_masks(image.label)
    moving = _dilate(cv2.LUT(label, rules.moving.view(np.uint8)), edge_margin)
    hidden = projected.cells[moving[projected.row, projected.column]]
    # What the lower edge of the image cuts off may reach as near as the camera.
    below = np.flatnonzero(pixels[:, 1] >= camera.height - 0.5)
    below = below[np.abs(pixels[below, 0] - (camera.width - 1) / 2) < camera.width / 2]
    lowest_label = label[-1, np.rint(pixels[below, 0]).astype(np.intp)]
    cut_off = ahead[below[rules.moving[lowest_label]]]
    return projected, np.concatenate([hidden, cut_off])


def _lies_under_body(
    view: LabelledView,
    image: GroundImage,
    ground: _ProjectedCells,
    centres: np.ndarray,
    edges: LowerEdges,
    edge_row: np.ndarray,
) -> np.ndarray:
    """Whether ground cells may lie under the body above them.

    Args:
        centres: N x 2 of the cells, base frame, m.
        edge_row: row of the lower edge above each, -1 where there is none.
    """
    free_to = np.full(image.kind.shape, np.inf, np.float32)
    free_to[edges.row, edges.column] = edges.free_to
    distance = np.sqrt(squared_norms(centres - view.eye[:2]))
    return (edge_row >= 0) & (distance > free_to[edge_row, ground.column])


def _find_wheels(
    view: LabelledView,
    image: GroundImage,
    ground: _ProjectedCells,
    centres: np.ndarray,
    edge_row: np.ndarray,
    rules: CostRules,
    edge_margin: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Where wheels of something that moves may stand, right below its lower edge.

    Tyres are thinner than a pixel where they touch the ground: labels of a network end higher, and
    are not sure of the ground below. They end one row too high where the body is sure, more rows
    close by, where a row is little ground, and where the body is slender and not sure; of what is
    slender one row is the tyres' in any case.

    Args:
        centres: N x 2 of the ground cells, base frame, m.
        edge_row: row of the lower edge above each, -1 where there is none.

    Returns:
        indices into the ground cells, and how sure it is that something is there, 0..1.
    """
    below = ground.row - edge_row
    label = image.label[edge_row, ground.column]
    on_wheels = rules.moving & (rules.clearances > 0)
    near = np.flatnonzero((edge_row >= 0) & (below <= edge_margin + 1) & on_wheels[label])
    squared_distance = squared_norms(centres[near] - view.eye[:2])
    rise = BODY_RISE * view.camera.matrix[1][1] / np.sqrt(np.maximum(squared_distance, 0.01))
    body = _body_confidence(
        image, edge_row[near], ground.column[near], np.maximum(rise, edge_margin)
    )
    rows = LOST_TYRE / pixel_footprint(squared_distance, view.camera, view.eye[2])
    unsure = image.confidence[ground.row[near], ground.column[near]] < SURE_GROUND
    slender = rules.slender[label[near]]
    lost = np.where(body > SURE_BODY, np.maximum(rows, 1), np.where(slender, edge_margin + 1, 0))
    holds = below[near] <= np.where(unsure, lost, slender)
    return near[holds], body[holds]


def _body_confidence(
    image: GroundImage, row: np.ndarray, column: np.ndarray, rise: np.ndarray | int
) -> np.ndarray:
    """How sure it is that something is there whose lower edge pixels are at, 0..1 float32.

    Labels are never sure of an edge itself: the surest pixel of the same class tells, up to
    ``rise`` rows above, as far as edges are unsure.
    """
    label, surest = image.label[row, column], image.confidence[row, column]
    for rows in (1, 0.25 * rise, 0.5 * rise, 0.75 * rise, rise):
        above = np.maximum(row - np.rint(rows).astype(np.intp), 0)
        same = image.label[above, column] == label
        surest = np.maximum(surest, np.where(same, image.confidence[above, column], 0))
    return surest / np.float32(255)


def _contacts(
    view: LabelledView,
    image: GroundImage,
    edges: LowerEdges,
    rules: CostRules,
    max_range: float,
    edge_margin: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ground points N x 2 of obstacles' near sides (m, base frame), their labels and weights.

    Labels are unsure of edges, and what moves is not seen in a cell often enough to make up for
    that: it is trusted as much as its body, where that is sure. So is what is slender, however sure
    and however far it is: there are too few pixels to wait for sure ones.
    """
    chosen = np.flatnonzero(contact_line(image.kind, image.label)[edges.row, edges.column])
    points = view.eye[:2] + edges.direction[chosen] * edges.distance[chosen, None]
    in_range = squared_norms(points) <= max_range**2
    chosen, points = chosen[in_range], points[in_range]
    row, column = edges.row[chosen], edges.column[chosen]
    sharp = sharpness(points, view.camera, view.camera_from_base)
    weights = image.confidence[row, column] * sharp
    labels = image.label[row, column]
    is_slender = rules.slender[labels]
    as_body = np.flatnonzero(is_slender | rules.moving[labels])
    body = _body_confidence(image, row[as_body], column[as_body], edge_margin)
    of_body = np.where(body > SURE_BODY, 255 * body * sharp[as_body], 0)
    weights[as_body] = np.where(is_slender[as_body], body, np.maximum(weights[as_body], of_body))
    return points, labels, np.where(edges.certain[chosen], weights, np.float32(0))


def _dilate(mask: np.ndarray, margin: int) -> np.ndarray:
    """A mask H x W with the pixels that lie up to ``margin`` rows and columns beside it."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return cv2.dilate(mask.view(np.uint8), kernel).view(bool)


def sharpness(points: np.ndarray, camera: CameraModel, camera_from_base: np.ndarray) -> np.ndarray:
    """Trust in ground points N x 2 for their distance, per grey level of confidence, float32.

    A pixel covers (d^2 + h^2) / (f h) metres of ground along the view, at the distance d from a
    camera of height h: at one metre per pixel, trust is half of that close by.
    """
    eye = np.linalg.inv(camera_from_base)[:3, 3]
    footprint = pixel_footprint(squared_norms(points - eye[:2]), camera, eye[2])
    return (1 / (255 * (1 + footprint))).astype(np.float32)
