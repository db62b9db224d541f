"""The colours of what a camera sees of the synthetic street."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from stmem_ros.data.synthetic.scene import (
    CROSSING,
    ID,
    ROAD_HALF_WIDTH,
    Scene,
    Solid,
    ground_labels,
)
from stmem_ros.data.synthetic.screen import Box, Screen, corners, rotation

NOTHING = -1  # of ``Surfaces.nearest``: sky or ground


@dataclass(frozen=True)
class Surfaces:
    """Which surface each pixel shows, and how far away.

    Attributes:
        scene: the street.
        seconds: time of the scene, s.
        screen: of the camera.
        rays: H x W x 3, of all pixels, in the world's axes; depth is their parameter.
        eye: where the camera is in the world, m.
        bodies: what stands there at that time.
        boxes: the part of the image that a body may cover, by its place in ``bodies``.
        nearest: H x W, place in ``bodies`` of the nearest; NOTHING where there is none.
        depth: H x W, m.
        sky: H x W, bool.
    """

    scene: Scene
    seconds: float
    screen: Screen
    rays: np.ndarray
    eye: np.ndarray
    bodies: Sequence[Solid]
    boxes: Mapping[int, Box]
    nearest: np.ndarray
    depth: np.ndarray
    sky: np.ndarray

    def paint(self) -> np.ndarray:
        """The image, RGB, uint8: each pixel is painted once, by what it shows."""
        rgb = np.empty(self.rays.shape)
        rgb[self.sky] = _sky_colour(self.scene, self.rays[self.sky])
        self._paint_ground(rgb)
        for i, box in self.boxes.items():
            part = box.rows, box.columns
            shown = self.nearest[part] == i
            if shown.any():
                rgb[part][shown] = self._body_colour(
                    self.bodies[i], self.rays[part][shown], self.depth[part][shown]
                )
        fog = np.exp(-self.depth / self.scene.appearance.visibility)[..., None]
        mixed = rgb * fog + np.array(self.scene.haze) * (1 - fog)
        mixed[self.sky] = rgb[self.sky]
        noise = np.random.default_rng([self.scene.seed, round(self.seconds * 1000)])
        smooth = cv2.GaussianBlur(mixed.astype(np.float32), (0, 0), 0.6)
        grain = 3 * noise.standard_normal((*self.sky.shape, 1), dtype=np.float32)
        return np.clip(smooth + grain, 0, 255).astype(np.uint8)

    def _paint_ground(self, rgb: np.ndarray) -> None:
        ground = (self.nearest == NOTHING) & ~self.sky
        point = self.eye + self.rays * self.depth[..., None]
        light = _light_on_ground(self.scene, self.bodies, self.screen, point)[ground]
        x, y = point[ground][:, 0], point[ground][:, 1]
        if self.scene.appearance.shade < 1:
            light = np.minimum(light, self._sunlight()[ground])
        rgb[ground] = _ground_colour(self.scene, x, y) * light[:, None]

    def _sunlight(self) -> np.ndarray:
        """Light on the ground between the shadows that bodies cast in the sun, H x W."""
        light = np.ones(self.sky.shape, np.float32)
        for body in self.bodies:
            points = corners(body)
            down = points[:, 2:].clip(min=0) / self.scene.sun[2] * np.array(self.scene.sun)
            ground = cv2.convexHull((points - down)[:, :2].astype(np.float32))[:, 0]
            outline = self.screen.outline(np.c_[ground, np.zeros(len(ground))])
            if outline is not None:
                cv2.fillConvexPoly(light, outline, self.scene.appearance.shade)
        return light

    def _body_colour(self, body: Solid, rays: np.ndarray, depth: np.ndarray) -> np.ndarray:
        half = np.asarray(body.size) / 2
        turn = rotation(body.yaw)
        local = (self.eye - body.centre) @ turn / half + rays @ turn / half * depth[:, None]
        normal = _normal(body.shape, local) / half
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        light = 0.62 + 0.38 * np.clip(normal @ turn.T @ np.array(self.scene.sun), 0, 1)
        return _surface(self.scene, body, local * half, normal) * light[:, None]


@lru_cache(maxsize=8)
def _texture(seed: int) -> np.ndarray:
    """Tileable cloud noise around 0, 512 x 512."""
    random = np.random.default_rng(seed)
    total = np.zeros((512, 512), np.float32)
    for cells, weight in ((8, 1.0), (32, 0.7), (128, 0.6), (512, 0.5)):
        noise = random.standard_normal((cells, cells)).astype(np.float32)
        tiled = cv2.resize(np.tile(noise, (3, 3)), (1536, 1536), interpolation=cv2.INTER_CUBIC)
        total += weight * tiled[512:1024, 512:1024]
    return total / total.std()


def _noise(scene: Scene, u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """Noise at surface coordinates (m); ``scale`` is the tile's size in m."""
    index = 512 / scale
    # A tiny negative number modulo 512 is rounded to 512 itself: so integers wrap, not floats.
    rows, columns = (np.floor(value * index).astype(np.intp) % 512 for value in (u, v))
    return _texture(scene.seed)[rows, columns]


