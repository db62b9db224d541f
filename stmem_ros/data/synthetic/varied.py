"""Streets of which no two look alike, to train on: what holds in all of them holds in real ones.

Domain randomisation (Tobin et al., IROS 2017; Tremblay et al., CVPR Workshops 2018): colours,
textures, light, crowds and the camera are drawn anew for each street, wider than they really are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stmem_ros.data.synthetic.scene import (
    CROSSING,
    ID,
    KINDS,
    LENGTH,
    PAINTS,
    ROAD_HALF_WIDTH,
    SIDEWALK_WIDTH,
    Appearance,
    Colour,
    Scene,
    Solid,
    as_colour,
    cyclist,
    make_scene,
    person,
)
from stmem_ros.geometry.camera import CameraModel, Mounting

EDGE = ROAD_HALF_WIDTH + SIDEWALK_WIDTH  # m from the middle of the road to the houses
PATTERNS = ("windows", "windows", "windows", "plain", "planks")
WIDTH, HEIGHT = 480, 360


def make_varied_scene(seed: int) -> Scene:
    """A street of any kind with walls, lorries, crowds, hedges, shadows and colours of its own."""
    random = np.random.default_rng([71, seed])
    scene = make_scene(KINDS[seed % len(KINDS)], seed)
    solids = [*_changed(random, scene), *_walls(random), *_lorries(random), *_lights(random)]
    solids += _crowds(random)
    elevation, azimuth = random.uniform(0.25, 1.3), random.uniform(0, 2 * np.pi)
    flat = np.cos(elevation)
    sun = (float(flat * np.cos(azimuth)), float(flat * np.sin(azimuth)), float(np.sin(elevation)))
    haze = _grey(random, 130, 245, 12)
    return replace(scene, solids=tuple(solids), sun=sun, haze=haze, appearance=_look(random, haze))


def varied_camera(seed: int) -> tuple[CameraModel, Mounting]:
    """The camera that a street is seen with: of 44 to 77 degrees across, 1.1 to 2.2 m high."""
    random = np.random.default_rng([72, seed])
    focal = float(random.uniform(300, 600))
    centre = (0.5 * WIDTH - 0.5, float(HEIGHT * random.uniform(0.4, 0.6)))
    camera = CameraModel(
        WIDTH, HEIGHT, ((focal, 0.0, centre[0]), (0.0, focal, centre[1]), (0.0, 0.0, 1.0))
    )
    mounting = Mounting(float(random.uniform(1.1, 2.2)), float(random.uniform(-0.04, 0.12)), 1.4)
    return camera, mounting


def _look(random: np.random.Generator, haze: Colour) -> Appearance:
    overcast = random.random() < 0.5
    blue = (random.uniform(60, 140), random.uniform(110, 180), random.uniform(170, 240))
    earth = random.random() < 0.25  # the roadside is earth or grass
    pavement = _grey(random, 90, 200, 10)
    if earth:
        pavement = as_colour(random.uniform((90, 80, 50), (170, 140, 110)))
    return Appearance(
        asphalt=_grey(random, 50, 150, 6),
        pavement=pavement,
        kerb=pavement if earth else _grey(random, 110, 220, 6),
        marking=_grey(random, 150, 245, 10) if random.random() < 0.8 else _grey(random, 60, 120, 4),
        roughness=float(random.uniform(0.5, 3)),
        joints=0.0 if earth or random.random() < 0.4 else float(random.uniform(10, 40)),
        zenith=haze if overcast else as_colour(np.array(blue)),
        clouds=float(random.uniform(0, 25)),
        visibility=float(random.uniform(100, 600)),
        shade=float(random.uniform(0.4, 0.75)) if random.random() < 0.6 else 1.0,
    )


def _changed(random: np.random.Generator, scene: Scene) -> Iterator[Solid]:
    """The scene's bodies in other colours, houses of other heights, and some of them missing."""
    gaps = random.choice([0.0, 0.15, 0.4])
    leaves = random.uniform((30, 45, 15), (130, 130, 80))
    iron = _grey(random, 25, 210, 15)
    paints = {paint: _any(random, 15, 245) for paint in PAINTS}
    for solid in scene.solids:
        if solid.label == ID["building"]:
            if random.random() < gaps:
                continue
            length, depth, height = solid.size
            height *= float(random.uniform(0.5, 1.8))
            x, y, _ = solid.centre
            yield replace(
                solid,
                centre=(x, y, height / 2),
                size=(length, depth, height),
                colour=_grey(random, 45, 240, 28),
                pattern=PATTERNS[random.integers(len(PATTERNS))],
            )
        elif solid.label == ID["tree"] and solid.shape == "ellipsoid":
            yield replace(solid, colour=as_colour(leaves * random.uniform(0.6, 1.4)))
        elif solid.label == ID["pole"]:
            yield replace(solid, colour=iron)
        elif solid.label == ID["sign"]:
            size = solid.size[1] * float(random.uniform(0.6, 1.6))
            shape = "ellipsoid" if random.random() < 0.4 else "box"
            yield replace(solid, shape=shape, size=(0.05, size, size), colour=_any(random, 10, 250))
        elif solid.label == ID["fence"]:
            yield replace(solid, colour=_grey(random, 40, 220, 25))
        else:
            yield replace(solid, colour=paints.get(solid.colour, solid.colour))


