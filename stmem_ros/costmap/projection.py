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

from stmem_ros.costmap.bodies import near_sides
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.geometry.camera import CameraModel
from stmem_ros.geometry.ground import meet_ground, squared_norms
from stmem_ros.geometry.rays import ray_table

LOWEST = 0.05  # m, of a camera over the ground
LOWER_EDGE = 0.5  # pixels below its centre, where an obstacle pixel meets the ground
UNSURE = 1 / 120  # of the image's height: so near to an obstacle, labels do not clear ground
DIRECTIONS = 160  # at most, in which bodies are looked for
CLOSED = 0.3  # m; a body that hangs lower surely joins the wheels beside it


@dataclass(frozen=True)
class GroundObservation:
    """What one image says about ground points.

    Attributes:
        cells: indices of observed cells, in the order the cell centres were given in.
        labels: class of each, uint8.
        weights: how much to trust each, 0..1.
        hidden: indices of cells that a moving obstacle stands on or before, or whose foot the
            image cuts off.
        under: indices of cells that show ground, but may lie under an obstacle's body.
        doubtful: those, and the cells that show ground too near to an obstacle's edge to be sure.
        doubtful_weights: how much to trust that each shows ground, 0..1.
        contacts: ground points N x 2 (m, base frame) of the near sides of obstacles: where they
            meet the ground, or where a body hangs between its wheels.
        contact_labels: class of each, uint8.
        contact_weights: how much to trust each, 0..1; 0 where it is not sure that a body hangs.
    """

    cells: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    hidden: np.ndarray
    under: np.ndarray
    doubtful: np.ndarray
    doubtful_weights: np.ndarray
    contacts: np.ndarray
    contact_labels: np.ndarray
    contact_weights: np.ndarray


