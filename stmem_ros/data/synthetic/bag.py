"""Drives through the synthetic world as bags."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, drive
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.io.bag_create import CAMERA_FRAME, START
from stmem_ros.io.bags import BAG_MESSAGES, CAMERA_INFO, RAW, TF, BagWriter


def create_synthetic_bag(
    path: Path, kind: str, seed: int, frames: int, rate: float, force: bool = False
) -> None:
    """Render a drive through the synthetic world: images, labels, depth, camera info, TF.

    With ``force`` in the place of a bag that is there.

    Topics: ``/camera/image_raw``, ``/camera/label`` (mono8), ``/camera/depth`` (32FC1 m),
    ``/camera/camera_info``, ``/tf_static`` (base_footprint to camera), ``/tf`` (odom to base).
    """
    scene = make_scene(kind, seed)
    with BagWriter(path, force=force) as bag:
        base = BAG_MESSAGES.header(START, "base_footprint")
        mount = BAG_MESSAGES.transform(MOUNTING.base_from_camera(), CAMERA_FRAME, base)
        bag.write("/tf_static", TF, mount, START, latched=True)
        for frame in tqdm(drive(scene, frames, rate), total=frames, desc="rendering", unit="frame"):
            stamp = START + round(frame.stamp * 1e9)
            odom = BAG_MESSAGES.header(stamp, "odom")
            pose = BAG_MESSAGES.transform(frame.world_from_base, "base_footprint", odom)
            bag.write("/tf", TF, pose, stamp)
            header = BAG_MESSAGES.header(stamp, CAMERA_FRAME)
            info = BAG_MESSAGES.camera_info(CAMERA, header)
            bag.write("/camera/camera_info", CAMERA_INFO, info, stamp)
            for topic, pixels in (
                ("/camera/label", frame.view.label),
                ("/camera/depth", frame.view.depth),
                ("/camera/image_raw", frame.view.rgb),
            ):
                bag.write(topic, RAW, BAG_MESSAGES.image(pixels, header), stamp)
