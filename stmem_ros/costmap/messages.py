"""Grids, label sets and points for planners as messages of either family."""

from __future__ import annotations

from typing import Any

import numpy as np

from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.mapper import MapUpdate
from stmem_ros.costmap.points import labelled_points
from stmem_ros.costmap.rules import CostRules
from stmem_ros.io.messages import MessageFactory


def occupancy_grid(
    messages: MessageFactory,
    cost: np.ndarray,
    grid: GridSnapshot,
    header: Any,
    unseen_cost: int = -1,
) -> Any:
    """nav_msgs/OccupancyGrid of costs, int8, rows x columns of ``grid``, -1 unknown.

    ``unseen_cost`` is that of cells of which nothing is known; doubtful ground is none of them.
    """
    if unseen_cost != -1:
        cost = np.where(grid.confidence == 0, np.int8(unseen_cost), cost)
    return messages.make(
        "nav_msgs/msg/OccupancyGrid",
        header=header,
        info=_map_meta_data(messages, grid, header),
        data=messages.sequence(cost),
    )


def semantic_grid(
    messages: MessageFactory, grid: GridSnapshot, rules: CostRules, header: Any
) -> Any:
    """stmem_ros/SemanticGrid: class, cost and confidence of every cell."""
    return messages.make(
        "stmem_ros/msg/SemanticGrid",
        header=header,
        info=_map_meta_data(messages, grid, header),
        label=messages.sequence(grid.label),
        cost=messages.sequence(np.where(grid.cost < 0, 255, grid.cost).astype(np.uint8)),
        confidence=messages.sequence(grid.confidence),
        classes=_semantic_classes(messages, rules),
    )


def read_semantic_grid(message: Any) -> GridSnapshot:
    """The grid of a stmem_ros/SemanticGrid, of ROS or of a bag, without its layers."""
    shape = (message.info.height, message.info.width)
    cost = np.asarray(message.cost, np.uint8).astype(np.int16)
    return GridSnapshot(
        origin=(message.info.origin.position.x, message.info.origin.position.y),
        resolution=message.info.resolution,
        label=np.asarray(message.label, np.uint8).reshape(shape),
        cost=np.where(cost > 100, -1, cost).astype(np.int8).reshape(shape),
        confidence=np.asarray(message.confidence, np.uint8).reshape(shape),
        layers={},
    )


def label_info(messages: MessageFactory, model: str, rules: CostRules, header: Any) -> Any:
    """stmem_ros/LabelInfo: the label set of the bundle named ``model``."""
    return messages.make(
        "stmem_ros/msg/LabelInfo",
        header=header,
        model=model,
        classes=_semantic_classes(messages, rules),
    )


def obstacle_cloud(
    messages: MessageFactory,
    update: MapUpdate,
    label: np.ndarray,
    rules: CostRules,
    header: Any,
    size: tuple[int, int] | None = None,
) -> Any:
    """sensor_msgs/PointCloud2 x y z label cost, m, in the base frame, which ``header`` names.

    One row with the contact points of obstacles, or every pixel, as ``labelled_points`` makes it,
    where pixels without a place are not finite.
    """
    points = labelled_points(update, label, rules, size)
    return messages.point_cloud(points, header, is_dense=update.cloud is None)


def _semantic_classes(messages: MessageFactory, rules: CostRules) -> list[Any]:
    """The label set with what each class means to a planner."""
    classes = []
    for semantic_class, rule in zip(rules.classes, rules.rules, strict=True):
        red, green, blue = (channel / 255 for channel in semantic_class.colour)
        colour = messages.make("std_msgs/msg/ColorRGBA", r=red, g=green, b=blue, a=1.0)
        message = messages.make(
            "stmem_ros/msg/SemanticClass",
            id=semantic_class.id,
            name=semantic_class.name,
            colour=colour,
            cost=rule.cost,
            layer=rule.layer,
            kind=int(rule.kind),
        )
        classes.append(message)
    return classes


def _map_meta_data(messages: MessageFactory, grid: GridSnapshot, header: Any) -> Any:
    x, y = (float(v) for v in grid.origin)
    return messages.make(
        "nav_msgs/msg/MapMetaData",
        map_load_time=header.stamp,
        resolution=grid.resolution,
        width=grid.label.shape[1],
        height=grid.label.shape[0],
        origin=messages.make(
            "geometry_msgs/msg/Pose",
            position=messages.make("geometry_msgs/msg/Point", x=x, y=y, z=0.0),
            orientation=messages.make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
        ),
    )
