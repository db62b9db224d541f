"""What a camera sees of the synthetic street: colour, labels and depth, a ray per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from typing import NamedTuple

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
from stmem_ros.geometry.camera import CameraModel

FAR = 1e4  # depth of the sky, m
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
EDGES = np.array([(a, a + step) for step in (1, 2, 4) for a in range(8) if not a & step])


@dataclass(frozen=True)
class View:
    """One rendered image: RGB and labels uint8, depth float32 in m (NaN in the sky)."""

    rgb: np.ndarray
    label: np.ndarray
    depth: np.ndarray


def render(
    scene: Scene, seconds: float, camera: CameraModel, world_from_camera: np.ndarray
) -> View:
    """Render one image.

    Args:
        scene: the street.
        seconds: time, for what moves.
        camera: intrinsics, without distortion.
        world_from_camera: 4 x 4, optical frame to world.
    """
    height, width = camera.height, camera.width
    rays = _rays(camera) @ world_from_camera[:3, :3].T
    eye = world_from_camera[:3, 3]
    screen = _Screen(camera, np.linalg.inv(world_from_camera))
    bodies = [solid.at(seconds) for solid in scene.solids]
    rgb, label, depth = _background(scene, bodies, screen, rays, eye)
    boxes = [(body, box) for body in bodies if (box := screen.box(body)) is not None]
    # The nearest first, so that what is hidden is seen to be so before it is drawn.
    for body, (near, rows, columns) in sorted(boxes, key=lambda item: item[1].near):
        covered = np.s_[rows, columns]
        _draw(scene, body, near, rays[covered], eye, rgb[covered], label[covered], depth[covered])
    fog = np.exp(-depth / 250)[..., None]
    sky = label == ID["sky"]
    mixed = np.where(sky[..., None], rgb, rgb * fog + np.array(scene.haze) * (1 - fog))
    noise = np.random.default_rng([scene.seed, round(seconds * 1000)])
    smooth = cv2.GaussianBlur(mixed.astype(np.float32), (0, 0), 0.6)
    grain = 3 * noise.standard_normal((height, width, 1), dtype=np.float32)
    depth[sky] = np.nan
    return View(np.clip(smooth + grain, 0, 255).astype(np.uint8), label, depth.astype(np.float32))


def depth_of(
    bodies: Sequence[Solid], camera: CameraModel, world_from_camera: np.ndarray
) -> np.ndarray:
    """Depth of bodies as if nothing else were there, H x W, m; inf beside them."""
    rays = _rays(camera) @ world_from_camera[:3, :3].T
    eye = world_from_camera[:3, 3]
    screen = _Screen(camera, np.linalg.inv(world_from_camera))
    depth = np.full(rays.shape[:2], np.inf)
    for body in bodies:
        if (box := screen.box(body)) is not None:
            part = box.rows, box.columns
            half, rotation = np.asarray(body.size) / 2, _rotation(body.yaw)
            start = (eye - body.centre) @ rotation / half
            distance, hit = _intersect(body.shape, start, rays[part] @ rotation / half)
            depth[part] = np.where(hit, np.fmin(depth[part], distance), depth[part])
    return depth


@lru_cache(maxsize=4)
def _rays(camera: CameraModel) -> np.ndarray:
    """Rays of all pixels, H x W x 3 in the optical frame, z = 1: their parameter is the depth."""
    v, u = np.mgrid[: camera.height, : camera.width]
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2)
    return camera.rays(pixels).reshape(camera.height, camera.width, 3)


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


class _Box(NamedTuple):
    """The part of an image that a body may cover, and the depth it begins at, m."""

    near: float
    rows: slice
    columns: slice


@dataclass(frozen=True)
class _Screen:
    """Where bodies of the world are in the image."""

    camera: CameraModel
    camera_from_world: np.ndarray

    def box(self, body: Solid) -> _Box | None:
        """What the body may cover; None if nothing."""
        corners = CORNERS * body.size @ _rotation(body.yaw).T + body.centre
        points = corners @ self.camera_from_world[:3, :3].T + self.camera_from_world[:3, 3]
        near = float(points[:, 2].min())
        if points[:, 2].max() < 0.1 or near > 200:
            return None
        if near < 0.1:
            points = _in_front(points)
        height, width = self.camera.height, self.camera.width
        k = self.camera.matrix
        u = k[0][0] * points[:, 0] / points[:, 2] + k[0][2]
        v = k[1][1] * points[:, 1] / points[:, 2] + k[1][2]
        rows = slice(_within(v.min() - 1, height), _within(v.max() + 2, height))
        columns = slice(_within(u.min() - 1, width), _within(u.max() + 2, width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        return _Box(near, rows, columns)


def _in_front(corners: np.ndarray, plane: float = 1e-3) -> np.ndarray:
    """Corners of the part of a box that lies beyond a depth, m."""
    start, end = corners[EDGES[:, 0]], corners[EDGES[:, 1]]
    crossing = (start[:, 2] < plane) != (end[:, 2] < plane)
    start, end = start[crossing], end[crossing]
    share = ((plane - start[:, 2]) / (end[:, 2] - start[:, 2]))[:, None]
    return np.concatenate([corners[corners[:, 2] >= plane], start + share * (end - start)])


def _within(value: float, limit: int) -> int:
    return int(min(max(value, 0), limit))


def _background(
    scene: Scene, bodies: list[Solid], screen: _Screen, rays: np.ndarray, eye: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sky and ground."""
    down = rays[..., 2] < -1e-6
    depth = np.full(rays.shape[:2], FAR)
    depth[down] = -eye[2] / rays[..., 2][down]
    ground = down & (depth < 400)
    depth[~ground] = FAR
    label = np.full(rays.shape[:2], ID["sky"], np.uint8)

    rgb = np.empty(rays.shape)
    rgb[~ground] = _sky_colour(scene, rays[~ground])
    point = eye + rays * depth[..., None]
    light = _light_on_ground(scene, bodies, screen, point)[ground]
    x, y = point[ground][:, 0], point[ground][:, 1]
    label[ground] = ground_labels(x, y)
    rgb[ground] = _ground_colour(scene, x, y) * light[:, None]
    return rgb, label, depth


