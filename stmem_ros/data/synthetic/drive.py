"""The ego vehicle's drive through the synthetic street: poses and rendered frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stmem_ros.data.synthetic.render import View, render
from stmem_ros.data.synthetic.scene import CROSSING, Scene
from stmem_ros.geometry.camera import CameraModel, Mounting

LANE = -1.6  # y of the ego lane's centre, m
SPEED = 6.0  # m/s
TURN_RADIUS = 5.0  # m

CAMERA = CameraModel(480, 360, ((375.0, 0.0, 239.5), (0.0, 375.0, 170.0), (0.0, 0.0, 1.0)))
MOUNTING = Mounting(height=1.45, pitch=0.03, forward=1.4)


@dataclass(frozen=True)
class DriveFrame:
    """One moment of a drive.

    Attributes:
        stamp: time since the drive began, s.
        seconds: time of the scene, which tells where moving things are, s.
        view: what the camera sees.
        world_from_base: 4 x 4 pose of the base in the world.
    """

    stamp: float
    seconds: float
    view: View
    world_from_base: np.ndarray


def ego_pose(scene: Scene, seconds: float) -> np.ndarray:
    """Pose of the base in the world, 4 x 4: along the lane; ``turn`` scenes turn right."""
    travelled = SPEED * seconds
    corner = CROSSING + LANE - TURN_RADIUS  # where the right turn into the side street begins
    arc = TURN_RADIUS * np.pi / 2
    if scene.kind != "turn" or travelled < corner:
        sway = 0.15 * np.sin(travelled / 9)
        x, y, yaw = travelled, LANE + sway, 0.15 / 9 * np.cos(travelled / 9)
    elif travelled < corner + arc:
        yaw = -(travelled - corner) / TURN_RADIUS
        x = corner + TURN_RADIUS * np.sin(-yaw)
        y = LANE - TURN_RADIUS * (1 - np.cos(yaw))
    else:
        x, yaw = corner + TURN_RADIUS, -np.pi / 2
        y = LANE - TURN_RADIUS - (travelled - corner - arc)
    pose = np.eye(4)
    cos, sin = np.cos(yaw), np.sin(yaw)
    pose[:2, :2] = [[cos, -sin], [sin, cos]]
    pose[:2, 3] = x, y
    return pose


def drive(
    scene: Scene,
    frames: int,
    rate: float = 10.0,
    start: float = 0.0,
    camera: CameraModel = CAMERA,
    mounting: Mounting = MOUNTING,
) -> Iterator[DriveFrame]:
    """Frames of a drive at ``rate`` Hz, beginning ``start`` seconds into it."""
    mount = mounting.base_from_camera()
    for i in range(frames):
        seconds = start + i / rate
        pose = ego_pose(scene, seconds)
        yield DriveFrame(i / rate, seconds, render(scene, seconds, camera, pose @ mount), pose)
