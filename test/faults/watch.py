"""What the node publishes while faults are put in, and whether it is right."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from robot import LATCHED, MIDDLE, Robot, base_pose, still_street
from sensor_msgs.msg import Image
from support.ros import NODE, Peer

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.rules import Kind, default_rules
from stmem_ros.data.synthetic.drive import LANE
from stmem_ros.data.synthetic.scene import ground_truth
from stmem_ros.stamps import SECOND

LETHAL, FREE, UNKNOWN = 100, 0, -1
MARGIN = 0.6  # m, by which a cell may be off
NEAR = 20.0  # m from the base that is looked at
REACH, STEP = 25.0, 0.05  # m, of the truth about the middle of the drive; of its raster
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
        axis = np.arange(-REACH, REACH, STEP) + STEP / 2
        x, y = np.meshgrid(MIDDLE + axis, LANE + axis)
        is_obstacle = default_rules(CAMVID).kinds == Kind.OBSTACLE
        blocked = is_obstacle[ground_truth(still_street(), 0.0, x, y)].astype(np.uint8)
        size = 2 * round(MARGIN / STEP) + 1
        kernel = np.ones((size, size), np.uint8)
        # Rows (y) x columns (x) of the street: no obstacle is near; it is well inside of one.
        self._clear = cv2.dilate(blocked, kernel) == 0
        self._solid = cv2.erode(blocked, kernel) == 1

    def wrong_cells(self, grid: SeenGrid, street_from_odom: np.ndarray) -> int:
        """Cells that are lethal far from any obstacle, or free well inside of one.

        They are counted: as a share of all, most of which are road, obstacles would hardly matter.
        """
        rows, columns = np.nonzero((grid.cost == LETHAL) | (grid.cost == FREE))
        places = np.stack([columns, rows], axis=1) * grid.resolution + grid.resolution / 2
        places = (places + grid.origin) @ street_from_odom[:2, :2].T + street_from_odom[:2, 3]
        near = np.hypot(*(places - base_pose(grid.seconds)[:2, 3]).T) < NEAR
        x, y = ((places[near] - (MIDDLE - REACH, LANE - REACH)) / STEP).astype(int).T
        is_lethal = (grid.cost[rows, columns] == LETHAL)[near]
        wrong = np.where(is_lethal, self._clear[y, x], self._solid[y, x])
        return int(wrong.sum())
