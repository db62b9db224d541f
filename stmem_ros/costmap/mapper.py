"""Labels and poses in order -> the rolling grid: what the node and the evaluation both run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stmem_ros.costmap.camera import CameraModel
from stmem_ros.costmap.grid import GridConfig, GridSnapshot, RollingGrid
from stmem_ros.costmap.projection import check_view, observe_ground
from stmem_ros.costmap.rules import CostRules

FASTEST = 70.0  # m/s; a base that moved faster has jumped
SLACK = 1.0  # m, of odometry that corrects itself


@dataclass(frozen=True)
class MapUpdate:
    """The grid after one image, and what that image said about obstacles.

    Attributes:
        grid: the fused grid.
        obstacles: N x 2, where obstacles met the ground in this image, in the grid's frame, m.
        obstacle_labels: class of each, uint8.
    """

    grid: GridSnapshot
    obstacles: np.ndarray
    obstacle_labels: np.ndarray


class SemanticMapper:
    """Fuses label images into a grid that rolls with the robot.

    With odometry the grid lies in the odometry frame and remembers; without it, it lies in the base
    frame and holds the newest image alone.
    """

    def __init__(self, config: GridConfig, rules: CostRules) -> None:
        self.grid = RollingGrid(config, rules)
        self._stamp: float | None = None
        self._pose: np.ndarray | None = None  # of the base in odom, at that stamp
        self._jumped: np.ndarray | None = None  # where odometry jumped to, until it is sure

    def reset(self) -> None:
        """Forget the grid."""
        self.grid.clear()
        self._stamp = self._pose = self._jumped = None

    def update(
        self,
        label: np.ndarray,
        confidence: np.ndarray,
        stamp: float,
        camera: CameraModel,
        camera_from_base: np.ndarray,
        odom_from_base: np.ndarray | None,
    ) -> MapUpdate:
        """Fuse one label image.

        Args:
            label, confidence: H x W uint8, as in ``Segmentation``.
            stamp: seconds.
            camera: intrinsics, for any image of the same aspect ratio.
            camera_from_base: 4 x 4, base frame to the camera's optical frame.
            odom_from_base: 4 x 4, or None without odometry.

        Raises:
            ValueError: the camera model does not fit the image, a pose is not finite, the camera
                sees no ground, or odometry jumped; the grid stays as it was. Where odometry stays
                after a jump, the grid begins anew there.
        """
        camera = camera.scaled(label.shape[1], label.shape[0])
        pose = np.eye(4) if odom_from_base is None else odom_from_base
        if not (np.isfinite(pose).all() and np.isfinite(camera_from_base).all()):
            raise ValueError("a transform holds values that are not finite")
        grid = self.grid
        check_view(camera, camera_from_base, grid.config.max_range)
        if odom_from_base is None or self._pose is None or self._began_anew(pose, stamp):
            grid.clear()
        elif self._stamp is not None:
            grid.fade(max(0.0, stamp - self._stamp))
        self._stamp, self._pose, self._jumped = stamp, odom_from_base, None
        grid.roll_to(pose[0, 3], pose[1, 3])

        # A cell is the point of the base frame's ground plane right above or below its centre.
        base_from_grid = np.linalg.inv(pose[:2, :2])
        centres = (grid.centres() - pose[:2, 3]) @ base_from_grid.T
        seen = observe_ground(
            label, confidence, camera, camera_from_base, centres, grid.rules, grid.config.max_range
        )
        obstacles = seen.contacts @ pose[:2, :2].T + pose[:2, 3]
        touched, inside = grid.cells_of(obstacles)
        contact_cells, contact_labels, contact_weights = _strongest(
            touched[inside], seen.contact_labels[inside], seen.contact_weights[inside]
        )
        grid.hide(seen.hidden)
        grid.add(contact_cells, contact_labels, contact_weights)
        # Where an obstacle touches the ground, ground seen in the same cell does not clear it.
        free = ~np.isin(seen.cells, contact_cells)
        grid.add(seen.cells[free], seen.labels[free], seen.weights[free])
        return MapUpdate(grid.snapshot(), obstacles, seen.contact_labels)

    def _began_anew(self, pose: np.ndarray, stamp: float) -> bool:
        """Whether odometry has settled somewhere else.

        Raises:
            ValueError: it jumped there just now; the next pose tells whether it stays.
        """
        assert self._pose is not None and self._stamp is not None
        seconds = max(0.0, stamp - self._stamp)
        reach = SLACK + FASTEST * seconds
        moved = float(np.linalg.norm(pose[:3, 3] - self._pose[:3, 3]))
        if moved <= reach:
            return False
        stays = self._jumped is not None and np.linalg.norm(pose[:3, 3] - self._jumped) <= reach
        self._jumped = pose[:3, 3]
        if not stays:
            raise ValueError(
                f"odometry jumped by {moved:.1f} m in {seconds:.2f} s; if it stays there the grid "
                "begins anew"
            )
        return True


def _strongest(
    cells: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One observation a cell: the one with the largest weight."""
    order = np.lexsort((-weights, cells))
    unique, first = np.unique(cells[order], return_index=True)
    chosen = order[first]
    return unique, labels[chosen], weights[chosen]
