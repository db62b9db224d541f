"""Placing labels on flat ground: which ground cells an image says something about, and what.

Frames of REP-105: the ground is the plane z = 0 of the base frame (``base_footprint``), which the
mapper gives as level with the ground where it is not; transforms are 4 x 4 matrices, ``a_from_b``
takes points of frame b to frame a.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.bodies import near_sides
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.costmap.view import LabelledView
from stmem_ros.geometry.camera import CameraModel
from stmem_ros.geometry.ground import meet_ground, squared_norms

EDGE_MARGIN = 1 / 120  # of the image's height: so near to an obstacle, labels do not clear ground
DIRECTIONS = 160  # at most, in which bodies are looked for
SURE_GROUND = 250  # confidence from which on ground beside something living is taken for ground
LOW_BODY = 0.3  # m; a body that hangs lower surely joins the wheels beside it


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
        feet: indices of cells that show ground, or seem to, on which something slender that moves
            may stand: of all who are in the way, these must not be overlooked.
        foot_labels, foot_weights: as of the contacts.
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
    feet: np.ndarray
    foot_labels: np.ndarray
    foot_weights: np.ndarray


@dataclass(frozen=True)
class _GroundImage:
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
class _ProjectedCells:
    """Cells and the pixels of a :class:`_GroundImage` that their centres meet."""

    cells: np.ndarray
    row: np.ndarray
    column: np.ndarray

    def select(self, chosen: np.ndarray) -> _ProjectedCells:
        """Those that a mask chooses."""
        return _ProjectedCells(self.cells[chosen], self.row[chosen], self.column[chosen])


@dataclass(frozen=True)
class _Edges:
    """Lower edges of obstacles: pixels with none below, of those that the ground lies behind.

    Attributes:
        row, column: of the pixels in a :class:`_GroundImage`.
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
    image = _from_horizon(view, rules)
    edge_margin = max(1, round(view.camera.height * EDGE_MARGIN))
    projected, hidden = _project(view, image, centres, rules, max_range, edge_margin)
    ground = projected.select(image.kind[projected.row, projected.column] == Kind.GROUND)
    edges = _lower_edges(view, image, rules)
    edge_row = _nearest_row_above(image.kind == Kind.OBSTACLE)[ground.row, ground.column]
    covered = _lies_under_body(view, image, ground, centres[ground.cells], edges, edge_row)
    may_hold_foot = _may_hold_foot(image, ground, edge_row, rules, edge_margin)
    at_edge = edge_row[may_hold_foot], ground.column[may_hold_foot]
    near_edge = _dilate(image.kind == Kind.OBSTACLE, edge_margin)[ground.row, ground.column]
    clear = ~(covered | near_edge)
    weights = image.confidence[ground.row, ground.column] * sharpness(
        centres[ground.cells], view.camera, view.camera_from_base
    )
    contacts, contact_labels, contact_weights = _contacts(
        view, image, edges, rules, max_range, edge_margin
    )
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
        feet=ground.cells[may_hold_foot],
        foot_labels=image.label[at_edge],
        foot_weights=_body_confidence(image, *at_edge, edge_margin),
    )


