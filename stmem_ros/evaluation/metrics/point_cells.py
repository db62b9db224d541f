"""What points of lidar or depth say about the cells of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stmem_ros.costmap.grid import GridSnapshot

HIGH = 0.3  # m over the ground: points higher than that are of an obstacle
LOW = 0.12  # m from the ground: points nearer than that are of the ground


@dataclass(frozen=True)
class PointCells:
    """Cells by the points that fall in them, bool rows x columns each.

    Attributes:
        occupied: cells with points more than ``HIGH`` over the ground.
        ground: cells whose points all lie within ``LOW`` of the ground.
    """

    occupied: np.ndarray
    ground: np.ndarray


def sort_cells(grid: GridSnapshot, places: np.ndarray, heights: np.ndarray) -> PointCells:
    """Sort the cells of a grid by points.

    Args:
        places: N x 2 in the grid's frame, m; those outside the grid are left out.
        heights: N, over the ground, m.
    """
    flat = np.abs(heights) <= LOW
    return PointCells(
        occupied=cells_with(grid, places[heights > HIGH]),
        ground=cells_with(grid, places[flat]) & ~cells_with(grid, places[~flat]),
    )


def cells_with(grid: GridSnapshot, places: np.ndarray) -> np.ndarray:
    """Cells that hold any of the points N x 2 (grid's frame, m), bool rows x columns."""
    rows, columns = grid.label.shape
    column, row = np.floor((places - np.array(grid.origin)) / grid.resolution).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column < columns) & (row < rows)
    cells = np.zeros(grid.label.shape, bool)
    cells[row[inside], column[inside]] = True
    return cells
