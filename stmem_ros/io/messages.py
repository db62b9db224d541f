"""Messages for bags, made from arrays (types of ``stmem_ros.io.bags.types()``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.rules import CostRules
from stmem_ros.geometry.camera import CameraModel
from stmem_ros.io.bags import types


def nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time in ns."""
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


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


def occupancy_grid(cost: np.ndarray, grid: GridSnapshot, stamp: int, frame: str) -> Any:
    """nav_msgs/OccupancyGrid from costs int8 (-1 unknown), rows x columns of ``grid``."""
    return types().types["nav_msgs/msg/OccupancyGrid"](
        header=header(stamp, frame), info=_meta(grid, stamp), data=cost.reshape(-1)
    )


def semantic_grid(grid: GridSnapshot, rules: CostRules, stamp: int, frame: str) -> Any:
    """stmem_ros/SemanticGrid: class, cost and confidence of every cell."""
    return types().types["stmem_ros/msg/SemanticGrid"](
        header=header(stamp, frame),
        info=_meta(grid, stamp),
        label=grid.label.reshape(-1),
        cost=np.where(grid.cost < 0, 255, grid.cost).astype(np.uint8).reshape(-1),
        confidence=grid.confidence.reshape(-1),
        classes=_classes(rules),
    )


def label_info(model: str, rules: CostRules, stamp: int) -> Any:
    """stmem_ros/LabelInfo: the label set of a model."""
    return types().types["stmem_ros/msg/LabelInfo"](
        header=header(stamp, ""), model=model, classes=_classes(rules)
    )


def point_cloud(points: np.ndarray, stamp: int, frame: str) -> Any:
    """sensor_msgs/PointCloud2 from a structured array, rows x columns of scalar fields."""
    t = types().types
    numbers = {"<f4": 7, "|u1": 2}  # FLOAT32 and UINT8 of sensor_msgs/PointField
    fields = [
        t["sensor_msgs/msg/PointField"](
            name=name, offset=offset, datatype=numbers[dtype.str], count=1
        )
        for name, (dtype, offset, *_) in (points.dtype.fields or {}).items()
    ]
    return t["sensor_msgs/msg/PointCloud2"](
        header=header(stamp, frame),
        height=points.shape[0],
        width=points.shape[1],
        fields=fields,
        is_bigendian=False,
        point_step=points.itemsize,
        row_step=points.itemsize * points.shape[1],
        data=np.ascontiguousarray(points).reshape(-1).view(np.uint8),
        is_dense=bool(np.isfinite(points["x"]).all()),
    )


def _classes(rules: CostRules) -> list[Any]:
    t = types().types
    return [
        t["stmem_ros/msg/SemanticClass"](
            id=c.id,
            name=c.name,
            colour=t["std_msgs/msg/ColorRGBA"](*(v / 255 for v in c.colour), 1.0),
            cost=rule.cost,
            layer=rule.layer,
            kind=int(rule.kind),
        )
        for c, rule in zip(rules.classes, rules.rules, strict=True)
    ]


def _meta(grid: GridSnapshot, stamp: int) -> Any:
    t = types().types
    x, y = grid.origin
    return t["nav_msgs/msg/MapMetaData"](
        map_load_time=header(stamp, "").stamp,
        resolution=grid.resolution,
        width=grid.label.shape[1],
        height=grid.label.shape[0],
        origin=t["geometry_msgs/msg/Pose"](
            position=t["geometry_msgs/msg/Point"](x=float(x), y=float(y), z=0.0),
            orientation=t["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
        ),
    )