def _walls(random: np.random.Generator) -> Iterator[Solid]:
    """Walls, railings and hedges along the pavements."""
    for _ in range(random.integers(0, 9)):
        side = random.choice([-1, 1])
        length = float(random.uniform(4, 30))
        x, y = float(random.uniform(0, LENGTH)), float(side * (EDGE - random.uniform(0.1, 0.6)))
        if abs(x - CROSSING) < EDGE + length / 2:
            continue
        kind = random.choice(["wall", "fence", "hedge"])
        height = float(random.uniform(0.8, 3.0 if kind == "wall" else 1.8))
        thickness = 0.8 if kind == "hedge" else 0.15
        look: tuple[str, Colour, str] = {
            "wall": ("building", _grey(random, 60, 220, 25), "plain"),
            "fence": ("fence", _grey(random, 30, 220, 25), "planks"),
            "hedge": ("tree", as_colour(random.uniform((30, 50, 20), (100, 120, 60))), "foliage"),
        }[kind]
        label, colour, pattern = look
        yield Solid("box", (x, y, height / 2), (length, thickness, height), ID[label], colour,
                    0.0, pattern)  # fmt: skip


def _lorries(random: np.random.Generator) -> Iterator[Solid]:
    """Vans, lorries and buses, in the other lane or parked; of the cars' class."""
    car = ID["car"]
    for _ in range(random.integers(0, 4)):
        length, width = float(random.uniform(4.5, 11)), float(random.uniform(1.8, 2.5))
        height = float(random.uniform(2.0, 3.4))
        x = float(random.uniform(12, LENGTH * 0.8))
        if abs(x - CROSSING) < ROAD_HALF_WIDTH + length:
            continue
        driving = random.random() < 0.5
        y = 1.7 if driving else float(random.choice([-1, 1]) * (ROAD_HALF_WIDTH - width / 2 - 0.1))
        move = (float(random.uniform(-8, -4)) if driving else 0.0, 0.0)
        paint, pattern = _any(random, 30, 245), "windows" if random.random() < 0.4 else "plain"
        cab = min(1.8, 0.3 * length)
        clearance = float(random.uniform(0.25, 0.7))
        box = height - clearance
        yield Solid("box", (x + cab / 2, y, clearance + box / 2), (length - cab, width, box), car,
                    paint, 0.0, pattern, move)  # fmt: skip
        low = box * float(random.uniform(0.6, 1))
        yield Solid("box", (x - (length - cab) / 2, y, clearance + low / 2), (cab, width, low), car,
                    _any(random, 30, 245), velocity=move)  # fmt: skip
        for along in (-0.35, 0.3):
            for across in (-0.42, 0.42):
                yield Solid("ellipsoid", (x + along * length, y + across * width, 0.45),
                            (0.9, 0.3, 0.9), car, (25, 25, 27), velocity=move)  # fmt: skip


def _lights(random: np.random.Generator) -> Iterator[Solid]:
    """Poles with traffic lights and signs, thin and thick ones."""
    for _ in range(random.integers(2, 14)):
        x = float(random.uniform(4, LENGTH))
        if abs(x - CROSSING) < ROAD_HALF_WIDTH + 1:
            continue
        side = random.choice([-1, 1])
        y = float(side * (ROAD_HALF_WIDTH + random.uniform(0.3, 1.2)))
        height, width = float(random.uniform(2.2, 7)), float(random.uniform(0.07, 0.3))
        yield Solid("cylinder", (x, y, height / 2), (width, width, height), ID["pole"],
                    _grey(random, 25, 210, 15))  # fmt: skip
        if random.random() < 0.6:
            top = height - float(random.uniform(0.3, 0.6))
            tall = float(random.uniform(0.4, 1.1))
            colour = (30.0, 30.0, 30.0) if random.random() < 0.4 else _any(random, 10, 250)
            yield Solid("box", (x - 0.2, y, top), (0.1, float(random.uniform(0.3, 0.9)), tall),
                        ID["sign"], colour)  # fmt: skip


def _crowds(random: np.random.Generator) -> Iterator[Solid]:
    """People on the pavements, people who cross the road, and riders."""
    for _ in range(random.integers(0, 16)):
        side = random.choice([-1, 1])
        y = float(side * (ROAD_HALF_WIDTH + random.uniform(0.3, 2.6)))
        walk = (float(random.choice([-1, 1]) * random.uniform(0, 1.5)), 0.0)
        yield from person(random, float(random.uniform(4, LENGTH * 0.6)), y, walk)
    for _ in range(random.integers(0, 4)):
        y = float(random.uniform(-1, 1) * ROAD_HALF_WIDTH)
        cross = (0.0, float(random.choice([-1, 1]) * random.uniform(0.5, 1.6)))
        yield from person(random, float(random.uniform(8, LENGTH * 0.6)), y, cross)
    for _ in range(random.integers(0, 4)):
        lane = float(random.choice([-1, 1]))
        speed = lane * float(random.uniform(-6, -3))
        y = lane * float(random.uniform(1.5, ROAD_HALF_WIDTH - 0.5))
        yield from cyclist(random, float(random.uniform(8, LENGTH * 0.6)), y, speed)


def _grey(random: np.random.Generator, low: float, high: float, tint: float) -> Colour:
    """A grey of any brightness, a little coloured."""
    return as_colour(np.clip(random.uniform(low, high) + random.normal(0, tint / 2, 3), 0, 255))


def _any(random: np.random.Generator, low: float, high: float) -> Colour:
    return as_colour(random.uniform(low, high, 3))
