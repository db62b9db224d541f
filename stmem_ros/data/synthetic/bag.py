"""Drives through the synthetic world as bags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, ego_pose
from stmem_ros.data.synthetic.render import render
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.io.bag_create import CAMERA_FRAME, START
from stmem_ros.io.bags import BAG_MESSAGES, CAMERA_INFO, RAW, TF, BagWriter

DIRECTIONS = {"front": 0, "left": 1, "rear": 2, "right": 3}  # of cameras, quarter turns to the left


@dataclass(frozen=True)
class _MountedCamera:
    """A camera of the vehicle; all have the lens of ``CAMERA``."""

    namespace: str
    frame: str
    base_from_camera: np.ndarray


def create_synthetic_bag(
    path: Path,
    kind: str,
    seed: int,
    frames: int,
    rate: float,
    force: bool = False,
    cameras: Sequence[str] = (),
) -> None:
    """Render a drive through the synthetic world: images, labels, depth, camera info, TF.

    With ``force`` in the place of a bag that is there.

    Topics: ``/camera/image_raw``, ``/camera/label`` (mono8), ``/camera/depth`` (32FC1 m),
    ``/camera/camera_info``, ``/tf_static`` (base_footprint to camera), ``/tf`` (odom to base).
    With ``cameras``, names of ``DIRECTIONS``, ``/front/image_raw`` and so on of each.

    Raises:
        ValueError: a camera is named twice, or is none of those.
    """
    mounted = _mounted(cameras)
    scene = make_scene(kind, seed)
    with BagWriter(path, force=force) as bag:
        base = BAG_MESSAGES.header(START, "base_footprint")
        for camera in mounted:
            mount = BAG_MESSAGES.transform(camera.base_from_camera, camera.frame, base)
            bag.write("/tf_static", TF, mount, START, latched=True)
        for i in tqdm(range(frames), desc="rendering", unit="frame"):
            stamp = START + round(i / rate * 1e9)
            odom = BAG_MESSAGES.header(stamp, "odom")
            world_from_base = ego_pose(scene, i / rate)
            pose = BAG_MESSAGES.transform(world_from_base, "base_footprint", odom)
            bag.write("/tf", TF, pose, stamp)
            for camera in mounted:
                header = BAG_MESSAGES.header(stamp, camera.frame)
                info = BAG_MESSAGES.camera_info(CAMERA, header)
                bag.write(f"{camera.namespace}/camera_info", CAMERA_INFO, info, stamp)
                view = render(scene, i / rate, CAMERA, world_from_base @ camera.base_from_camera)
                for topic, pixels in (
                    ("label", view.label), ("depth", view.depth), ("image_raw", view.rgb),
                ):  # fmt: skip
                    image = BAG_MESSAGES.image(pixels, header)
                    bag.write(f"{camera.namespace}/{topic}", RAW, image, stamp)


def _mounted(names: Sequence[str]) -> list[_MountedCamera]:
    if len(set(names)) != len(names) or set(names) - set(DIRECTIONS):
        raise ValueError(
            f"cameras are {', '.join(names)}; each must be one of {', '.join(DIRECTIONS)}, once"
        )
    ahead = MOUNTING.base_from_camera()
    if not names:
        return [_MountedCamera("/camera", CAMERA_FRAME, ahead)]
    return [
        _MountedCamera(f"/{name}", f"{name}_optical_frame", _turned(DIRECTIONS[name]) @ ahead)
        for name in names
    ]


def _turned(quarters: int) -> np.ndarray:
    """A pose at the origin, turned to the left, 4 x 4."""
    pose = np.eye(4)
    pose[:2, :2] = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), quarters)
    return pose