def check_view(camera: CameraModel, camera_from_base: np.ndarray, max_range: float) -> None:
    """Refuse a camera that cannot say anything about the ground.

    Raises:
        ValueError: it lies in or under the ground, or no pixel shows ground within ``max_range`` m.
    """
    base_from_camera = np.linalg.inv(camera_from_base)
    height = base_from_camera[2, 3]
    if height < LOWEST:
        raise ValueError(
            f"the camera lies {height:.2f} m over the ground; it must be at least {LOWEST} m: "
            "check its transform to the base frame"
        )
    steps = np.s_[:: max(1, camera.height // 32), :: max(1, camera.width // 32)]
    points, meets = meet_ground(
        ray_table(camera, LOWER_EDGE)[steps].reshape(-1, 3), camera_from_base
    )
    if not (meets & (squared_norms(points) <= max_range**2)).any():
        pitch = np.degrees(np.arcsin(np.clip(base_from_camera[2, 2], -1, 1)))
        raise ValueError(
            f"the camera sees no ground within {max_range:.0f} m: it lies {height:.2f} m over it "
            f"and looks up by {pitch:.0f} degrees; check its transform to the base frame"
        )


def turns_upright(camera_from_base: np.ndarray) -> int:
    """Quarter turns (np.rot90) after which the rows of a camera's image run down."""
    right, down, _ = camera_from_base[:3, :3] @ (0, 0, -1)  # where down is, in the optical frame
    return round(np.arctan2(-right, down) / (np.pi / 2)) % 4


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
    class and no obstacle may hang over it. Obstacles are placed by their contact line: the lowest
    pixels above ground pixels.

    Args:
        label, confidence: H x W uint8, as in ``Segmentation``.
        camera: of the same image size.
        camera_from_base: base frame to the camera's optical frame.
        centres: N x 2 cell centres in the base frame, m.
        rules: kinds of the classes.
        max_range: ground farther from the base than this is not read, m.
    """
    top = _horizon(camera, camera_from_base)
    label, confidence = label[top:], confidence[top:]
    kinds = cv2.LUT(label, rules.kinds)
    obstacle = kinds == Kind.OBSTACLE
    depth = centres @ camera_from_base[2, :2] + camera_from_base[2, 3]
    near = np.flatnonzero((depth > 0) & (squared_norms(centres) <= max_range**2))
    points = centres[near] @ camera_from_base[:3, :2].T + camera_from_base[:3, 3]
    pixels, inside = camera.project(points)
    cells = near[inside]
    column, row = np.rint(pixels[inside]).astype(np.intp).T
    row = np.maximum(row - top, 0)
    margin = max(1, round(camera.height * UNSURE))
    hidden = cells[_grown(cv2.LUT(label, rules.moving.view(np.uint8)), margin)[row, column]]
    # What the lower edge of the image cuts off may reach as near as the camera.
    cut = np.flatnonzero(pixels[:, 1] >= camera.height - 0.5)
    cut = cut[np.abs(pixels[cut, 0] - (camera.width - 1) / 2) < camera.width / 2]
    lowest = label[-1, np.rint(pixels[cut, 0]).astype(np.intp)]
    hidden = np.concatenate([hidden, near[cut[rules.moving[lowest]]]])

    ground = kinds[row, column] == Kind.GROUND
    cells, row, column = cells[ground], row[ground], column[ground]
    eye = np.linalg.inv(camera_from_base)[:2, 3]
    edges = _lower_edges(label, kinds, camera, top, camera_from_base, rules)
    free_to = np.full(kinds.shape, np.inf, np.float32)
    free_to[edges.row, edges.column] = edges.free_to
    above = _next_above(obstacle)[row, column]
    distance = np.sqrt(squared_norms(centres[cells] - eye))
    covered = (above >= 0) & (distance > free_to[above, column])
    weights = confidence[row, column] * sharpness(centres[cells], camera, camera_from_base)
    clear = ~(covered | _grown(obstacle, margin)[row, column])

    kept = np.flatnonzero(contact_line(kinds)[edges.row, edges.column])
    contacts = eye + edges.direction[kept] * edges.side[kept, None]
    kept, contacts = (v[squared_norms(contacts) <= max_range**2] for v in (kept, contacts))
    contact_row, contact_column = edges.row[kept], edges.column[kept]
    trust = confidence[contact_row, contact_column] * sharpness(contacts, camera, camera_from_base)
    return GroundObservation(
        cells[clear],
        label[row, column][clear],
        weights[clear],
        hidden,
        cells[covered],
        cells[~clear],
        weights[~clear],
        contacts,
        label[contact_row, contact_column],
        np.where(edges.sure[kept], trust, np.float32(0)),
    )


@dataclass(frozen=True)
class _Edges:
    """Lower edges of obstacles: pixels with none below, of those that the ground lies behind.

    Attributes:
        row, column: of the pixels.
        direction: over the ground from the camera, N x 2 of length one.
        side: how far from the camera the obstacle's near side is at most, m.
        free_to: up to which distance ground below the pixel is not under the obstacle, m.
        sure: whether the obstacle surely stands at ``side``.
    """

    row: np.ndarray
    column: np.ndarray
    direction: np.ndarray
    side: np.ndarray
    free_to: np.ndarray
    sure: np.ndarray


def _lower_edges(
    label: np.ndarray,
    kinds: np.ndarray,
    camera: CameraModel,
    top: int,
    camera_from_base: np.ndarray,
    rules: CostRules,
) -> _Edges:
    """Find the lower edges of obstacles and draw bodies on wheels together.

    A lower edge that ends its class's ``clearance`` over the ground stands nearer than it seems to,
    but it reaches out over its wheels by no more than the class's ``overhang``.
    """
    obstacle = kinds == Kind.OBSTACLE
    obstacle[:-1] &= ~obstacle[1:]
    row, column = np.divmod(np.flatnonzero(obstacle), camera.width)
    rays = ray_table(camera, LOWER_EDGE)[top:]
    points, meets = meet_ground(rays[row, column], camera_from_base)
    row, column, points = row[meets], column[meets], points[meets]
    eye = np.linalg.inv(camera_from_base)[:3, 3]
    seen = np.sqrt(squared_norms(points - eye[:2]))
    classes = label[row, column]
    clearance = rules.clearances[classes]
    wheels = clearance > 0
    # What is seen between two wheels of a body is hidden by it or part of it.
    lift = np.where(wheels, clearance, rules.clearances.max())
    nearest = seen * (1 - np.minimum(lift / eye[2], 1))

    # The lowest edge of each of a number of directions: the last, as rows come in order; or none,
    # -1, which is what is appended below.
    step = -(-camera.width // DIRECTIONS)
    foremost = np.full(-(-camera.width // step), -1)
    foremost[column // step] = np.arange(len(row))
    sides = near_sides(
        np.append(points - eye[:2], [[np.nan, np.nan]], axis=0)[foremost],
        np.append(nearest, np.nan)[foremost],
        np.append(wheels, False)[foremost],
    )[column // step]
    last = np.full(camera.width, -1)
    last[column] = np.arange(len(row))
    drawn = (last[column] == np.arange(len(row))) & (sides < seen) & (sides >= nearest)
    side = np.where(drawn, sides, seen)
    reach = rules.overhangs[classes] + _footprint(side**2, camera, eye[2])
    free_to = np.minimum(np.maximum(seen * (1 - clearance / eye[2]), side - reach), side)
    return _Edges(
        row,
        column,
        (points - eye[:2]) / seen[:, None],
        side,
        np.where(free_to < seen, free_to, np.inf),
        seen - side <= seen * CLOSED / eye[2],
    )


def _grown(mask: np.ndarray, margin: int) -> np.ndarray:
    """A mask H x W with the pixels that lie up to ``margin`` rows and columns beside it."""
    around = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return cv2.dilate(mask.view(np.uint8), around).view(bool)


def _horizon(camera: CameraModel, camera_from_base: np.ndarray) -> int:
    """The first image row that shows ground; nothing above it is looked at."""
    columns = np.s_[:, :: max(1, (camera.width - 1) // 4)]
    rays = ray_table(camera, LOWER_EDGE)[columns]
    _, meets = meet_ground(rays.reshape(-1, 3), camera_from_base)
    return int(meets.reshape(rays.shape[:2]).any(axis=1).argmax())


def sharpness(points: np.ndarray, camera: CameraModel, camera_from_base: np.ndarray) -> np.ndarray:
    """Trust in ground points N x 2 for their distance, per grey level of confidence, float32.

    A pixel covers (d^2 + h^2) / (f h) metres of ground along the view, at the distance d from a
    camera of height h: at one metre a pixel, trust is half of that close by.
    """
    eye = np.linalg.inv(camera_from_base)[:3, 3]
    footprint = _footprint(squared_norms(points - eye[:2]), camera, eye[2])
    return (1 / (255 * (1 + footprint))).astype(np.float32)


def _footprint(squared: np.ndarray, camera: CameraModel, height: float) -> np.ndarray:
    """Metres of ground a pixel covers along the view, at squared distances over the ground."""
    return (squared + height**2) / (camera.matrix[1][1] * height)


def _next_above(mask: np.ndarray) -> np.ndarray:
    """For each pixel the row of the next pixel of a mask at or above it, -1 if there is none."""
    rows = np.arange(len(mask), dtype=np.int16)[:, None]
    found = np.where(mask, rows, np.int16(-1))
    for above, row in pairwise(found):  # four times as fast as accumulate
        np.maximum(row, above, out=row)
    return found


def contact_line(kinds: np.ndarray) -> np.ndarray:
    """Obstacle pixels with ground right below them, or cut off by the image's edge; bool H x W."""
    obstacle = kinds == Kind.OBSTACLE
    below = np.full_like(kinds, Kind.GROUND)
    below[:-1] = kinds[1:]
    return obstacle & (below == Kind.GROUND)
