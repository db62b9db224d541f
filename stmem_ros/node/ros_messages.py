"""Messages of ROS: the factory of rclpy's classes, and what only the node reads or makes."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.rules import CostRules
from stmem_ros.geometry.camera import resizing
from stmem_ros.geometry.camera_info import read_out
from stmem_ros.io.encodings import BitDepth
from stmem_ros.io.images import decode_compressed
from stmem_ros.io.message_data import to_sequence
from stmem_ros.io.messages import MessageFactory
from stmem_ros.node.ros_packages import VisionClass, VisionLabelInfo, image_to_rgb


class MessageTypeError(LookupError):
    """A message type is not installed; the message names it."""


@lru_cache
def message_type(name: str) -> type:
    """The class of a message by its name ``pkg/msg/Name``.

    Raises:
        MessageTypeError: its package, or the message in it, is not installed.
    """
    package, message = name.partition("/")[0], name.rpartition("/")[2]
    try:
        return getattr(import_module(f"{package}.msg"), message)
    except (ImportError, AttributeError) as error:
        raise MessageTypeError(
            f"{name} is not installed; install package {package!r}, or source its workspace"
        ) from error


ROS_MESSAGES = MessageFactory(message_type, to_sequence)


def to_rgb(message: Image | CompressedImage, depth: BitDepth) -> np.ndarray:
    """An image message as RGB uint8 H x W x 3.

    ``depth``: of the camera.

    Raises:
        ImageError: the image cannot be decoded.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data, message.format, depth)
    return image_to_rgb(message, depth)


def scaled_camera_info(info: CameraInfo, width: int, height: int, header: Header) -> CameraInfo:
    """The camera_info of an image resized to ``width`` x ``height`` pixels, as of a whole sensor.

    Raises:
        ValueError: ``info`` has no size, or its region of interest none.
    """
    image_from_sensor, *size = read_out(info)
    scale = resizing(width / size[0], height / size[1]) @ image_from_sensor
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model=info.distortion_model,
        d=info.d,
        k=(scale @ np.reshape(info.k, (3, 3))).reshape(-1),
        r=info.r,
        p=(scale @ np.reshape(info.p, (3, 4))).reshape(-1),
    )


def vision_label_info(rules: CostRules, header: Header) -> Any:
    """The label set as vision_msgs/LabelInfo (only where that package is installed)."""
    class_map = [VisionClass(class_id=c.id, class_name=c.name) for c in rules.classes]
    class_map.append(VisionClass(class_id=UNLABELLED, class_name="UNLABELED"))  # its own word
    return VisionLabelInfo(header=header, class_map=class_map)
