"""Labels and poses in order -> the rolling grid: what the node and the evaluation both run."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import cv2
import numpy as np

from stmem_ros.costmap.blind_zone import BlindZone
from stmem_ros.costmap.cut_off import RecentViews, cells_beside
from stmem_ros.costmap.depth import check_depth, hidden_cells, observe_depth
from stmem_ros.costmap.grid import GridConfig, GridSnapshot, RollingGrid
from stmem_ros.costmap.motion import BaseMotion
from stmem_ros.costmap.placed_pixels import placed_pixels
from stmem_ros.costmap.projection import LIKELY_BODY, observe_ground
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.costmap.view import (
    LabelledView,
    check_ground_in_view,
    check_optical_frame,
    turn_image,
    turns_upright,
)
from stmem_ros.geometry.camera import CameraModel

STEP_HEIGHT = 0.15  # m; with depth, lower obstacles are taken for the ground they stand on
CONTACT_HEIGHT = 0.1  # m; just over the ground, so that a height filter at 0 keeps the points
MAX_TILT = np.pi / 4  # rad; a base that leans more has fallen, or is no vehicle's
APPROACH_SPEED = 15.0  # m/s; so fast, what moves may have come from where it was seen
APPROACH_TIME = 0.25  # s; in images that are not older than this


@dataclass(frozen=True)
class MapUpdate:
    """The grid after one image, and what that image said about obstacles.

    Attributes:
        grid: the fused grid.
        obstacles: N x 3, where obstacles met the ground in this image, or with depth all that was
            seen of them; in the base frame at its stamp, m.
        obstacle_labels: class of each, uint8.
        cloud: H x W x 3 float32, every pixel in the base frame, m, NaN where its place is not
            known, or not asked for; None where contact points alone are.
    """

    grid: GridSnapshot
    obstacles: np.ndarray
    obstacle_labels: np.ndarray
    cloud: np.ndarray | None = None


class Points(Enum):
    """Which points of an image are told beside the grid."""

    CONTACTS = "contacts"  # where obstacles touch the ground; with depth all
    GROUND = "ground"  # pixels of ground
    ALL = "all"  # those, and obstacles


@dataclass(frozen=True)
class _CellLabels:
    """Cells with what was seen in each: indices (unique), classes, weights 0..1."""

    cells: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def select(self, chosen: np.ndarray) -> _CellLabels:
        """Those that a mask or indices choose."""
        return _CellLabels(self.cells[chosen], self.labels[chosen], self.weights[chosen])

    def joined(self, other: _CellLabels) -> _CellLabels:
        """These and others; cells are no longer unique."""
        return _CellLabels(
            np.concatenate([self.cells, other.cells]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.weights, other.weights]),
        )


class SemanticMapper:
    """Fuses label images into a grid that rolls with the robot.

    With odometry the grid lies in the odometry frame and remembers; without it, it lies in the base
    frame and holds the newest image alone. Labels of several cameras may come out of order: older
    ones are placed by the pose of their own stamp, and neither age the grid nor move it.
    """

    def __init__(
        self, config: GridConfig, rules: CostRules, points: Points = Points.CONTACTS
    ) -> None:
        self._points = points
        self.grid = RollingGrid(config, rules)
        self._blind_zone = BlindZone(config.blind_zone)
        self._motion = BaseMotion()
        # Stamps, and places in the grid's frame (m), of what moves in the last images.
        self._movers: deque[tuple[float, np.ndarray]] = deque()
        self._views = RecentViews()

    @property
    def newest(self) -> float | None:
        """Stamp of the newest labels that the grid followed the base to, s."""
        return self._motion.stamp

    def reset(self) -> None:
        """Forget the grid."""
        self._motion.reset()
        self._clear_grid()

    def _clear_grid(self) -> None:
        self.grid.clear()
        self._movers.clear()
        self._views.clear()

    def update(
        self,
        label: np.ndarray,
        confidence: np.ndarray,
        stamp: float,
        camera: CameraModel,
        camera_from_base: np.ndarray,
        odom_from_base: np.ndarray | None,
        depth: np.ndarray | None = None,
        between: Sequence[tuple[float, np.ndarray]] = (),
    ) -> MapUpdate:
        """Fuse one label image.

        Args:
            label, confidence: H x W uint8, as in ``Segmentation``.
            stamp: seconds.
            camera: intrinsics, of an image of the labels' size.
            camera_from_base: 4 x 4, base frame to the camera's optical frame.
            odom_from_base: 4 x 4, or None without odometry.
            depth: H x W float32, m along the optical axis, NaN where not known; None without depth.
            between: stamps in s and ``odom_from_base`` since ``newest``, oldest first, as far as
                they are known: by them a jump in a pause between images is told from driving.

        Raises:
            ValueError: camera model or depth do not fit the image, a pose is not finite, the camera
                sees no ground, or odometry jumped or tilts too far; the grid stays as it was. Where
                odometry stays after a jump, the grid begins anew there.
        """
        view = LabelledView(
            label=label,
            confidence=confidence,
            camera=camera,
            camera_from_base=camera_from_base,
            depth=depth,
        )
        pose = np.eye(4) if odom_from_base is None else odom_from_base
        _check_inputs(view, pose)
        turns = turns_upright(camera_from_base)
        if turns:  # mounted on its side, or upside down
            view = view.turned(turns)
        base_from_level = _base_from_level(pose) if self.grid.config.level_ground else None
        if base_from_level is not None:  # from here on the base is level
            view, pose = view.in_frame(base_from_level), pose @ base_from_level
        check_ground_in_view(view, self.grid.config.max_range)
        check_optical_frame(camera_from_base)
        newest = self.newest
        self._follow_between(between)
        self._follow_base(stamp, pose, newest, has_odometry=odom_from_base is not None)
        if (outline := self._blind_zone.outline(view)) is not None:
            self.grid.assume_free(outline @ pose[:2, :2].T + pose[:2, 3])

        add = self._add_contacts if depth is None else self._add_depth
        update = add(view, stamp, pose)
        if base_from_level is not None:
            update = _turn_points(update, base_from_level[:3, :3])
        if turns and update.cloud is not None:
            update = replace(update, cloud=turn_image(update.cloud, -turns))
        return update

    def _follow_between(self, poses: Sequence[tuple[float, np.ndarray]]) -> None:
        """Follow odometry from one image to the next, and forget a grid of before a jump.

        Raises:
            ValueError: odometry jumped meanwhile.
        """
        jump: ValueError | None = None
        level = self.grid.config.level_ground
        for stamp, pose in poses:
            try:
                level_pose = pose @ _base_from_level(pose) if level else pose
                if self._motion.begins_anew(stamp, level_pose):
                    self._clear_grid()
            except ValueError as error:
                jump = error
            else:
                self._motion.follow(stamp, level_pose)
        if jump is not None:  # it costs an image, as where it is seen from image to image
            raise jump

    def _follow_base(
        self, stamp: float, pose: np.ndarray, newest: float | None, has_odometry: bool
    ) -> None:
        """Let the grid age and roll along with the base, or begin anew.

        ``newest``: stamp of the newest labels before, s.

        Raises:
            ValueError: odometry jumped just now.
        """
        if not has_odometry:
            self.reset()
        elif self._motion.begins_anew(stamp, pose) or newest is None:
            self._clear_grid()
        elif stamp < newest:
            return
        else:
            self.grid.fade(stamp - newest)
        self.grid.roll_to(pose[0, 3], pose[1, 3])
        if has_odometry:
            self._motion.follow(stamp, pose)

    def _add_contacts(self, view: LabelledView, stamp: float, pose: np.ndarray) -> MapUpdate:
        """Add ground where cells are seen, and obstacles where they touch it."""
        grid = self.grid
        centres = self._centres(pose)
        seen = observe_ground(view, centres, grid.rules, grid.config.max_range)
        obstacles = np.insert(seen.contacts, 2, CONTACT_HEIGHT, axis=1)
        occupied = self._cells_of(obstacles, pose, seen.contact_labels, seen.contact_weights)
        occupied = _strongest(
            occupied.joined(_CellLabels(seen.wheels, seen.wheel_labels, seen.wheel_weights))
        )
        grid.forget_free(seen.hidden)
        grid.forget_free(seen.covered)
        beside = cells_beside(view, seen.movers, seen.mover_columns, centres)
        self._forget_unseen(beside, view, stamp, pose)
        grid.weaken_obstacles(seen.covered)
        grid.add_doubtful_ground(seen.doubtful, seen.doubtful_weights)
        self._add(stamp, occupied, _CellLabels(seen.cells, seen.labels, seen.weights))
        cloud = None
        if self._points is not Points.CONTACTS:
            with_obstacles = self._points is Points.ALL
            cloud = placed_pixels(view, grid.rules, grid.config.max_range, with_obstacles)
        return MapUpdate(grid.snapshot(), obstacles, seen.contact_labels, cloud)

    def _add_depth(self, view: LabelledView, stamp: float, pose: np.ndarray) -> MapUpdate:
        """Add each pixel where its depth puts it."""
        grid, config = self.grid, self.grid.config
        centres = self._centres(pose)
        hidden = hidden_cells(view, centres, grid.rules.moving)
        seen = observe_depth(view, grid.rules, config.max_range, config.max_height, STEP_HEIGHT)
        occupied = self._cells_of(seen.obstacles, pose, seen.obstacle_labels, seen.obstacle_weights)
        ground = self._cells_of(seen.ground, pose, seen.ground_labels, seen.ground_weights)
        grid.forget_free(hidden)
        beside = cells_beside(view, *_movers(view, seen.points, grid.rules.moving), centres)
        self._forget_unseen(beside, view, stamp, pose)
        self._add(stamp, occupied, ground)
        cloud = seen.points.astype(np.float32)
        if self._points is Points.GROUND:
            cloud[grid.rules.kinds[view.label] != Kind.GROUND] = np.nan
        return MapUpdate(grid.snapshot(), seen.obstacles, seen.obstacle_labels, cloud)

    def _forget_unseen(
        self, cells: np.ndarray, view: LabelledView, stamp: float, pose: np.ndarray
    ) -> None:
        """Forget ground in those of the cells beside a view that no other camera sees."""
        if len(cells):  # of all cells the centres are many
            seen = self._views.others_see(stamp, view, self.grid.centres()[cells])
            self.grid.forget_ground(cells[~seen])
        self._views.add(stamp, view, pose)

    def _centres(self, pose: np.ndarray) -> np.ndarray:
        """Cells in the base frame: the points of its ground right above or below their centres."""
        base_from_grid = np.linalg.inv(pose[:2, :2])
        return (self.grid.centres() - pose[:2, 3]) @ base_from_grid.T

    def _cells_of(
        self, points: np.ndarray, pose: np.ndarray, labels: np.ndarray, weights: np.ndarray
    ) -> _CellLabels:
        """The cells that points N x 2 or 3 of the base lie in, each with its surest label."""
        places = points @ pose[:2, : points.shape[1]].T + pose[:2, 3]
        cells, inside = self.grid.cells_of(places)
        return _strongest(_CellLabels(cells, labels, weights).select(inside))

    def _add(self, stamp: float, occupied: _CellLabels, ground: _CellLabels) -> None:
        """Add what was seen in cells; ground seen in the same cell clears no obstacle."""
        self._admit_movers(stamp, occupied)
        self.grid.add(occupied.cells, occupied.labels, occupied.weights)
        free = ground.select(~np.isin(ground.cells, occupied.cells))
        self.grid.add(free.cells, free.labels, free.weights)

    def _admit_movers(self, stamp: float, occupied: _CellLabels) -> None:
        """Let what moves be an obstacle at once where it was free, if it was seen just before.

        It drives into new cells with each image, and would never be seen in one twice.
        """
        movers = occupied.select(self.grid.rules.moving[occupied.labels] & (occupied.weights > 0))
        if not len(movers.cells):
            return
        while self._movers and stamp - self._movers[0][0] > APPROACH_TIME:
            self._movers.popleft()
        for earlier, places in self._movers:
            reach = APPROACH_SPEED * abs(stamp - earlier) + self.grid.config.resolution
            near = self.grid.distances(places)[movers.cells] <= reach
            self.grid.clear_negative_evidence(movers.cells[near], movers.labels[near])
        self._movers.append((stamp, self.grid.centres()[movers.cells]))


def _movers(
    view: LabelledView, points: np.ndarray, moving: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where depth, H x W x 3 points in the base frame, shows what moves: N x 2, and columns."""
    shown = cv2.LUT(view.label, moving.view(np.uint8)).view(bool)
    shown &= (view.confidence >= LIKELY_BODY * 255) & np.isfinite(points[..., 0])
    row, column = np.nonzero(shown)
    return points[row, column, :2], column


