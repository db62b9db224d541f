"""Points for planners: what an image said about obstacles, or with depth about every pixel."""

from __future__ import annotations

import numpy as np

from stmem_ros.costmap.mapper import MapUpdate
from stmem_ros.costmap.rules import CostRules

POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("label", "u1"), ("cost", "u1")])


def labelled_points(update: MapUpdate, label: np.ndarray, rules: CostRules) -> np.ndarray:
    """Points x y z (m, in the base frame), label and cost, as rows x columns of ``POINT``.

    One row with the contact points of obstacles; with depth every pixel of ``label``, H x W.
    """
    xyz, labels = update.obstacles[None], update.obstacle_labels[None]
    if update.cloud is not None:
        xyz, labels = update.cloud, label
    points = np.zeros(labels.shape, POINT)
    points["x"], points["y"], points["z"] = np.moveaxis(xyz, -1, 0)
    points["label"] = labels
    costs = np.zeros(256, np.uint8)
    costs[: len(rules.rules)] = [max(0, rule.cost) for rule in rules.rules]
    points["cost"] = costs[labels]
    return points
