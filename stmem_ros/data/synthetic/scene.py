"""What stands where in the synthetic street."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from stmem_ros.classes import CAMVID

ID = {c.name: c.id for c in CAMVID}
KINDS = ("straight", "avenue", "crowded", "turn")

ROAD_HALF_WIDTH = 5.0  # m
SIDEWALK_WIDTH = 3.0  # m
CROSSING = 45.0  # x of the side street's centre, m
LENGTH = 140.0  # of the main street, m

Colour = tuple[float, float, float]

PAINTS: tuple[Colour, ...] = (
    (170, 30, 30), (40, 60, 120), (200, 200, 205), (45, 45, 50), (120, 125, 130),
)  # fmt: skip


@dataclass(frozen=True)
class Solid:
    """One convex body.

    Attributes:
        shape: ``box``, ``cylinder`` (upright) or ``ellipsoid``.
        centre: at time 0, m.
        size: extents along its own axes, m.
        label: class id.
        colour: RGB, grey levels.
        yaw: rotation about z, rad.
        pattern: surface: ``plain``, ``windows``, ``foliage``, ``planks``.
        velocity: along x and y, m/s.
    """

    shape: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    label: int
    colour: Colour
    yaw: float = 0.0
    pattern: str = "plain"
    velocity: tuple[float, float] = (0.0, 0.0)

    def at(self, seconds: float) -> Solid:
        """The body at another time."""
        x, y, z = self.centre
        vx, vy = self.velocity
        return replace(self, centre=(x + vx * seconds, y + vy * seconds, z), velocity=(0.0, 0.0))


@dataclass(frozen=True)
class Appearance:
    """What a street looks like, but for its bodies; colours in grey levels.

    Attributes:
        asphalt, pavement, kerb, marking: colours of the ground.
        roughness: contrast of the ground's noise, 1 for the usual one.
        joints: how much darker the joints of the pavement are.
        zenith: colour of the sky overhead.
        clouds: contrast of the clouds.
        visibility: m after which the haze hides two thirds.
        shade: light in a shadow of the sun, 1 for none; the darkening below cars comes besides.
    """

    asphalt: Colour = (92.0, 92.0, 95.0)
    pavement: Colour = (150.0, 143.0, 136.0)
    kerb: Colour = (185.0, 182.0, 176.0)
    marking: Colour = (215.0, 215.0, 210.0)
    roughness: float = 1.0
    joints: float = 25.0
    zenith: Colour = (110.0, 150.0, 205.0)
    clouds: float = 9.0
    visibility: float = 250.0
    shade: float = 1.0


@dataclass(frozen=True)
class Scene:
    """A street: its bodies, the sun's direction, the seed of its textures, its appearance."""

    kind: str
    seed: int
    solids: tuple[Solid, ...]
    sun: tuple[float, float, float]
    haze: Colour
    appearance: Appearance = Appearance()


def make_scene(kind: str, seed: int) -> Scene:
    """A street of one kind.

    ``straight`` quiet street, ``avenue`` many trees, ``crowded`` many people and cars, ``turn`` as
    straight, for drives that turn into the side street.

    Raises:
        ValueError: unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"scene kind is {kind!r}; allowed: {', '.join(KINDS)}")
    random = np.random.default_rng([KINDS.index(kind), seed])
    solids: list[Solid] = []
    for side in (-1, 1):
        solids += _row_of_houses(random, _main_street(side))
        for direction in (-1, 1):
            solids += _row_of_houses(random, _side_street(side, direction))
        solids += _street_furniture(random, side, trees=kind == "avenue")
        solids += _parked_cars(random, side, 0.75 if kind == "crowded" else 0.4)
        solids += _people(random, side, 14 if kind == "crowded" else 5)
    solids += _traffic(random, 4 if kind == "crowded" else 2)
    elevation, azimuth = random.uniform(0.5, 1.1), random.uniform(0, 2 * np.pi)
    sun = (
        float(np.cos(elevation) * np.cos(azimuth)),
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.sin(elevation)),
    )
    grey = float(random.uniform(190, 225))
    return Scene(kind, seed, tuple(solids), sun, (grey, grey + 5, grey + 12))


def ground_labels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Class of the bare ground at points of the world: road or sidewalk."""
    road = (np.abs(y) < ROAD_HALF_WIDTH) | (np.abs(x - CROSSING) < ROAD_HALF_WIDTH)
    return np.where(road, ID["road"], ID["sidewalk"]).astype(np.uint8)


