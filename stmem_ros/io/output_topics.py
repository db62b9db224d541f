"""The topics a segmentation node publishes, for all who record, write or show them."""

from __future__ import annotations

from dataclasses import dataclass

from stmem_ros.io.bags import COMPRESSED, RAW

NODE = "/segmentation_node"
GRID = "nav_msgs/msg/OccupancyGrid"
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


def output_topics(layers: tuple[str, ...]) -> tuple[OutputTopic, ...]:
    """What a node with one camera publishes, without the raw overlay (the JPEG shows the same).

    Args:
        layers: names of the layers of the cost rules.
    """
    return (
        OutputTopic(f"{NODE}/label", RAW),
        OutputTopic(f"{NODE}/confidence", RAW),
        OutputTopic(f"{NODE}/label_info", LABEL_INFO, latched=True),
        OutputTopic(f"{NODE}/overlay/compressed", COMPRESSED),
        OutputTopic(f"{NODE}/costmap", GRID, latched=True),
        *(OutputTopic(f"{NODE}/layers/{name}", GRID, latched=True) for name in layers),
        OutputTopic(f"{NODE}/grid", SEMANTIC_GRID, latched=True),
        OutputTopic(f"{NODE}/points", POINTS),
        OutputTopic(f"{NODE}/statistics", STATISTICS),
        OutputTopic("/diagnostics", DIAGNOSTICS),
    )
