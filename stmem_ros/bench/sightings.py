"""Whether a costmap bars the way to what a camera sees well: sightings of things.

A thing is *in plain view* of an image where neither it nor the ground it stands on is hidden:

- it lies within the grid's range, by more than what a pixel covers, and the image holds it: the
  edges at the sides and below do not cut it off;
- at least 95 % of the pixels that it would cover in an empty world show it;
- ground is seen right below its lowest pixels, in most of its columns.

Sightings are images that show a thing so, from the second one on. One is *barred* where a lethal
cell lies within 0.3 m, and what a pixel covers there, of the thing's nearest point on the ground.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, DriveFrame
from stmem_ros.data.synthetic.render import depth_of
from stmem_ros.data.synthetic.scene import ID, Scene
from stmem_ros.data.synthetic.things import Thing, find_things
from stmem_ros.geometry.ground import pixel_footprint

SHOWN = 0.95  # of a thing's pixels
OPEN_FOOT = 0.8  # of the columns of its lowest pixels, ground is seen below
BELOW = 2  # pixels; labels of the ground are looked for so far below a thing
NEAR = 0.3  # m
LETHAL = 100
BANDS = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)  # m from the camera
GROUND = (ID["road"], ID["sidewalk"])


@dataclass(frozen=True)
class Sighting:
    """One image that shows a thing in plain view.

    Attributes:
        label: class id.
        moving: whether it moves in this scene.
        distance: from the camera to its nearest point on the ground, m.
        barred: whether a lethal cell lies there.
    """

    label: int
    moving: bool
    distance: float
    barred: bool


@dataclass(frozen=True)
class BarredShare:
    """How many sightings there are, and the share of them that is barred."""

    sightings: int
    barred: float


@dataclass(frozen=True)
class BarredShares:
    """Of a class, moving or standing, by the distance from the camera."""

    name: str
    moving: bool
    at: dict[str, BarredShare]


class SightingLog:
    """The sightings of a drive; ``max_range`` is that of the grid, m."""

    def __init__(self, scene: Scene, max_range: float) -> None:
        self.sightings: list[Sighting] = []
        self._things = find_things(scene)
        self._max_range = max_range
        self._images: Counter[int] = Counter()  # that showed each thing in plain view

    def add(self, frame: DriveFrame, grid: GridSnapshot) -> None:
        """Take note of a frame, and of the grid after it."""
        lethal = grid.centres()[grid.cost.ravel() >= LETHAL]
        for index, foot in plain_views(self._things, frame, self._max_range):
            self._images[index] += 1
            if self._images[index] < 2:
                continue
            thing = self._things[index]
            eye = _world_from_camera(frame)[:2, 3]
            distance = float(np.hypot(*(foot - eye)))
            reach = NEAR + _pixel(distance)
            away = np.hypot(*(lethal - foot).T).min(initial=np.inf)
            self.sightings.append(
                Sighting(thing.label, thing.moving, distance, bool(away <= reach))
            )


def plain_views(
    things: list[Thing], frame: DriveFrame, max_range: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Indices of the things that a frame shows in plain view, and their nearest ground points."""
    pose = _world_from_camera(frame)
    for index, thing in enumerate(things):
        now = thing.at(frame.seconds)
        outline = now.foot()
        foot = outline[np.hypot(*(outline - pose[:2, 3]).T).argmin()]
        reach = max_range - _pixel(float(np.hypot(*(foot - pose[:2, 3]))))
        if np.hypot(*(foot - frame.world_from_base[:2, 3])) > reach:
            continue
        if (foot - pose[:2, 3]) @ pose[:2, 2] > 0 and _in_plain_view(now, frame, pose):
            yield index, foot


def _in_plain_view(thing: Thing, frame: DriveFrame, world_from_camera: np.ndarray) -> bool:
    """As the head of this module says."""
    alone = depth_of(thing.solids, CAMERA, world_from_camera)
    covered = np.isfinite(alone)
    columns = np.flatnonzero(covered.any(axis=0))
    if not len(columns) or covered[:, 0].any() or covered[:, -1].any() or covered[-1].any():
        return False
    shown = covered & (np.abs(frame.view.depth - alone) < 0.01)
    if shown.sum() < SHOWN * covered.sum():
        return False
    lowest = CAMERA.height - 1 - covered[::-1, columns].argmax(axis=0)
    feet = columns[lowest >= lowest.max() - 1]
    row = min(int(lowest.max()) + BELOW, CAMERA.height - 1)
    return bool(np.isin(frame.view.label[row, feet], GROUND).mean() >= OPEN_FOOT)


def barred_shares(sightings: Iterable[Sighting]) -> tuple[BarredShares, ...]:
    """The shares of each class, moving and standing, at the distances that it was seen at."""
    groups: dict[tuple[int, bool], dict[str, list[bool]]] = {}
    for s in sightings:
        [band] = (f"{a:g} to {b:g} m" for a, b in pairwise(BANDS) if a <= s.distance < b)
        groups.setdefault((s.label, s.moving), {}).setdefault(band, []).append(s.barred)
    return tuple(
        BarredShares(
            CAMVID[label].name,
            moving,
            {at: BarredShare(len(found), float(np.mean(found))) for at, found in bands.items()},
        )
        for (label, moving), bands in sorted(groups.items())
    )


def _pixel(distance: float) -> float:
    """Metres of ground that a pixel covers along the view."""
    return float(pixel_footprint(np.array(distance**2), CAMERA, MOUNTING.height))


def _world_from_camera(frame: DriveFrame) -> np.ndarray:
    return frame.world_from_base @ MOUNTING.base_from_camera()
