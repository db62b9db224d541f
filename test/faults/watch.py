"""What the node publishes while faults are put in, and whether it is right."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from robot import LATCHED, Robot, base_pose, still_street
from sensor_msgs.msg import Image
from support.ros import NODE, Peer

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.rules import Kind, default_rules
from stmem_ros.data.synthetic.scene import ground_truth
from stmem_ros.stamps import SECOND

LETHAL, FREE, UNKNOWN = 100, 0, -1
MARGIN = 0.6  # m, by which a cell may be off
NEAR = 20.0  # m from the base that is looked at
KEPT = 2000  # messages


@dataclass(frozen=True)
class SeenLabel:
    """Labels that came: when, s of the robot, and the time of the robot that their stamp tells."""

    at: float
    seconds: float


@dataclass(frozen=True)
class SeenGrid:
    """A costmap that came."""

    at: float
    seconds: float
    cost: np.ndarray
    resolution: float
    origin: tuple[float, float]
    frame: str

    @property
    def is_unknown(self) -> bool:
        return bool((self.cost == UNKNOWN).all())


@dataclass(frozen=True)
class SeenStatus:
    """A status of /diagnostics that is not OK, or '' where all are."""

    at: float
    text: str


class Watch:
    """Collects what the node publishes."""

    def __init__(self, peer: Peer, robot: Robot, cameras: list[str]) -> None:
        self._robot = robot
        self.labels: dict[str, deque[SeenLabel]] = {name: deque(maxlen=KEPT) for name in cameras}
        self.grids: deque[SeenGrid] = deque(maxlen=KEPT)
        self.statuses: deque[SeenStatus] = deque(maxlen=KEPT)
        node = peer.node
        for name in cameras:
            topic = f"{NODE}/{name}/label"
            node.create_subscription(Image, topic, lambda m, n=name: self._take_label(n, m), 10)
        node.create_subscription(OccupancyGrid, f"{NODE}/costmap", self._take_grid, LATCHED)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10)

    def _seconds(self, header: object) -> float:
        return self._robot.seconds_of(header.stamp.sec * SECOND + header.stamp.nanosec)

    def _take_label(self, camera: str, message: Image) -> None:
        now = self._robot.seconds()
        self.labels[camera].append(SeenLabel(now, self._seconds(message.header)))

    def _take_grid(self, message: OccupancyGrid) -> None:
        info = message.info
        cost = np.array(message.data, np.int8).reshape(info.height, info.width)
        origin = info.origin.position.x, info.origin.position.y
        now = self._robot.seconds()
        seconds = self._seconds(message.header)
        frame = message.header.frame_id
        self.grids.append(SeenGrid(now, seconds, cost, info.resolution, origin, frame))

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        texts = [f"{s.name}: {s.message}" for s in message.status if s.level != b"\x00"]
        self.statuses.append(SeenStatus(self._robot.seconds(), "; ".join(texts)))

    def wait(self, seconds: float) -> None:
        """Until a time of the robot."""
        time.sleep(max(0.0, seconds - self._robot.seconds()))


class Truth:
    """What of a grid is wrong by the street."""

    def __init__(self) -> None:
        self._scene = still_street()
        self._blocks = default_rules(CAMVID).kinds == Kind.OBSTACLE

    def wrong_cells(self, grid: SeenGrid, street_from_odom: np.ndarray) -> int:
        """Cells that are lethal far from any obstacle, or free well inside of one.

        They are counted: as a share of all, most of which are road, obstacles would hardly matter.
        """
        rows, columns = np.mgrid[: grid.cost.shape[0], : grid.cost.shape[1]] + 0.5
        x = grid.origin[0] + columns * grid.resolution
        y = grid.origin[1] + rows * grid.resolution
        points = street_from_odom[:2, :2] @ np.stack([x.ravel(), y.ravel()])
        points += street_from_odom[:2, 3:4]
        label = ground_truth(self._scene, 0.0, *points.reshape(2, *x.shape))
        blocked = self._blocks[label].astype(np.uint8)
        size = 2 * round(MARGIN / grid.resolution) + 1
        kernel = np.ones((size, size), np.uint8)
        base = base_pose(grid.seconds)[:2, 3]
        near = np.hypot(*(points - base[:, None])).reshape(x.shape) < NEAR
        wrong = (grid.cost == LETHAL) & (cv2.dilate(blocked, kernel) == 0)
        wrong |= (grid.cost == FREE) & (cv2.erode(blocked, kernel) == 1)
        return int((wrong & near).sum())
