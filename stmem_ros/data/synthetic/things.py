"""The things of a scene: people, cars, poles; each is one or more bodies that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from stmem_ros.data.synthetic.scene import Scene, Solid

REACH = 2.0  # m from the first body of a thing to the centres of its others
TOUCHING = 0.05  # m over the ground
OUTLINE = 24  # points round a body's foot


@dataclass(frozen=True)
class Thing:
    """What stands on the ground and is of one class.

    Attributes:
        label: class id.
        velocity: along x and y, m/s.
        solids: its bodies.
    """

    label: int
    velocity: tuple[float, float]
    solids: tuple[Solid, ...]

    @property
    def moving(self) -> bool:
        """Whether it moves in this scene."""
        return any(self.velocity)

    def at(self, seconds: float) -> Thing:
        """The thing at another time."""
        return Thing(self.label, self.velocity, tuple(s.at(seconds) for s in self.solids))

    def foot(self) -> np.ndarray:
        """Points N x 2 round where it touches the ground, m: of a car these are its wheels."""
        return np.concatenate([_outline(solid) for solid in self.solids if _touches(solid)])


def find_things(scene: Scene) -> list[Thing]:
    """What stands in a scene, at time 0: successive bodies of one class that move as one."""
    things: list[Thing] = []
    for (label, velocity), run in groupby(scene.solids, lambda s: (s.label, s.velocity)):
        for solids in _apart(run):
            if any(_touches(solid) for solid in solids):
                things.append(Thing(label, velocity, tuple(solids)))
    return things


def _apart(solids: Iterator[Solid]) -> Iterator[list[Solid]]:
    """Successive bodies, parted where one is too far from the first."""
    group: list[Solid] = []
    for solid in solids:
        if group and np.hypot(*np.subtract(solid.centre, group[0].centre)[:2]) > REACH:
            yield group
            group = []
        group.append(solid)
    yield group


def _touches(solid: Solid) -> bool:
    return solid.centre[2] - solid.size[2] / 2 < TOUCHING


def _outline(solid: Solid) -> np.ndarray:
    """Points N x 2 round a body, seen from above, m."""
    angle = np.arange(OUTLINE) * 2 * np.pi / OUTLINE
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if solid.shape == "box":
        points /= np.abs(points).max(axis=1, keepdims=True)
    cos, sin = np.cos(solid.yaw), np.sin(solid.yaw)
    turned = points * np.array(solid.size[:2]) / 2 @ np.array([[cos, sin], [-sin, cos]])
    return turned + solid.centre[:2]
