"""One way to make messages, for the classes of rclpy (the node) and of rosbags (bags)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stmem_ros.geometry.camera import CameraModel
from stmem_ros.geometry.transforms import quaternion
from stmem_ros.io.points import FLOAT32, UINT8
from stmem_ros.stamps import SECOND

# Encodings of sensor_msgs/Image by the pixels' type and number of axes.
ENCODINGS = {("uint8", 3): "rgb8", ("uint8", 2): "mono8", ("float32", 2): "32FC1"}


@dataclass(frozen=True)
class MessageFactory:
    """Makes messages from arrays, in the classes of one family.

    A ``header`` is a std_msgs/Header of the same family: one that came with a message, or one of
    :meth:`header`.

    Attributes:
        find_class: the class of a message by its name, ``pkg/msg/Name``.
        to_sequence: what the family takes for a sequence of numbers, from an array of one axis.
    """

    find_class: Callable[[str], type]
    to_sequence: Callable[[np.ndarray], Any]

    def make(self, name: str, /, **fields: Any) -> Any:
        """A message by its name; all its fields must be given, as rosbags has no defaults."""
        return self.find_class(name)(**fields)

    def sequence(self, values: np.ndarray) -> Any:
        """A sequence field of numbers, from an array of any shape."""
        return self.to_sequence(np.ascontiguousarray(values).reshape(-1))

    def time(self, stamp: int) -> Any:
        """builtin_interfaces/Time of a stamp in ns."""
        sec, nanosec = divmod(stamp, SECOND)
        return self.make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)

    def header(self, stamp: int, frame_id: str) -> Any:
        """std_msgs/Header; ``stamp`` in ns."""
        return self.make("std_msgs/msg/Header", stamp=self.time(stamp), frame_id=frame_id)

    def image(self, pixels: np.ndarray, header: Any) -> Any:
        """sensor_msgs/Image without row padding.

        Args:
            pixels: uint8 H x W x 3 (rgb8), uint8 H x W (mono8) or float32 H x W (32FC1).
            header: of the image.
        """
        return self.make(
            "sensor_msgs/msg/Image",
            header=header,
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=ENCODINGS[pixels.dtype.name, pixels.ndim],
            is_bigendian=0,
            step=pixels[0].nbytes,
            data=self.sequence(_as_bytes(pixels)),
        )

    def compressed_image(self, data: bytes, format_text: str, header: Any) -> Any:
        """sensor_msgs/CompressedImage from the bytes of an image file.

        ``format_text``: what they hold (:mod:`stmem_ros.io.compressed_format`), or their codec.
        """
        return self.make(
            "sensor_msgs/msg/CompressedImage",
            header=header,
            format=format_text,
            data=self.sequence(np.frombuffer(data, np.uint8)),
        )

    def camera_info(self, camera: CameraModel, header: Any) -> Any:
        """sensor_msgs/CameraInfo of an unrectified camera."""
        matrix = np.asarray(camera.matrix, float)
        return self.make(
            "sensor_msgs/msg/CameraInfo",
            header=header,
            height=camera.height,
            width=camera.width,
            distortion_model=camera.model,
            d=self.sequence(np.asarray(camera.distortion, float)),
            k=matrix.reshape(-1),
            r=np.eye(3).reshape(-1),
            p=np.hstack([matrix, np.zeros((3, 1))]).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=self.make(
                "sensor_msgs/msg/RegionOfInterest",
                x_offset=0,
                y_offset=0,
                height=0,
                width=0,
                do_rectify=False,
            ),
        )

    def transform(self, pose: np.ndarray, child: str, header: Any) -> Any:
        """tf2_msgs/TFMessage with one transform.

        Args:
            pose: 4 x 4, takes points of ``child`` to the frame of the header.
            child: name of the frame whose pose it is.
            header: its stamp and the parent frame.
        """
        x, y, z = (float(v) for v in pose[:3, 3])
        qx, qy, qz, qw = quaternion(pose[:3, :3])
        stamped = self.make(
            "geometry_msgs/msg/TransformStamped",
            header=header,
            child_frame_id=child,
            transform=self.make(
                "geometry_msgs/msg/Transform",
                translation=self.make("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
                rotation=self.make("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
            ),
        )
        return self.make("tf2_msgs/msg/TFMessage", transforms=[stamped])

    def point_cloud(self, points: np.ndarray, header: Any, is_dense: bool) -> Any:
        """sensor_msgs/PointCloud2.

        Args:
            points: structured array, rows x columns, with fields of float32 and uint8.
            header: of the cloud.
            is_dense: no point has values that are not finite.
        """
        datatypes = {"<f4": FLOAT32, "|u1": UINT8}
        fields = [
            self.make(
                "sensor_msgs/msg/PointField",
                name=name,
                offset=offset,
                datatype=datatypes[dtype.str],
                count=1,
            )
            for name, (dtype, offset, *_) in (points.dtype.fields or {}).items()
        ]
        return self.make(
            "sensor_msgs/msg/PointCloud2",
            header=header,
            height=points.shape[0],
            width=points.shape[1],
            fields=fields,
            is_bigendian=False,
            point_step=points.itemsize,
            row_step=points.itemsize * points.shape[1],
            data=self.sequence(_as_bytes(points)),
            is_dense=is_dense,
        )


def nan_if_none(value: float | None) -> float:
    """What a message holds for a number that is not known."""
    return math.nan if value is None else value


def _as_bytes(values: np.ndarray) -> np.ndarray:
    """The same memory as uint8 of one axis."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
