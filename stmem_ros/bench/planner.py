"""A planner as Nav2's are: costs of a grid as its costmap takes them, and the cheapest path.

StaticLayer turns costs of -1..100 into 0..255, InflationLayer spreads them, and NavFn weighs cells:
all by their sources (Nav2 1.4). The search is Dijkstra's over cells and their eight neighbours, for
all goals at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

UNKNOWN, LETHAL, INSCRIBED = 255, 254, 253  # costs of nav2_costmap_2d
NEUTRAL, FACTOR = 50, 0.8  # NavFn's weight of a free cell, and of a cell's cost
COST_SCALING = 3.0  # of InflationLayer, per m
INFLATED = 0.5  # m beyond the robot's radius
GOAL_TOLERANCE = 0.5  # m; NavFn's default


@dataclass(frozen=True)
class PlannerSettings:
    """What Nav2 may be told.

    Attributes:
        lethal_threshold: ``lethal_cost_threshold`` of the costmap.
        radius: ``robot_radius``, m.
        allow_unknown: of the planner.
    """

    lethal_threshold: int
    radius: float
    allow_unknown: bool


def costmap_costs(cost: np.ndarray, resolution: float, settings: PlannerSettings) -> np.ndarray:
    """Costs of an OccupancyGrid (int8, -1 unknown) after StaticLayer and InflationLayer, uint8."""
    scaled = (cost.astype(np.float32) * (LETHAL / settings.lethal_threshold)).astype(np.int16)
    master = np.where(cost < 0, UNKNOWN, np.minimum(scaled, LETHAL))
    distance = distances(master == LETHAL, resolution)
    fade = np.exp(-COST_SCALING * (distance - settings.radius))
    inflated = np.where(distance <= settings.radius, INSCRIBED, (INSCRIBED - 1) * fade)
    inflated[distance == 0] = LETHAL
    inflated[distance > settings.radius + INFLATED] = 0
    inflated = inflated.astype(np.int16)
    unknown = master == UNKNOWN
    spread = np.where(unknown, inflated >= INSCRIBED, inflated > master)
    return np.where(spread, inflated, master).astype(np.uint8)


def distances(occupied: np.ndarray, resolution: float) -> np.ndarray:
    """From each cell to the nearest one of a mask, m; inf without one."""
    if not occupied.any():
        return np.full(occupied.shape, np.inf, np.float32)
    empty = (~occupied).astype(np.uint8)
    return cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * resolution


class PathSearch:
    """The cheapest paths from a start to all cells.

    Args:
        costs: uint8 of Nav2, rows x columns.
        start: row and column.
        allow_unknown: of ``PlannerSettings``.
    """

    def __init__(self, costs: np.ndarray, start: tuple[int, int], allow_unknown: bool) -> None:
        weight = NEUTRAL + FACTOR * costs.astype(np.float32)
        weight[(costs == INSCRIBED) | (costs == LETHAL)] = np.inf
        weight[costs == UNKNOWN] = INSCRIBED if allow_unknown else np.inf
        weight[start] = NEUTRAL  # NavFn takes the robot's own cell for free
        self._shape = costs.shape
        first, second, length = _neighbours(costs.shape)
        flat = weight.ravel()
        step = length * (flat[first] + flat[second]) / 2
        open_ = np.isfinite(step)
        size = flat.size
        graph = csr_matrix((step[open_], (first[open_], second[open_])), (size, size))
        origin = start[0] * costs.shape[1] + start[1]
        self._cost, self._before = dijkstra(
            graph, directed=False, indices=origin, return_predecessors=True
        )

    def path(self, goal: tuple[int, int], tolerance: int) -> np.ndarray | None:
        """Rows and columns N x 2 from the start to the cell nearest to a goal; None without one.

        ``tolerance``: of the goal, cells.
        """
        rows, columns = np.indices(self._shape)
        away = np.hypot(rows - goal[0], columns - goal[1]).ravel()
        away[~np.isfinite(self._cost) | (away > tolerance)] = np.inf
        cell = int(away.argmin())
        if not np.isfinite(away[cell]):
            return None
        cells = [cell]
        while (cell := int(self._before[cell])) >= 0:
            cells.append(cell)
        return np.stack(np.divmod(cells[::-1], self._shape[1]), axis=1)


@lru_cache(maxsize=2)
def _neighbours(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of cells that touch, flat indices, each once; and how far apart they are, cells."""
    cells = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
    pairs = [
        (cells[:, :-1], cells[:, 1:], 1.0),
        (cells[:-1], cells[1:], 1.0),
        (cells[:-1, :-1], cells[1:, 1:], np.sqrt(2)),
        (cells[:-1, 1:], cells[1:, :-1], np.sqrt(2)),
    ]
    first = np.concatenate([a.ravel() for a, _, _ in pairs])
    second = np.concatenate([b.ravel() for _, b, _ in pairs])
    length = np.concatenate([np.full(a.size, d, np.float32) for a, _, d in pairs])
    return first, second, length


def path_length(path: np.ndarray, resolution: float) -> float:
    """Length of a path of cells N x 2, m."""
    return float(np.hypot(*np.diff(path, axis=0).T).sum() * resolution)