def _from_horizon(view: LabelledView, rules: CostRules) -> _GroundImage:
    """The image from the first row that shows ground; nothing above it is looked at."""
    rays = view.lower_rays[:, :: max(1, (view.camera.width - 1) // 4)]
    _, meets = meet_ground(rays.reshape(-1, 3), view.camera_from_base)
    top = int(meets.reshape(rays.shape[:2]).any(axis=1).argmax())
    label = view.label[top:]
    return _GroundImage(top, label, view.confidence[top:], cv2.LUT(label, rules.kinds))


def _project(
    view: LabelledView,
    image: _GroundImage,
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

    label = _below_masks(image.label)
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
    image: _GroundImage,
    ground: _ProjectedCells,
    centres: np.ndarray,
    edges: _Edges,
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


def _may_hold_foot(
    image: _GroundImage,
    ground: _ProjectedCells,
    edge_row: np.ndarray,
    rules: CostRules,
    edge_margin: int,
) -> np.ndarray:
    """Whether something slender that moves may stand on ground cells, right below its lower edge.

    Feet and tyres are thinner than a pixel where they touch the ground, so one row is theirs in any
    case; labels of a network end higher, and are not sure of the ground below.
    """
    below = ground.row - edge_row
    unsure = image.confidence[ground.row, ground.column] < SURE_GROUND
    label = image.label[edge_row, ground.column]
    is_near = (edge_row >= 0) & (below <= np.where(unsure, edge_margin, 1))
    return is_near & (rules.slender & rules.moving)[label]


def _body_confidence(
    image: _GroundImage, row: np.ndarray, column: np.ndarray, edge_margin: int
) -> np.ndarray:
    """How sure it is that something is there whose lower edge pixels are at, 0..1 float32.

    Labels are never sure of an edge itself: the surest pixel of the same class tells, as far above
    as edges are unsure.
    """
    label, surest = image.label[row, column], image.confidence[row, column]
    for step in range(1, edge_margin + 1):
        above = np.maximum(row - step, 0)
        same = image.label[above, column] == label
        surest = np.maximum(surest, np.where(same, image.confidence[above, column], 0))
    return surest / np.float32(255)


def _contacts(
    view: LabelledView,
    image: _GroundImage,
    edges: _Edges,
    rules: CostRules,
    max_range: float,
    edge_margin: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ground points N x 2 of obstacles' near sides (m, base frame), their labels and weights.

    Something slender is trusted as much as its body, however far it is: there are too few pixels
    to wait for sure ones.
    """
    chosen = np.flatnonzero(contact_line(image.kind, image.label)[edges.row, edges.column])
    points = view.eye[:2] + edges.direction[chosen] * edges.distance[chosen, None]
    in_range = squared_norms(points) <= max_range**2
    chosen, points = chosen[in_range], points[in_range]
    row, column = edges.row[chosen], edges.column[chosen]
    weights = image.confidence[row, column] * sharpness(points, view.camera, view.camera_from_base)
    labels = image.label[row, column]
    slender = np.flatnonzero(rules.slender[labels])
    weights[slender] = _body_confidence(image, row[slender], column[slender], edge_margin)
    return points, labels, np.where(edges.certain[chosen], weights, np.float32(0))


def _lower_edges(view: LabelledView, image: _GroundImage, rules: CostRules) -> _Edges:
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
    return _Edges(
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


def pixel_footprint(squared_distance: np.ndarray, camera: CameraModel, height: float) -> np.ndarray:
    """Metres of ground a pixel covers along the view, at squared distances over the ground."""
    return (squared_distance + height**2) / (camera.matrix[1][1] * height)


def _nearest_row_above(mask: np.ndarray) -> np.ndarray:
    """For each pixel the row of the next pixel of a mask at or above it, -1 if there is none."""
    rows = np.arange(len(mask), dtype=np.int16)[:, None]
    nearest = np.where(mask, rows, np.int16(-1))
    for above, row in pairwise(nearest):  # four times as fast as accumulate
        np.maximum(row, above, out=row)
    return nearest


def contact_line(kind: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Obstacle pixels with ground right below them, or cut off there; bool H x W.

    What cuts off is the image's edge, or where it has no label: a mask, or a region's edge.
    """
    obstacle = kind == Kind.OBSTACLE
    ends = np.ones_like(obstacle)
    ends[:-1] = (kind[1:] == Kind.GROUND) | (label[1:] == UNLABELLED)
    return obstacle & ends


def _below_masks(label: np.ndarray) -> np.ndarray:
    """A label image that has, where nothing is labelled, the label next above it.

    What a mask cuts off may reach down there.
    """
    known = label != UNLABELLED
    if known.all():
        return label
    row = _nearest_row_above(known)
    above = label[np.maximum(row, 0), np.arange(label.shape[1])]
    return np.where(row >= 0, above, np.uint8(UNLABELLED))
