"""How far a grid reaches, and how far lidar or depth bears it out."""

from __future__ import annotations

import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.evaluation.metrics.accumulator import Accumulator
from stmem_ros.evaluation.metrics.point_cells import sort_cells
from stmem_ros.frames import PlacedMap


class GridCoverage(Accumulator):
    """Of the cells on the ground in an image's view within range, how many have a class."""

    SUMS = ("known", "in_view")

    def __init__(self) -> None:
        self.known = np.zeros((), np.int64)
        self.in_view = np.zeros((), np.int64)

    def add(self, placed: PlacedMap, max_range: float) -> None:
        """Add the grid after an image; ``max_range`` in m from the base."""
        grid = placed.update.grid
        base = np.linalg.inv(placed.grid_from_base[:2, :2])
        points = (grid.centres() - placed.grid_from_base[:2, 3]) @ base.T
        near = (points**2).sum(axis=1) <= max_range**2
        camera_from_base = placed.view.camera_from_base
        camera_points = points[near] @ camera_from_base[:3, :2].T + camera_from_base[:3, 3]
        _, inside = placed.view.camera.project(camera_points)
        self.in_view += inside.sum()
        self.known += (grid.label.reshape(-1)[near][inside] != UNLABELLED).sum()

    @property
    def share(self) -> float:
        """Known / in view, NaN if no ground was in view."""
        return float(self.known / self.in_view) if self.in_view else float("nan")


class GridAgreement(Accumulator):
    """The grid against points of lidar or depth, in the cells that have a class or are doubtful.

    Attributes:
        occupied: occupied cells (``PointCells``) with a class.
        occupied_free: those of them that the grid takes for ground.
        occupied_doubtful: occupied cells of doubtful ground.
        ground: ground cells (``PointCells``) with a class.
        ground_lethal: those of them that the grid calls lethal.
    """

    SUMS = ("occupied", "occupied_free", "occupied_doubtful", "ground", "ground_lethal")

    def __init__(self) -> None:
        self.occupied = np.zeros((), np.int64)
        self.occupied_free = np.zeros((), np.int64)
        self.occupied_doubtful = np.zeros((), np.int64)
        self.ground = np.zeros((), np.int64)
        self.ground_lethal = np.zeros((), np.int64)

    @property
    def is_of_any_cell(self) -> bool:
        """Whether points told of any cell."""
        return bool(self.occupied + self.occupied_doubtful + self.ground)

    def add(
        self,
        placed: PlacedMap,
        points: np.ndarray,
        rules: CostRules,
        max_range: float,
        max_height: float,
    ) -> None:
        """Add the grid after an image.

        Args:
            points: N x 3 in the base frame, m.
            max_range: points farther from the base are left out, m.
            max_height: points higher over the ground block nothing, m.
        """
        grid = placed.update.grid
        near = (points[:, 0] ** 2 + points[:, 1] ** 2) <= max_range**2
        near &= points[:, 2] <= max_height
        points = points[near]
        pose = placed.grid_from_base
        places = points[:, :2] @ pose[:2, :2].T + pose[:2, 3]
        cells = sort_cells(grid, places, points[:, 2])
        known = grid.label != UNLABELLED
        free = rules.kinds[grid.label] == Kind.GROUND
        doubtful = ~known & (grid.cost >= 0)
        lethal = grid.cost >= 100
        self.occupied += (cells.occupied & known).sum()
        self.occupied_free += (cells.occupied & known & free).sum()
        self.occupied_doubtful += (cells.occupied & doubtful).sum()
        self.ground += (cells.ground & known).sum()
        self.ground_lethal += (cells.ground & known & lethal).sum()

    @property
    def occupied_not_free(self) -> float:
        """Share of the occupied cells that are not free, NaN without any."""
        return 1 - float(self.occupied_free / self.occupied) if self.occupied else float("nan")

    @property
    def doubtful_share(self) -> float:
        """Share of the occupied cells, with a class or doubtful, that are doubtful; NaN without."""
        cells = self.occupied + self.occupied_doubtful
        return float(self.occupied_doubtful / cells) if cells else float("nan")

    @property
    def ground_not_lethal(self) -> float:
        """Share of the ground cells that are not lethal, NaN without any."""
        return 1 - float(self.ground_lethal / self.ground) if self.ground else float("nan")
