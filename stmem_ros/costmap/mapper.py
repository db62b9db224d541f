"""Labels and poses in order -> the rolling grid: what the node and the evaluation both run."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from stmem_ros.costmap.depth import check_depth, covered_cells, observe_depth
from stmem_ros.costmap.grid import GridConfig, GridSnapshot, RollingGrid
from stmem_ros.costmap.projection import check_view, observe_ground, turns_upright
from stmem_ros.costmap.rules import CostRules
from stmem_ros.geometry.camera import CameraModel, quarter_turns
from stmem_ros.geometry.transforms import CLOCK_RESET

FASTEST = 70.0  # m/s; a base that moved faster has jumped
FASTEST_TURN = 2 * np.pi  # rad/s; or turned faster
STEP = 0.15  # m; with depth, lower obstacles are taken for the ground they stand on
CONTACT_HEIGHT = 0.1  # m; just over the ground, so that a height filter at 0 keeps the points
STEEPEST = np.pi / 4  # rad; a base that leans more has fallen, or is no vehicle's
APPROACH = 15.0  # m/s; so fast, what moves may have come from where it was just seen,
JUST = 0.25  # s; which is in images not older than this
SLACK, SLACK_TURN = 1.0, 0.2  # m and rad, of odometry that corrects itself


@dataclass(frozen=True)
class MapUpdate:
    """The grid after one image, and what that image said about obstacles.

    Attributes:
        grid: the fused grid.
        obstacles: N x 3, where obstacles met the ground in this image, or with depth all that was
            seen of them; in the base frame at its stamp, m.
        obstacle_labels: class of each, uint8.
        cloud: with depth H x W x 3 float32, every pixel in the base frame, m, NaN where depth is
            not known; else None.
    """

    grid: GridSnapshot
    obstacles: np.ndarray
    obstacle_labels: np.ndarray
    cloud: np.ndarray | None = None


class SemanticMapper:
    """Fuses label images into a grid that rolls with the robot.

    With odometry the grid lies in the odometry frame and remembers; without it, it lies in the base
    frame and holds the newest image alone. Labels of several cameras may come out of order: older
    ones are placed by the pose of their own stamp, and neither age the grid nor move it.
    """

    def __init__(self, config: GridConfig, rules: CostRules) -> None:
        self.grid = RollingGrid(config, rules)
        # Stamps, and places in the grid's frame (m), of what moves in the last images.
        self._movers: deque[tuple[float, np.ndarray]] = deque()
        self._stamp: float | None = None
        self._pose: np.ndarray | None = None  # of the base in odom, at that stamp
        self._jumped: np.ndarray | None = None  # the pose odometry jumped to, until it is sure

    def reset(self) -> None:
        """Forget the grid."""
        self.grid.clear()
        self._movers.clear()
        self._stamp = self._pose = self._jumped = None

    def update(
        self,
        label: np.ndarray,
        confidence: np.ndarray,
        stamp: float,
        camera: CameraModel,
        camera_from_base: np.ndarray,
        odom_from_base: np.ndarray | None,
        depth: np.ndarray | None = None,
    ) -> MapUpdate:
        """Fuse one label image.

        Args:
            label, confidence: H x W uint8, as in ``Segmentation``.
            stamp: seconds.
            camera: intrinsics, of an image of the labels' size.
            camera_from_base: 4 x 4, base frame to the camera's optical frame.
            odom_from_base: 4 x 4, or None without odometry.
            depth: H x W float32, m along the optical axis, NaN where not known; None without depth.

        Raises:
            ValueError: camera model or depth do not fit the image, a pose is not finite, the camera
                sees no ground, or odometry jumped or tilts too far; the grid stays as it was. Where
                odometry stays after a jump, the grid begins anew there.
        """
        if label.shape != (camera.height, camera.width):
            raise ValueError(
                f"camera_info is for {camera.width} x {camera.height} pixels but the image has "
                f"{label.shape[1]} x {label.shape[0]}: they must be of one size"
            )
        pose = np.eye(4) if odom_from_base is None else odom_from_base
        if not (np.isfinite(pose).all() and np.isfinite(camera_from_base).all()):
            raise ValueError("a transform holds values that are not finite")
        grid = self.grid
        if depth is not None:
            check_depth(depth, label)
        turns = turns_upright(camera_from_base)
        if turns:  # mounted on its side, or upside down
            camera = camera.turned(turns)
            camera_from_base = quarter_turns(turns) @ camera_from_base
            label, confidence = (_turned(image, turns) for image in (label, confidence))
            depth = None if depth is None else _turned(depth, turns)
        lean = _lean(pose) if grid.config.level_ground else None
        if lean is not None:  # from here on the base is level
            camera_from_base, pose = camera_from_base @ lean, pose @ lean
        check_view(camera, camera_from_base, grid.config.max_range)
        if odom_from_base is None or self._pose is None or self._began_anew(pose, stamp):
            self.reset()
        self._jumped = None
        if self._stamp is None or stamp >= self._stamp:
            if self._stamp is not None:
                grid.fade(stamp - self._stamp)
            grid.roll_to(pose[0, 3], pose[1, 3])
            self._stamp, self._pose = stamp, None if odom_from_base is None else pose

        if depth is None:
            update = self._add_contacts(label, confidence, stamp, camera, camera_from_base, pose)
        else:
            update = self._add_depth(
                label, confidence, stamp, depth, camera, camera_from_base, pose
            )
        if lean is not None:
            update = _leaning(update, lean[:3, :3])
        if turns and update.cloud is not None:
            update = replace(update, cloud=_turned(update.cloud, -turns))
        return update

    def _add_contacts(
        self,
        label: np.ndarray,
        confidence: np.ndarray,
        stamp: float,
        camera: CameraModel,
        camera_from_base: np.ndarray,
        pose: np.ndarray,
    ) -> MapUpdate:
        """Ground where cells are seen, obstacles where they touch it."""
        grid = self.grid
        seen = observe_ground(
            label, confidence, camera, camera_from_base, self._centres(pose), grid.rules,
            grid.config.max_range,
        )  # fmt: skip
        obstacles = np.insert(seen.contacts, 2, CONTACT_HEIGHT, axis=1)
        occupied = self._cells(obstacles, pose, seen.contact_labels, seen.contact_weights)
        grid.hide(seen.hidden)
        grid.hide(seen.under)
        grid.weaken(seen.under)
        grid.doubt(seen.doubtful, seen.doubtful_weights)
        self._add(stamp, occupied, (seen.cells, seen.labels, seen.weights))
        return MapUpdate(grid.snapshot(), obstacles, seen.contact_labels)

    def _add_depth(
        self,
        label: np.ndarray,
        confidence: np.ndarray,
        stamp: float,
        depth: np.ndarray,
        camera: CameraModel,
        camera_from_base: np.ndarray,
        pose: np.ndarray,
    ) -> MapUpdate:
        """Each pixel where its depth puts it."""
        config = self.grid.config
        covered = covered_cells(
            label, depth, camera, camera_from_base, self._centres(pose), self.grid.rules.moving
        )
        seen = observe_depth(
            label, confidence, depth, camera, camera_from_base, self.grid.rules,
            config.max_range, config.max_height, STEP,
        )  # fmt: skip
        occupied = self._cells(seen.obstacles, pose, seen.obstacle_labels, seen.obstacle_weights)
        self.grid.hide(covered)
        ground = self._cells(seen.ground, pose, seen.ground_labels, seen.ground_weights)
        self._add(stamp, occupied, ground)
        cloud = seen.points.astype(np.float32)
        return MapUpdate(self.grid.snapshot(), seen.obstacles, seen.obstacle_labels, cloud)

    def _centres(self, pose: np.ndarray) -> np.ndarray:
        """Cells in the base frame: the points of its ground right above or below their centres."""
        base_from_grid = np.linalg.inv(pose[:2, :2])
        return (self.grid.centres() - pose[:2, 3]) @ base_from_grid.T

    def _cells(
        self, points: np.ndarray, pose: np.ndarray, labels: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The cells that points N x 2 or 3 of the base lie in, each with its surest label."""
        places = points @ pose[:2, : points.shape[1]].T + pose[:2, 3]
        cells, inside = self.grid.cells_of(places)
        return _strongest(cells[inside], labels[inside], weights[inside])

    def _add(
        self,
        stamp: float,
        occupied: tuple[np.ndarray, np.ndarray, np.ndarray],
        ground: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        """Add cells, labels and weights; ground seen in the same cell clears no obstacle."""
        self._expect_movers(stamp, *occupied)
        self.grid.add(*occupied)
        cells, labels, weights = ground
        free = ~np.isin(cells, occupied[0])
        self.grid.add(cells[free], labels[free], weights[free])

    def _expect_movers(
        self, stamp: float, cells: np.ndarray, labels: np.ndarray, weights: np.ndarray
    ) -> None:
        """Let what moves be an obstacle at once where it was free, if it was seen just before.

        It drives into new cells with each image, and would never be seen in one twice.
        """
        moves = self.grid.rules.moving[labels] & (weights > 0)
        if not moves.any():
            return
        cells, labels = cells[moves], labels[moves]
        while self._movers and stamp - self._movers[0][0] > JUST:
            self._movers.popleft()
        for earlier, places in self._movers:
            reach = APPROACH * abs(stamp - earlier) + self.grid.config.resolution
            near = self.grid.distances(places)[cells] <= reach
            self.grid.expect(cells[near], labels[near])
        self._movers.append((stamp, self.grid.centres()[cells]))

    def _began_anew(self, pose: np.ndarray, stamp: float) -> bool:
        """Whether odometry has settled somewhere else, or time began anew.

        Raises:
            ValueError: it jumped there just now; the next pose tells whether it stays.
        """
        assert self._pose is not None and self._stamp is not None
        if self._stamp - stamp > CLOCK_RESET / 1e9:
            return True
        seconds = abs(stamp - self._stamp)
        if _reachable(self._pose, pose, seconds):
            return False
        stays = self._jumped is not None and _reachable(self._jumped, pose, seconds)
        self._jumped = pose
        if not stays:
            moved, turned = _motion(self._pose, pose)
            raise ValueError(
                f"odometry jumped by {moved:.1f} m and {np.degrees(turned):.0f} degrees in "
                f"{seconds:.2f} s; if it stays there the grid begins anew"
            )
        return True


def _turned(image: np.ndarray, turns: int) -> np.ndarray:
    """Counter-clockwise by quarter turns."""
    return np.ascontiguousarray(np.rot90(image, turns))


def _lean(odom_from_base: np.ndarray) -> np.ndarray:
    """The base made level in odom, 4 x 4 in the base: by the shortest turn.

    Raises:
        ValueError: the base lies on its side.
    """
    x, y, z = odom_from_base[2, :3]  # where up is, in the base
    if z < np.cos(STEEPEST):
        raise ValueError(
            f"odometry tilts the base by {np.degrees(np.arccos(z)):.0f} degrees; with "
            f"costmap.level_ground it may be {np.degrees(STEEPEST):.0f} at most"
        )
    turn = np.array([[0, 0, x], [0, 0, y], [-x, -y, 0]])
    pose = np.eye(4)
    pose[:3, :3] += turn + turn @ turn / (1 + z)
    return pose


def _leaning(update: MapUpdate, lean: np.ndarray) -> MapUpdate:
    """What was said in a base made level, by a turn 3 x 3, for the base as it is."""
    cloud = None if update.cloud is None else update.cloud @ lean.T.astype(np.float32)
    return replace(update, obstacles=update.obstacles @ lean.T, cloud=cloud)


def _motion(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """How far a pose moved, m, and turned, rad."""
    turn = (np.trace(before[:3, :3].T @ after[:3, :3]) - 1) / 2
    moved = np.linalg.norm(after[:3, 3] - before[:3, 3])
    return float(moved), float(np.arccos(np.clip(turn, -1, 1)))


def _reachable(before: np.ndarray, after: np.ndarray, seconds: float) -> bool:
    """Whether a vehicle can have come from one pose to another in some time."""
    moved, turned = _motion(before, after)
    return moved <= SLACK + FASTEST * seconds and turned <= SLACK_TURN + FASTEST_TURN * seconds


def _strongest(
    cells: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One observation a cell: the one with the largest weight."""
    order = np.lexsort((-weights, cells))
    unique, first = np.unique(cells[order], return_index=True)
    chosen = order[first]
    return unique, labels[chosen], weights[chosen]
