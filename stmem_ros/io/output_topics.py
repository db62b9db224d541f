"""The topics a segmentation node publishes, for all who record, write or show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stmem_ros.io.bags import COMPRESSED, RAW

NODE = "/segmentation_node"
OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"
POINTS = "sensor_msgs/msg/PointCloud2"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
LABEL_INFO = "stmem_ros/msg/LabelInfo"
SEMANTIC_GRID = "stmem_ros/msg/SemanticGrid"
STATISTICS = "stmem_ros/msg/FrameStatistics"


@dataclass(frozen=True)
class OutputTopic:
    """A topic: its full name, its type (``pkg/msg/Name``), whether it is latched."""

    name: str
    type: str
    latched: bool = False


def camera_topic(name: str, camera: str) -> str:
    """The full name of a topic that the node publishes for each of its cameras."""
    return f"{NODE}/{camera}/{name}" if camera else f"{NODE}/{name}"


def output_topics(
    layers: tuple[str, ...], cameras: Sequence[str] = ("",)
) -> tuple[OutputTopic, ...]:
    """What the node publishes, without the raw overlay (the JPEG shows the same).

    Args:
        layers: names of the layers of the cost rules.
        cameras: their names, as of the node's parameter.
    """
    of_each_camera = (
        ("label", RAW),
        ("confidence", RAW),
        ("overlay/compressed", COMPRESSED),
        ("statistics", STATISTICS),
    )
    return (
        *(
            OutputTopic(camera_topic(name, camera), kind)
            for camera in cameras
            for name, kind in of_each_camera
        ),
        OutputTopic(f"{NODE}/label_info", LABEL_INFO, latched=True),
        OutputTopic(f"{NODE}/costmap", OCCUPANCY_GRID, latched=True),
        *(OutputTopic(f"{NODE}/layers/{name}", OCCUPANCY_GRID, latched=True) for name in layers),
        OutputTopic(f"{NODE}/grid", SEMANTIC_GRID, latched=True),
        OutputTopic(f"{NODE}/points", POINTS),
        OutputTopic("/diagnostics", DIAGNOSTICS),
    )