def _check_inputs(view: LabelledView, pose: np.ndarray) -> None:
    """Refuse images that are not of one size, and transforms without a meaning.

    Raises:
        ValueError: the sizes differ, or a value is not finite.
    """
    camera, label = view.camera, view.label
    if label.shape != (camera.height, camera.width):
        raise ValueError(
            f"camera_info is for {camera.width} x {camera.height} pixels but the image has "
            f"{label.shape[1]} x {label.shape[0]}: they must be of one size; "
            "what resizes images must resize camera_info with them"
        )
    if not (np.isfinite(pose).all() and np.isfinite(view.camera_from_base).all()):
        raise ValueError("a transform holds values that are not finite")
    if view.depth is not None:
        check_depth(view.depth, label)


def _base_from_level(odom_from_base: np.ndarray) -> np.ndarray:
    """The base made level in odom by the shortest turn, as a pose 4 x 4 in the base.

    Raises:
        ValueError: the base lies on its side.
    """
    x, y, z = odom_from_base[2, :3]  # where up is, in the base
    if z < np.cos(MAX_TILT):
        raise ValueError(
            f"odometry tilts the base by {np.degrees(np.arccos(z)):.0f} degrees; with "
            f"costmap.level_ground it may be {np.degrees(MAX_TILT):.0f} at most"
        )
    turn = np.array([[0, 0, x], [0, 0, y], [-x, -y, 0]])
    pose = np.eye(4)
    pose[:3, :3] += turn + turn @ turn / (1 + z)
    return pose


def _turn_points(update: MapUpdate, rotation: np.ndarray) -> MapUpdate:
    """An update whose points are turned by a matrix 3 x 3: from the level base to the base."""
    cloud = None if update.cloud is None else update.cloud @ rotation.T.astype(np.float32)
    return replace(update, obstacles=update.obstacles @ rotation.T, cloud=cloud)


def _strongest(seen: _CellLabels) -> _CellLabels:
    """One observation per cell: the one with the largest weight."""
    order = np.lexsort((-seen.weights, seen.cells))
    _, first = np.unique(seen.cells[order], return_index=True)
    return seen.select(order[first])