def _sky_colour(scene: Scene, rays: np.ndarray) -> np.ndarray:
    up = np.clip(rays[:, 2] / np.linalg.norm(rays, axis=-1), 0, 1)[:, None]
    zenith = np.array([110.0, 150.0, 205.0])
    cloud = _noise(scene, 15 * rays[:, 1] + 15 * rays[:, 0], 40 * rays[:, 2], 60)[:, None]
    blue = np.array(scene.haze) * (1 - np.sqrt(up)) + zenith * np.sqrt(up)
    return blue + 9 * np.clip(cloud, 0, 3)


def _ground_colour(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    noise = _noise(scene, x, y, 12)[:, None]
    road = ground_labels(x, y) == ID["road"]
    asphalt = np.array([92.0, 92, 95]) + 6 * noise
    tiles = (np.mod(x, 0.6) < 0.03) | (np.mod(y, 0.6) < 0.03)
    pavement = np.array([150.0, 143, 136]) + 7 * noise - 25 * tiles[:, None]
    colour = np.where(road[:, None], asphalt, pavement)
    away = np.minimum(np.abs(np.abs(y) - ROAD_HALF_WIDTH),
                      np.abs(np.abs(x - CROSSING) - ROAD_HALF_WIDTH))  # fmt: skip
    colour[(away < 0.15) & ~road] = (185, 182, 176)  # kerb stones
    main = np.abs(x - CROSSING) > ROAD_HALF_WIDTH
    dash = road & main & (np.abs(y) < 0.07) & (np.mod(x, 7.5) < 3)
    side = road & ~main & (np.abs(y) > ROAD_HALF_WIDTH)
    dash |= side & (np.abs(x - CROSSING) < 0.07) & (np.mod(y, 7.5) < 3)
    colour[dash] = (215, 215, 210)
    return colour


def _light_on_ground(
    scene: Scene, bodies: list[Solid], screen: _Screen, point: np.ndarray
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


def _rotation(yaw: float) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _draw(
    scene: Scene,
    body: Solid,
    near: float,
    rays: np.ndarray,
    eye: np.ndarray,
    rgb: np.ndarray,
    label: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Cast the rays of a part of the image at a body; write where it is the nearest."""
    free = depth > near
    half = np.asarray(body.size) / 2
    rotation = _rotation(body.yaw)
    start = (eye - body.centre) @ rotation / half  # in the body's frame, scaled to unit size
    directions = rays[free] @ rotation / half
    distance, hit = _intersect(body.shape, start, directions)
    hit &= distance < depth[free]
    if not hit.any():
        return
    local = start + directions[hit] * distance[hit][:, None]
    normal = _normal(body.shape, local) / half
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = 0.62 + 0.38 * np.clip(normal @ rotation.T @ np.array(scene.sun), 0, 1)
    free[free] = hit
    rgb[free] = _surface(scene, body, local * half, normal) * light[:, None]
    label[free] = body.label
    depth[free] = distance[hit]


def _intersect(
    shape: str, start: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter the unit box, sphere or upright cylinder: distances, and whether they do."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = (-1 - start) / directions
        upper = (1 - start) / directions
        if shape == "box":
            first, last = np.minimum(lower, upper), np.maximum(lower, upper)
            enter = reduce(np.maximum, _axes(first, 3))
            leave = reduce(np.minimum, _axes(last, 3))
            return enter, (enter < leave) & (enter > 0)
        axes = 3 if shape == "ellipsoid" else 2
        o = start[:axes]
        a = sum(_axes(directions * directions, axes))
        b = sum(_axes(directions * start, axes))
        c = (o * o).sum() - 1
        root = b * b - a * c
        enter = (-b - np.sqrt(root)) / a
        hit = (root > 0) & (enter > 0)
        if shape == "cylinder":
            hit &= np.abs(start[2] + directions[..., 2] * enter) <= 1
    return enter, hit


def _axes(vectors: np.ndarray, count: int) -> list[np.ndarray]:
    """The first components of an array of vectors: numpy is slow along an axis of three."""
    return [vectors[..., axis] for axis in range(count)]


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
