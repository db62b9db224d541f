"""What a camera sees of the synthetic street: colour, labels and depth, a ray per pixel."""

from __future__ import annotations

from dataclasses import dataclass
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
from stmem_ros.geometry.camera import CameraModel

FAR = 1e4  # depth of the sky, m


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
    rgb, label, depth = _background(scene, seconds, rays, eye)
    camera_from_world = np.linalg.inv(world_from_camera)
    for solid in scene.solids:
        body = solid.at(seconds)
        rows, columns = _screen_box(body, camera, camera_from_world)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        _draw(scene, body, rays[rows, columns], eye, rgb[rows, columns], label[rows, columns],
              depth[rows, columns])  # fmt: skip
    fog = np.exp(-depth / 250)[..., None]
    sky = label == ID["sky"]
    mixed = np.where(sky[..., None], rgb, rgb * fog + np.array(scene.haze) * (1 - fog))
    noise = np.random.default_rng([scene.seed, round(seconds * 1000)])
    smooth = cv2.GaussianBlur(mixed.astype(np.float32), (0, 0), 0.6)
    grain = 3 * noise.standard_normal((height, width, 1), dtype=np.float32)
    depth[sky] = np.nan
    return View(np.clip(smooth + grain, 0, 255).astype(np.uint8), label, depth.astype(np.float32))


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


def _background(
    scene: Scene, seconds: float, rays: np.ndarray, eye: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sky and ground."""
    down = rays[..., 2] < -1e-6
    depth = np.full(rays.shape[:2], FAR)
    depth[down] = -eye[2] / rays[..., 2][down]
    ground = down & (depth < 400)
    depth[~ground] = FAR
    label = np.full(rays.shape[:2], ID["sky"], np.uint8)

    up = np.clip(rays[..., 2] / np.linalg.norm(rays, axis=-1), 0, 1)[..., None]
    zenith = np.array([110.0, 150.0, 205.0])
    rgb = np.array(scene.haze) * (1 - np.sqrt(up)) + zenith * np.sqrt(up)
    cloud = _noise(scene, 15 * rays[..., 1] + 15 * rays[..., 0], 40 * rays[..., 2], 60)[..., None]
    rgb = rgb + 9 * np.clip(cloud, 0, 3)

    point = eye + rays[ground] * depth[ground][:, None]
    x, y = point[:, 0], point[:, 1]
    label[ground] = ground_labels(x, y)
    rgb[ground] = _ground_colour(scene, x, y) * _shade_on_ground(scene, seconds, x, y)[:, None]
    return rgb, label, depth


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


def _shade_on_ground(scene: Scene, seconds: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Darkening below low bodies: cars, people, trunks."""
    light = np.ones(len(x))
    for solid in scene.solids:
        if solid.label not in (ID["car"], ID["pedestrian"], ID["bicyclist"]) or solid.size[2] < 0.3:
            continue
        body = solid.at(seconds)
        reach = body.centre[2] / max(scene.sun[2], 0.3) * 0.5
        dx = x - body.centre[0] + scene.sun[0] * reach
        dy = y - body.centre[1] + scene.sun[1] * reach
        inside = (np.abs(dx) < body.size[0] / 2 + 0.1) & (np.abs(dy) < body.size[1] / 2 + 0.1)
        light[inside] = 0.55
    return light


def _screen_box(
    body: Solid, camera: CameraModel, camera_from_world: np.ndarray
) -> tuple[slice, slice]:
    """Rows and columns of the image that the body may cover."""
    signs = np.array([[sx, sy, sz] for sx in (-1, 1) for sy in (-1, 1) for sz in (-1, 1)]) / 2
    corners = signs * body.size @ _rotation(body.yaw).T + body.centre
    points = corners @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    nothing = slice(0, 0)
    if (points[:, 2] < 0.1).all() or points[:, 2].min() > 200:
        return nothing, nothing
    if (points[:, 2] < 0.1).any():
        return slice(0, camera.height), slice(0, camera.width)
    k = np.asarray(camera.matrix)
    u = k[0, 0] * points[:, 0] / points[:, 2] + k[0, 2]
    v = k[1, 1] * points[:, 1] / points[:, 2] + k[1, 2]
    clip = np.clip
    return (
        slice(int(clip(v.min() - 1, 0, camera.height)), int(clip(v.max() + 2, 0, camera.height))),
        slice(int(clip(u.min() - 1, 0, camera.width)), int(clip(u.max() + 2, 0, camera.width))),
    )


def _rotation(yaw: float) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _draw(
    scene: Scene,
    body: Solid,
    rays: np.ndarray,
    eye: np.ndarray,
    rgb: np.ndarray,
    label: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Cast the rays of a part of the image at a body; write where it is the nearest."""
    half = np.asarray(body.size) / 2
    rotation = _rotation(body.yaw)
    start = (eye - body.centre) @ rotation / half  # in the body's frame, scaled to unit size
    directions = rays @ rotation / half
    distance, hit = _intersect(body.shape, start, directions)
    hit &= distance < depth
    if not hit.any():
        return
    local = start + directions[hit] * distance[hit][:, None]
    normal = _normal(body.shape, local) / half
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = 0.62 + 0.38 * np.clip(normal @ rotation.T @ np.array(scene.sun), 0, 1)
    rgb[hit] = _surface(scene, body, local * half, normal) * light[:, None]
    label[hit] = body.label
    depth[hit] = distance[hit]


def _intersect(
    shape: str, start: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter the unit box, sphere or upright cylinder: distances, and whether they do."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = (-1 - start) / directions
        upper = (1 - start) / directions
        if shape == "box":
            enter = np.minimum(lower, upper).max(axis=-1)
            leave = np.maximum(lower, upper).min(axis=-1)
            return enter, (enter < leave) & (enter > 0)
        axes = 3 if shape == "ellipsoid" else 2
        d, o = directions[..., :axes], start[:axes]
        a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum() - 1
        root = b * b - a * c
        enter = (-b - np.sqrt(root)) / a
        hit = (root > 0) & (enter > 0)
        if shape == "cylinder":
            hit &= np.abs(start[2] + directions[..., 2] * enter) <= 1
    return enter, hit


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
