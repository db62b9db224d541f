"""Messages for bags, made from arrays (types of ``stmem_ros.data.bags.types()``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from stmem_ros.costmap.camera import CameraModel
from stmem_ros.data.bags import types


def header(stamp: int, frame: str) -> Any:
    """std_msgs/Header; ``stamp`` in ns."""
    t = types().types
    seconds, rest = divmod(stamp, 10**9)
    time = t["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
    return t["std_msgs/msg/Header"](stamp=time, frame_id=frame)


def image(pixels: np.ndarray, stamp: int, frame: str) -> Any:
    """sensor_msgs/Image from uint8 H x W x 3 (rgb8) or H x W (mono8), or float32 H x W (32FC1)."""
    kind = (pixels.dtype.name, pixels.ndim)
    encoding = {("float32", 2): "32FC1", ("uint8", 3): "rgb8", ("uint8", 2): "mono8"}[kind]
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    return types().types["sensor_msgs/msg/Image"](
        header=header(stamp, frame),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=len(data) // pixels.shape[0],
        data=data,
    )


def compressed(data: bytes, kind: str, stamp: int, frame: str) -> Any:
    """sensor_msgs/CompressedImage from the bytes of a file of kind ``jpeg`` or ``png``."""
    return types().types["sensor_msgs/msg/CompressedImage"](
        header=header(stamp, frame), format=f"rgb8; {kind} compressed bgr8",
        data=np.frombuffer(data, np.uint8),
    )  # fmt: skip


def camera_info(camera: CameraModel, stamp: int, frame: str) -> Any:
    """sensor_msgs/CameraInfo of an unrectified camera."""
    t = types().types
    k = np.asarray(camera.matrix, float)
    return t["sensor_msgs/msg/CameraInfo"](
        header=header(stamp, frame),
        height=camera.height,
        width=camera.width,
        distortion_model=camera.model,
        d=np.asarray(camera.distortion, float),
        k=k.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([k, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=t["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )


def transform(pose: np.ndarray, stamp: int, parent: str, child: str) -> Any:
    """tf2_msgs/TFMessage with one transform, ``pose`` 4 x 4 from child to parent."""
    t = types().types
    x, y, z = (float(v) for v in pose[:3, 3])
    qx, qy, qz, qw = quaternion(pose[:3, :3])
    stamped = t["geometry_msgs/msg/TransformStamped"](
        header=header(stamp, parent),
        child_frame_id=child,
        transform=t["geometry_msgs/msg/Transform"](
            translation=t["geometry_msgs/msg/Vector3"](x=x, y=y, z=z),
            rotation=t["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw),
        ),
    )
    return t["tf2_msgs/msg/TFMessage"](transforms=[stamped])


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """Rotation matrix 3 x 3 to a unit quaternion x, y, z, w (w >= 0)."""
    from pytransform3d.rotations import quaternion_from_matrix

    w, x, y, z = (float(v) for v in quaternion_from_matrix(rotation))
    sign = -1.0 if w < 0 else 1.0
    return sign * x, sign * y, sign * z, sign * w
