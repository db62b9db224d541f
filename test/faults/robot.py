"""A robot of the synthetic street: it drives to and fro, and sends what its sensors see.

Nothing in its street moves, so that the truth of each cell is known. What it sends goes through a
hook, where faults are put in.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from stmem_ros.data.synthetic.drive import LANE, MOUNTING
from stmem_ros.data.synthetic.render import View, render
from stmem_ros.data.synthetic.scene import Scene, make_scene
from stmem_ros.geometry.camera import CameraModel
from stmem_ros.node.ros_messages import ROS_MESSAGES
from stmem_ros.stamps import SECOND

CAMERA = CameraModel(320, 240, ((250.0, 0.0, 159.5), (0.0, 250.0, 113.0), (0.0, 0.0, 1.0)))
YAWS = {"front": 0.0, "rear": math.pi}  # of the cameras, rad
ROUND_TRIP = 6.0  # s
RATE = 5.0  # Hz, of images, unless told
MIDDLE, SWING = 8.0, 1.5  # along the street, m
ODOMETRY_RATE = 20.0  # Hz, also of /clock
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Sensor(Enum):
    """What the robot sends, by the name of its topic."""

    IMAGE = "image_raw"
    CAMERA_INFO = "camera_info"
    DEPTH = "depth"
    STATIC_TRANSFORM = "/tf_static"
    ODOMETRY = "/tf"
    CLOCK = "/clock"


@dataclass(frozen=True)
class Sending:
    """A message on its way.

    Attributes:
        camera: its name; '' for what is of the whole robot.
        seconds: time of the robot, which is that of its stamp.
        after: s from now until it is sent.
    """

    sensor: Sensor
    camera: str
    message: object
    seconds: float
    after: float = 0.0


Hook = Callable[[Sending], Iterable[Sending]]


def turned(yaw: float) -> np.ndarray:
    """A pose at the origin, 4 x 4."""
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    return pose


def still_street() -> Scene:
    """A crowded street in which nothing moves."""
    scene = make_scene("crowded", 8)
    return replace(scene, solids=tuple(replace(s, velocity=(0.0, 0.0)) for s in scene.solids))


class Street:
    """The street, and what each camera sees of it on a round trip; rendered once.

    ``rate``: of the images, Hz; that of odometry is a multiple of it, or it one of that.
    """

    def __init__(self, cameras: Iterable[str], rate: float = RATE) -> None:
        self.scene = still_street()
        self.rate = rate
        self.views: dict[str, list[View]] = {
            name: [self._view(name, i / rate) for i in range(round(ROUND_TRIP * rate))]
            for name in cameras
        }

    def _view(self, camera: str, seconds: float) -> View:
        return render(self.scene, seconds, CAMERA, base_pose(seconds) @ base_from_camera(camera))


def base_pose(seconds: float) -> np.ndarray:
    """The base in the street, 4 x 4."""
    pose = np.eye(4)
    pose[:2, 3] = MIDDLE + SWING * np.sin(2 * np.pi * seconds / ROUND_TRIP), LANE
    return pose


def base_from_camera(camera: str) -> np.ndarray:
    return turned(YAWS[camera]) @ MOUNTING.base_from_camera()


class Robot:
    """Sends at the sensors' rates from a thread of its own, until it is closed.

    Args:
        street: where it drives, with the cameras it has.
        depth: each has depth images.
        simulated: its time is that of /clock, which it sends; else the machine's.

    Attributes:
        hook: what becomes of each message.
    """

    def __init__(self, node: Node, street: Street, depth: bool, simulated: bool) -> None:
        self._street, self._depth, self._simulated = street, depth, simulated
        self._rate = max(street.rate, ODOMETRY_RATE)
        self._began = time.time() if not simulated else 1000.0
        self._started = time.monotonic()
        self.hook: Hook = lambda sending: [sending]
        self._waiting: list[tuple[float, int, Sending]] = []
        self._count = itertools.count()
        self._last: dict[tuple[Sensor, str], float] = {}  # when what was sent last goes out
        self._publishers: dict[tuple[Sensor, str], Publisher] = {}
        for sensor, kind, qos in (
            (Sensor.STATIC_TRANSFORM, TFMessage, LATCHED),
            (Sensor.ODOMETRY, TFMessage, 100),
            *([(Sensor.CLOCK, Clock, 10)] if simulated else []),
        ):
            self._publishers[sensor, ""] = node.create_publisher(kind, sensor.value, qos)
        for name, sensor in itertools.product(street.views, Sensor):
            if sensor in (Sensor.IMAGE, Sensor.CAMERA_INFO, *([Sensor.DEPTH] if depth else [])):
                kind = CameraInfo if sensor is Sensor.CAMERA_INFO else Image
                topic = f"/{name}/{sensor.value}"
                self._publishers[sensor, name] = node.create_publisher(kind, topic, 20)
        self._stop = threading.Event()
        self._is_healed = threading.Event()
        self._static_is_due = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def heal(self) -> None:
        """No fault from now on; what was held back is sent at once, in order."""
        self.hook = lambda sending: [sending]
        self._is_healed.set()

    def seconds(self) -> float:
        """The robot's time since it began."""
        return time.monotonic() - self._started

    def stamp(self, seconds: float) -> int:
        """The stamp of a time of the robot, ns."""
        return round((self._began + seconds) * SECOND)

    def seconds_of(self, stamp: int) -> float:
        """The time of the robot that a stamp in ns tells."""
        return stamp / SECOND - self._began

    def send_static_transforms(self) -> None:
        """Send, anew, where the cameras are."""
        self._static_is_due.set()

    def _send_static_transforms(self) -> None:
        header = ROS_MESSAGES.header(self.stamp(0), "base_footprint")
        mounted = [
            ROS_MESSAGES.transform(base_from_camera(name), name, header).transforms[0]
            for name in self._street.views
        ]
        self._send(Sensor.STATIC_TRANSFORM, "", TFMessage(transforms=mounted), self.seconds())

    def _run(self) -> None:
        self.send_static_transforms()
        tick = 0
        while not self._stop.is_set():
            due = tick / self._rate
            while self.seconds() < due:
                wait = min([due - self.seconds(), *(w[0] - self.seconds() for w in self._waiting)])
                time.sleep(max(wait, 1e-3))
                self._send_waiting()
            self._send_moment(tick)
            self._send_waiting()
            tick += 1

    def _send_moment(self, tick: int) -> None:
        seconds = tick / self._rate
        if self._static_is_due.is_set():
            self._static_is_due.clear()
            self._send_static_transforms()
        stamp = self.stamp(seconds)
        if self._simulated:
            self._send(Sensor.CLOCK, "", Clock(clock=ROS_MESSAGES.time(stamp)), seconds)
        header = ROS_MESSAGES.header(stamp, "odom")
        pose = ROS_MESSAGES.transform(base_pose(seconds), "base_footprint", header)
        self._send(Sensor.ODOMETRY, "", pose, seconds)
        if tick % max(1, round(self._rate / self._street.rate)) == 0:
            index = round(seconds * self._street.rate) % round(ROUND_TRIP * self._street.rate)
            for name, views in self._street.views.items():
                self._send_camera(name, views[index], seconds)

    def _send_camera(self, name: str, view: View, seconds: float) -> None:
        header = ROS_MESSAGES.header(self.stamp(seconds), name)
        info = ROS_MESSAGES.camera_info(CAMERA, header)
        self._send(Sensor.CAMERA_INFO, name, info, seconds)
        self._send(Sensor.IMAGE, name, ROS_MESSAGES.image(view.rgb, header), seconds)
        if self._depth:
            self._send(Sensor.DEPTH, name, ROS_MESSAGES.image(view.depth, header), seconds)

    def _send(self, sensor: Sensor, camera: str, message: object, seconds: float) -> None:
        for sending in self.hook(Sending(sensor, camera, message, seconds)):
            at = max(self.seconds() + sending.after, self._last.get((sensor, camera), 0.0))
            self._last[sensor, camera] = at  # what is held back keeps its order
            heapq.heappush(self._waiting, (at, next(self._count), sending))

    def _send_waiting(self) -> None:
        now = self.seconds()
        if self._is_healed.is_set():
            self._is_healed.clear()
            self._last.clear()
            self.send_static_transforms()
            now = math.inf
        while self._waiting and self._waiting[0][0] <= now:
            sending = heapq.heappop(self._waiting)[2]
            self._publishers[sending.sensor, sending.camera].publish(sending.message)
