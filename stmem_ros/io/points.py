"""Point clouds as arrays, whoever carries them (ROS messages or bag records)."""

from __future__ import annotations

from typing import Any

import numpy as np

from stmem_ros.io.message_data import message_bytes, on_host

UINT8, FLOAT32 = 2, 7  # datatypes of sensor_msgs/PointField


class PointsError(ValueError):
    """A cloud cannot be decoded; the message names what is wrong."""


def decode_points(cloud: Any) -> np.ndarray:
    """The points of a sensor_msgs/PointCloud2, N x 3 float32, m, without those not finite.

    Raises:
        PointsError: no float32 x, y and z, or sizes that contradict each other.
    """
    offsets = {f.name: f.offset for f in cloud.fields if f.datatype == FLOAT32}
    if not {"x", "y", "z"} <= set(offsets):
        names = ", ".join(f.name for f in cloud.fields) or "none"
        raise PointsError(f"the cloud has no float32 fields x, y and z; its fields: {names}")
    if not (cloud.width and cloud.height):
        return np.empty((0, 3), np.float32)
    data = on_host(message_bytes(cloud.data))
    end = max(offsets[axis] for axis in "xyz") + 4
    needed = cloud.row_step * (cloud.height - 1) + cloud.point_step * (cloud.width - 1) + end
    row = cloud.point_step * cloud.width
    if cloud.point_step < end or cloud.row_step < row or len(data) < needed:
        raise PointsError(
            f"a cloud of {cloud.width} x {cloud.height} points holds {len(data)} bytes with "
            f"point_step {cloud.point_step} and row_step {cloud.row_step}"
        )
    number = ">f4" if cloud.is_bigendian else "<f4"
    steps = (cloud.row_step, cloud.point_step)
    shape = (cloud.height, cloud.width)
    axes = [np.ndarray(shape, number, data, offsets[axis], steps) for axis in "xyz"]
    points = np.stack(axes, axis=-1).reshape(-1, 3).astype(np.float32)
    return points[np.isfinite(points).all(axis=1)]