def ground_truth(scene: Scene, seconds: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Class of ground points of any shape, bodies that come within 0.5 m of the ground included."""
    label = ground_labels(x, y)
    order = np.argsort(x, axis=None)
    sorted_x, sorted_y = x.flat[order], y.flat[order]
    lowest, highest = y.min(), y.max()
    for solid in scene.solids:
        if solid.centre[2] - solid.size[2] / 2 > 0.5:
            continue
        body = solid.at(seconds)
        reach = np.hypot(body.size[0], body.size[1]) / 2
        if not lowest - reach <= body.centre[1] <= highest + reach:
            continue
        first, last = np.searchsorted(sorted_x, (body.centre[0] - reach, body.centre[0] + reach))
        strip = sorted_y[first:last] - body.centre[1]
        near = first + np.flatnonzero(np.abs(strip) <= reach)
        dx, dy = sorted_x[near] - body.centre[0], strip[near - first]
        cos, sin = np.cos(body.yaw), np.sin(body.yaw)
        u = (cos * dx + sin * dy) / (body.size[0] / 2)
        v = (-sin * dx + cos * dy) / (body.size[1] / 2)
        inside = np.maximum(np.abs(u), np.abs(v)) <= 1 if body.shape == "box" else u**2 + v**2 <= 1
        label.flat[order[near[inside]]] = body.label
    return label


def as_colour(rgb: np.ndarray) -> Colour:
    """An array of three grey levels as a colour."""
    return float(rgb[0]), float(rgb[1]), float(rgb[2])


Place = Callable[[float, float], tuple[float, float, float]]  # along, away -> x, y, yaw


def _main_street(side: int) -> Iterator[tuple[Place, float, float]]:
    """Stretches of the main street's edge: placement, start and end along it, m."""
    edge = ROAD_HALF_WIDTH + SIDEWALK_WIDTH
    corner = ROAD_HALF_WIDTH + SIDEWALK_WIDTH

    def place(along: float, away: float) -> tuple[float, float, float]:
        return along, side * (edge + away), 0.0

    yield place, -30.0, CROSSING - corner
    yield place, CROSSING + corner, LENGTH


def _side_street(side: int, direction: int) -> Iterator[tuple[Place, float, float]]:
    edge = ROAD_HALF_WIDTH + SIDEWALK_WIDTH

    def place(along: float, away: float) -> tuple[float, float, float]:
        return CROSSING + side * (edge + away), direction * along, np.pi / 2

    yield place, edge + 14.0, 80.0


def _row_of_houses(
    random: np.random.Generator, stretches: Iterator[tuple[Place, float, float]]
) -> Iterator[Solid]:
    for place, start, end in stretches:
        along = start
        while along < end - 3:
            width = min(float(random.uniform(7, 16)), end - along)
            depth, height = 12.0, float(random.uniform(6, 16))
            x, y, yaw = place(along + width / 2, depth / 2 + float(random.uniform(0, 0.6)))
            tint = random.uniform(0.75, 1.1) * np.array([170, 140, 120]) + random.normal(0, 14, 3)
            colour = as_colour(np.clip(tint, 70, 235))
            yield Solid("box", (x, y, height / 2), (width, depth, height), ID["building"],
                        colour, yaw, "windows")  # fmt: skip
            if random.random() < 0.35:
                x, y, yaw = place(along + width / 2, -0.5)
                yield Solid("box", (x, y, 0.6), (width * 0.8, 0.1, 1.2), ID["fence"],
                            (110, 95, 80), yaw, "planks")  # fmt: skip
            along += width


def _street_furniture(random: np.random.Generator, side: int, trees: bool) -> Iterator[Solid]:
    for along in np.arange(-20, LENGTH, 9.0 if trees else 18.0):
        x = float(along + random.uniform(-2, 2))
        if abs(x - CROSSING) < ROAD_HALF_WIDTH + 2:
            continue
        y = side * (ROAD_HALF_WIDTH + 0.7)
        if trees or random.random() < 0.35:
            yield from _tree(random, x, y + side * 0.3)
        else:
            yield Solid("cylinder", (x, y, 3.0), (0.18, 0.18, 6.0), ID["pole"], (105, 105, 108))
            if random.random() < 0.6:
                yield Solid("box", (x - 0.12, y, 2.4), (0.04, 0.7, 0.7), ID["sign"],
                            (200, 60, 50) if random.random() < 0.5 else (60, 90, 190))  # fmt: skip


def _tree(random: np.random.Generator, x: float, y: float) -> Iterator[Solid]:
    height = float(random.uniform(5, 8))
    yield Solid("cylinder", (x, y, height / 4), (0.35, 0.35, height / 2), ID["tree"], (90, 70, 55))
    for _ in range(5):
        dx, dy, dz = random.uniform(-1, 1, 3) * (1.1, 1.1, 0.8)
        r = float(random.uniform(1.6, 2.6))
        tint = np.array([70, 95, 50]) * random.uniform(0.8, 1.25)
        yield Solid("ellipsoid", (x + dx, y + dy, height * 0.68 + dz), (r, r, r * 0.9),
                    ID["tree"], as_colour(tint), 0.0, "foliage")  # fmt: skip


def _parked_cars(random: np.random.Generator, side: int, share: float) -> Iterator[Solid]:
    for along in np.arange(10, LENGTH, 7.0):
        if abs(along - CROSSING) > ROAD_HALF_WIDTH + 5 and random.random() < share:
            x = float(along + random.uniform(-0.6, 0.6))
            yield from _car(random, x, side * (ROAD_HALF_WIDTH - 1.1), 0.0)


def _traffic(random: np.random.Generator, cars: int) -> Iterator[Solid]:
    for i in range(cars):
        speed = float(random.uniform(5, 8))
        yield from _car(random, 30 + 28.0 * i + float(random.uniform(0, 10)), 1.7, -speed)
    bike = float(random.uniform(16, 22))
    yield from cyclist(random, bike, -2.5, float(random.uniform(5, 6)))


def _car(random: np.random.Generator, x: float, y: float, speed: float) -> Iterator[Solid]:
    colour = PAINTS[random.integers(len(PAINTS))]
    move = (speed, 0.0)
    car = ID["car"]
    yield Solid("box", (x, y, 0.62), (4.2, 1.7, 0.75), car, colour, velocity=move)
    yield Solid("box", (x - 0.2, y, 1.22), (2.1, 1.5, 0.5), car, (40, 48, 55), velocity=move)
    yield Solid("box", (x - 0.2, y, 1.5), (1.9, 1.45, 0.08), car, colour, velocity=move)
    for dx in (-1.3, 1.3):
        for dy in (-0.78, 0.78):
            yield Solid("ellipsoid", (x + dx, y + dy, 0.33), (0.66, 0.25, 0.66), car,
                        (25, 25, 27), velocity=move)  # fmt: skip


def _people(random: np.random.Generator, side: int, count: int) -> Iterator[Solid]:
    for _ in range(count):
        x = float(random.uniform(6, LENGTH * 0.7))
        y = side * (ROAD_HALF_WIDTH + float(random.uniform(1.2, 2.4)))
        move = (float(random.choice([-1, 1]) * random.uniform(0.8, 1.5)), 0.0)
        yield from person(random, x, y, move)


def person(
    random: np.random.Generator, x: float, y: float, move: tuple[float, float]
) -> Iterator[Solid]:
    """Someone at a place (m) who walks at a velocity (m/s)."""
    coat = as_colour(random.uniform(30, 170, 3))
    label = ID["pedestrian"]
    for dy in (-0.1, 0.1):
        yield Solid("cylinder", (x, y + dy, 0.42), (0.17, 0.17, 0.84), label,
                    (45, 48, 70), velocity=move)  # fmt: skip
    yield Solid("ellipsoid", (x, y, 1.15), (0.36, 0.5, 0.8), label, coat, velocity=move)
    yield Solid("ellipsoid", (x, y, 1.63), (0.22, 0.22, 0.28), label, (205, 165, 140),
                velocity=move)  # fmt: skip


def cyclist(random: np.random.Generator, x: float, y: float, speed: float) -> Iterator[Solid]:
    """A rider at a place (m) with a speed along the street, m/s."""
    move = (speed, 0.0)
    rider = ID["bicyclist"]
    coat = as_colour(random.uniform(60, 200, 3))
    for dx in (-0.5, 0.5):
        yield Solid("ellipsoid", (x + dx, y, 0.34), (0.68, 0.06, 0.68), rider, (30, 30, 30),
                    velocity=move)  # fmt: skip
    yield Solid("box", (x, y, 0.62), (0.9, 0.06, 0.1), rider, (150, 40, 40), velocity=move)
    yield Solid("ellipsoid", (x, y, 0.8), (0.3, 0.3, 0.7), rider, (50, 50, 75), velocity=move)
    yield Solid("ellipsoid", (x + 0.15, y, 1.25), (0.45, 0.45, 0.75), rider, coat, velocity=move)
    yield Solid("ellipsoid", (x + 0.3, y, 1.68), (0.24, 0.22, 0.28), rider, (205, 165, 140),
                velocity=move)  # fmt: skip
