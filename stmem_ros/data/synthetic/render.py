"""What a camera sees of the synthetic street: colour, labels and depth, a ray per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from stmem_ros.data.synthetic.painting import NOTHING, Surfaces
from stmem_ros.data.synthetic.scene import ID, Scene, Solid, ground_labels
from stmem_ros.data.synthetic.screen import Screen, pixel_rays, rotation
from stmem_ros.geometry.camera import CameraModel

FAR = 1e4  # depth of the sky, m


@dataclass(frozen=True)
class View:
    """One rendered image.

    Attributes:
        label: uint8, H x W.
        depth: float32, H x W, m; NaN in the sky.
        surfaces: what each pixel shows, to be painted.
    """

    label: np.ndarray
    depth: np.ndarray
    surfaces: Surfaces

    @cached_property
    def rgb(self) -> np.ndarray:
        """RGB, uint8, H x W x 3; painted when it is first asked for."""
        return self.surfaces.paint()


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
    rays = pixel_rays(camera) @ world_from_camera[:3, :3].T
    eye = world_from_camera[:3, 3]
    screen = Screen(camera, np.linalg.inv(world_from_camera))
    bodies = [solid.at(seconds) for solid in scene.solids]
    boxes = {i: box for i, body in enumerate(bodies) if (box := screen.box(body)) is not None}
    label, depth = _background(rays, eye)
    nearest = np.full(label.shape, NOTHING, np.int32)
    # The nearest first, so that what is hidden is seen to be so before it is drawn.
    for i, box in sorted(boxes.items(), key=lambda item: item[1].near):
        part = box.rows, box.columns
        free = depth[part] > box.near
        if not free.any():
            continue
        distance, hit = _cast(bodies[i], eye, rays[part][free])
        hit &= distance < depth[part][free]
        free[free] = hit
        depth[part][free] = distance[hit]
        nearest[part][free] = i
        label[part][free] = bodies[i].label
    sky = label == ID["sky"]
    surfaces = Surfaces(scene, seconds, screen, rays, eye, bodies, boxes, nearest, depth, sky)
    return View(label, np.where(sky, np.nan, depth).astype(np.float32), surfaces)


def depth_of(
    bodies: Sequence[Solid], camera: CameraModel, world_from_camera: np.ndarray
) -> np.ndarray:
    """Depth of bodies as if nothing else were there, H x W, m; inf beside them."""
    rays = pixel_rays(camera) @ world_from_camera[:3, :3].T
    eye = world_from_camera[:3, 3]
    screen = Screen(camera, np.linalg.inv(world_from_camera))
    depth = np.full(rays.shape[:2], np.inf)
    for body in bodies:
        if (box := screen.box(body)) is not None:
            part = box.rows, box.columns
            distance, hit = _cast(body, eye, rays[part])
            depth[part] = np.where(hit, np.fmin(depth[part], distance), depth[part])
    return depth


def _background(rays: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and depth of sky and ground."""
    down = rays[..., 2] < -1e-6
    depth = np.full(rays.shape[:2], FAR)
    depth[down] = -eye[2] / rays[..., 2][down]
    ground = down & (depth < 400)
    depth[~ground] = FAR
    label = np.full(rays.shape[:2], ID["sky"], np.uint8)
    x, y = (eye[axis] + rays[..., axis][ground] * depth[ground] for axis in (0, 1))
    label[ground] = ground_labels(x, y)
    return label, depth


def _cast(body: Solid, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays meet a body: distances, and whether they do."""
    half = np.asarray(body.size) / 2
    turn = rotation(body.yaw)
    start = (eye - body.centre) @ turn / half  # in the body's frame, scaled to unit size
    return _intersect(body.shape, start, rays @ turn / half)


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