def _sky_colour(scene: Scene, rays: np.ndarray) -> np.ndarray:
    up = np.clip(rays[:, 2] / np.linalg.norm(rays, axis=-1), 0, 1)[:, None]
    zenith = np.array(scene.appearance.zenith)
    cloud = _noise(scene, 15 * rays[:, 1] + 15 * rays[:, 0], 40 * rays[:, 2], 60)[:, None]
    blue = np.array(scene.haze) * (1 - np.sqrt(up)) + zenith * np.sqrt(up)
    return blue + scene.appearance.clouds * np.clip(cloud, 0, 3)


def _ground_colour(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    look = scene.appearance
    noise = look.roughness * _noise(scene, x, y, 12)[:, None]
    road = ground_labels(x, y) == ID["road"]
    asphalt = np.array(look.asphalt) + 6 * noise
    tiles = (np.mod(x, 0.6) < 0.03) | (np.mod(y, 0.6) < 0.03)
    pavement = np.array(look.pavement) + 7 * noise - look.joints * tiles[:, None]
    colour = np.where(road[:, None], asphalt, pavement)
    away = np.minimum(np.abs(np.abs(y) - ROAD_HALF_WIDTH),
                      np.abs(np.abs(x - CROSSING) - ROAD_HALF_WIDTH))  # fmt: skip
    colour[(away < 0.15) & ~road] = look.kerb
    main = np.abs(x - CROSSING) > ROAD_HALF_WIDTH
    dash = road & main & (np.abs(y) < 0.07) & (np.mod(x, 7.5) < 3)
    side = road & ~main & (np.abs(y) > ROAD_HALF_WIDTH)
    dash |= side & (np.abs(x - CROSSING) < 0.07) & (np.mod(y, 7.5) < 3)
    colour[dash] = look.marking
    return colour


def _light_on_ground(
    scene: Scene, bodies: Sequence[Solid], screen: Screen, point: np.ndarray
) -> np.ndarray:
    """Darkening below low bodies: cars, people, trunks. H x W, of the ground's points."""
    light = np.ones(point.shape[:2])
    for body in bodies:
        if body.label not in (ID["car"], ID["pedestrian"], ID["bicyclist"]) or body.size[2] < 0.3:
            continue
        reach = body.centre[2] / max(scene.sun[2], 0.3) * 0.5
        x, y = body.centre[0] - scene.sun[0] * reach, body.centre[1] - scene.sun[1] * reach
        length, width = body.size[0] + 0.2, body.size[1] + 0.2
        shadow = replace(body, centre=(x, y, 0.0), size=(length, width, 0.0))
        if (box := screen.box(shadow)) is not None:
            part = box.rows, box.columns
            away = np.abs(point[part][..., :2] - (x, y))
            light[part][(away[..., 0] < length / 2) & (away[..., 1] < width / 2)] = 0.55
    return light


def _normal(shape: str, local: np.ndarray) -> np.ndarray:
    if shape == "box":
        face = np.abs(local).argmax(axis=1)
        normal = np.zeros_like(local)
        rows = np.arange(len(local))
        normal[rows, face] = np.sign(local[rows, face])
        return normal
    normal = local.copy()
    if shape == "cylinder":
        normal[:, 2] = 0
    return normal


def _surface(scene: Scene, body: Solid, local: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Colour of surface points, ``local`` in m in the body's frame."""
    along = np.where(np.abs(normal[:, 0]) > 0.7, local[:, 1], local[:, 0])
    up = local[:, 2] + body.size[2] / 2
    offset = body.centre[0] * 0.37 + body.centre[1] * 0.71
    colour = np.tile(np.asarray(body.colour, float), (len(local), 1))
    if body.pattern == "windows":
        colour = colour + 7 * _noise(scene, along + offset, up, 8)[:, None]
        u, v = np.mod(along + offset, 2.6), np.mod(up, 3.0)
        window = (u > 0.8) & (u < 1.9) & (v > 1.0) & (v < 2.5) & (up < body.size[2] - 0.5)
        frame = window & ((u < 0.88) | (u > 1.82) | (v < 1.08) | (v > 2.42))
        glass = np.floor((along + offset) / 2.6) * 7 + np.floor(up / 3.0) * 13
        colour[window] = (60 + 12 * np.mod(glass[window], 4))[:, None] * np.array([0.9, 1.0, 1.12])
        colour[frame] = (215, 212, 205)
        colour[up > body.size[2] - 0.35] *= 0.6  # eaves
        colour[up < 0.5] *= 0.75  # plinth
    elif body.pattern == "foliage":
        grain = _noise(scene, local[:, 0] + local[:, 2] + offset, local[:, 1] + local[:, 2], 5)
        colour = colour * (1 + 0.28 * np.clip(grain, -2, 2))[:, None]
    elif body.pattern == "planks":
        colour[np.mod(along, 0.25) < 0.06] *= 0.45
    else:
        colour = colour + 4 * _noise(scene, along + offset, up, 3)[:, None]
    return np.clip(colour, 0, 255)
