"""Points for planners: where an image says obstacles and ground are."""

from __future__ import annotations

import cv2
import numpy as np

from stmem_ros.costmap.mapper import MapUpdate
from stmem_ros.costmap.rules import CostRules

# 16 bytes, which readers may map as four words.
POINT = np.dtype(
    {
        "names": ["x", "y", "z", "label", "cost"],
        "formats": ["<f4", "<f4", "<f4", "u1", "u1"],
        "offsets": [0, 4, 8, 12, 13],
        "itemsize": 16,
    }
)


def labelled_points(
    update: MapUpdate,
    label: np.ndarray,
    rules: CostRules,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Points x y z (m, in the base frame), label and cost, as rows x columns of ``POINT``.

    One row with the contact points of obstacles; where the update has a cloud every pixel of
    ``label``, H x W, or of ``size`` (height, width) as label images of that size are made of it.
    """
    xyz, labels = update.obstacles[None], update.obstacle_labels[None]
    if update.cloud is not None:
        xyz, labels = update.cloud, label
        if size is not None:
            xyz, labels = (
                cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
                for values in (xyz, labels)
            )
    points = np.zeros(labels.shape, POINT)
    points["x"], points["y"], points["z"] = np.moveaxis(xyz, -1, 0)
    points["label"] = labels
    costs = np.zeros(256, np.uint8)
    costs[: len(rules.rules)] = [max(0, rule.cost) for rule in rules.rules]
    points["cost"] = costs[labels]
    return points
