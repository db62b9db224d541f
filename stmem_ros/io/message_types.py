"""The types of messages that are known: those of ROS 2, and of this package."""

from __future__ import annotations

from functools import lru_cache

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from stmem_ros.resources import resource

RAW = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINTS = "sensor_msgs/msg/PointCloud2"
TF = "tf2_msgs/msg/TFMessage"
CLOCK = "rosgraph_msgs/msg/Clock"

MESSAGES = ("SemanticClass", "LabelInfo", "SemanticGrid", "FrameStatistics")
RENAMED = {"tf/msg/tfMessage": TF}  # types that have another name today, with the same fields


@lru_cache
def types() -> Typestore:
    """Message types of ROS 2 with those of this package."""
    store = get_typestore(Stores.ROS2_KILTED)
    for name in MESSAGES:
        text = resource("msg", f"{name}.msg").read_text()
        store.register(get_types_from_msg(text, f"stmem_ros/msg/{name}"))
    return store


@lru_cache
def earlier_types() -> tuple[Typestore, ...]:
    """Message types of earlier ROS 2, newest first: of bags that do not hold their definitions."""
    names = ("ROS2_JAZZY", "ROS2_IRON", "ROS2_HUMBLE", "ROS2_GALACTIC", "ROS2_FOXY")
    return tuple(get_typestore(Stores[name]) for name in names if name in Stores.__members__)


def name_of_today(recorded: str) -> str:
    """``pkg/msg/Name`` of a type as it was recorded: of ROS 1, of IDL, under an earlier name."""
    parts = recorded.replace("::", "/").split("/")
    if len(parts) == 2:
        parts.insert(1, "msg")
    name = "/".join(parts)
    return RENAMED.get(name, name)
