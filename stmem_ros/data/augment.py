"""Training windows from labelled frames: smooth camera motion, light, noise, occluders.

Every augmentation acts alike on all frames of a window, except what a camera sees change between
frames: the motion itself, noise, flicker of the exposure, and things that pass in front.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.configuration import CountFromOne, NotNegative, Positive, Probability, Range
from stmem_ros.data.optical_flow import affine_flow, optical_flow
from stmem_ros.data.plain import make_plain
from stmem_ros.data.weather import change_weather
from stmem_ros.io.images import jpeg_coded


@dataclass(frozen=True)
class TrainingWindow:
    """Views of a window, and what is known of its target frame.

    Attributes:
        images: T x h x w x 3 uint8.
        label: h x w uint8, of the target frame.
        flow: h x w x 2 float32, where each pixel of the target frame lies in the frame before, as a
            shift in pixels; zero for the first frame of a window.
    """

    images: np.ndarray
    label: np.ndarray
    flow: np.ndarray


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes; sizes in pixels, the rest relative.

    Attributes:
        crop: height and width of what the network sees.
        scale: zoom range of the whole window.
        brightness, contrast, saturation: largest relative change.
        motion: largest shift between two frames of a window, share of the crop's width.
        zoom: largest zoom between two frames.
        noise: largest standard deviation of pixel noise, in grey levels.
        occluder: probability that something covers a part of the earlier frames.
        degrade: probability that all frames are blurred by motion, and that they went through JPEG.
        weather: probability of each change of light, weather and lens (:mod:`.weather`).
        stretch: largest relative change of heights against widths, as by another camera height.
        roll: largest rotation of the camera about its axis, radians.
        plain: probability that surfaces lose their texture (:mod:`.plain`); single images alone.
    """

    crop: tuple[CountFromOne, CountFromOne] = (360, 480)
    scale: tuple[Positive, Positive] = (0.75, 1.75)
    brightness: NotNegative = 0.35
    contrast: NotNegative = 0.35
    saturation: NotNegative = 0.35
    motion: NotNegative = 0.025
    zoom: Annotated[float, Range(ge=0.0, lt=1.0)] = 0.02
    noise: NotNegative = 8.0
    occluder: Probability = 0.3
    degrade: Probability = 0.0
    weather: Probability = 0.0
    stretch: NotNegative = 0.0
    roll: NotNegative = 0.0
    plain: Probability = 0.0


def make_window(
    images: np.ndarray,
    label: np.ndarray,
    frames: int,
    target: int,
    settings: Augmentation,
    random: np.random.Generator,
    pair: bool = False,
) -> TrainingWindow:
    """A training window of ``frames`` views around the labelled frame ``target``.

    Args:
        images: N x H x W x 3 uint8: one image, from which a moving camera's views are made, or
            ``frames`` images of real motion.
        label: H x W uint8, of the one image, or of image ``target``.
        pair: the frame before the target is to get the same labels: nothing passes in front of it.

    Returns:
        views of the size ``settings.crop``.
    """
    if settings.plain and len(images) == 1 and random.random() < settings.plain:
        image, label = make_plain(images[0], label, random)
        images = image[None]
    view_from_image = _random_crop(label.shape, settings, random)
    step = _camera_step(settings, random) if len(images) == 1 else np.eye(3)
    views = [
        _warp_view(
            images[t if len(images) > 1 else 0],
            np.linalg.matrix_power(step, target - t) @ view_from_image,
            settings.crop,
        )
        for t in range(frames)
    ]
    target_label = cv2.warpAffine(
        label,
        view_from_image[:2],
        settings.crop[::-1],
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNLABELLED,
    )
    flow = np.zeros((*settings.crop, 2), np.float32)
    if target and len(images) == 1:
        flow = affine_flow(step, settings.crop)
    elif target:
        newest, before = (cv2.cvtColor(views[t], cv2.COLOR_RGB2GRAY) for t in (target, target - 1))
        flow = optical_flow(newest, before)
    spared = {target, target - 1} if pair else {target}
    return TrainingWindow(_disturb(np.stack(views), spared, settings, random), target_label, flow)


def _warp_view(image: np.ndarray, view_from_image: np.ndarray, crop: tuple[int, int]) -> np.ndarray:
    """What a view of ``crop`` pixels (height, width) sees of an image; its edge is mirrored."""
    return cv2.warpAffine(
        image,
        view_from_image[:2],
        crop[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _disturb(
    views: np.ndarray, spared: set[int], settings: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """Views T x h x w x 3 in another light, with noise, and perhaps occluded and degraded.

    ``spared``: indices of the views that nothing occludes.
    """
    window = _change_light(views.astype(np.float32), settings, random)
    if settings.weather:
        window = change_weather(window, settings.weather, random)
    frames = len(window)
    if frames > 1:
        window *= random.uniform(0.95, 1.05, (frames, 1, 1, 1)).astype(np.float32)
        if random.random() < settings.occluder:
            _occlude(window, spared, random)
    sigma = random.uniform(0, settings.noise)
    noise = random.standard_normal(window.shape, dtype=np.float32)
    disturbed = np.clip(window + sigma * noise, 0, 255).astype(np.uint8)
    if random.random() < settings.degrade:
        disturbed = _blur(disturbed, random)
    if random.random() < settings.degrade:
        disturbed = _compress(disturbed, random)
    return disturbed


def _random_crop(
    size: tuple[int, int], settings: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """Affine map (3 x 3) from the source image to a random crop of it, perhaps mirrored."""
    height, width = settings.crop
    zoom = np.exp(random.uniform(*np.log(settings.scale)))
    # The crop's centre lies anywhere that keeps the crop inside the image, where that is possible.
    centre = [
        random.uniform(-1, 1) * max(0.0, size[1] * zoom - width) / 2 / zoom + size[1] / 2,
        random.uniform(-1, 1) * max(0.0, size[0] * zoom - height) / 2 / zoom + size[0] / 2,
    ]
    mirror = -1.0 if random.random() < 0.5 else 1.0
    crop_from_image = np.array(
        [
            [mirror * zoom, 0, width / 2 - mirror * zoom * centre[0]],
            [0, zoom, height / 2 - zoom * centre[1]],
            [0, 0, 1],
        ]
    )
    if settings.stretch or settings.roll:
        return _random_camera(settings, random) @ crop_from_image
    return crop_from_image


def _random_camera(settings: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Affine map (3 x 3) of a crop about its centre: stretched in height, and rolled."""
    height, width = settings.crop
    stretch = (1 + settings.stretch) ** random.uniform(-1, 1)
    angle = settings.roll * random.uniform(-1, 1)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([1.0, stretch])
    camera, centre = np.eye(3), np.array([width / 2, height / 2])
    camera[:2, :2] = turn
    camera[:2, 2] = centre - turn @ centre
    return camera


def _camera_step(settings: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Affine map from a frame of the window to the one before it."""
    height, width = settings.crop
    zoom = 1 + random.uniform(-1, 1) * settings.zoom
    angle = random.normal(0, 0.004)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    shift = random.uniform(-1, 1, 2) * settings.motion * width * np.array([1.0, 0.3])
    centre = np.array([width / 2, height / 2]) + random.uniform(-0.1, 0.1, 2) * width
    rotation = np.array([[cos, -sin], [sin, cos]])
    step = np.eye(3)
    step[:2, :2] = rotation
    step[:2, 2] = centre - rotation @ centre + shift
    return step


def _change_light(
    window: np.ndarray, settings: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """Change brightness, contrast and saturation, the same for all frames."""
    grey = window.mean(axis=-1, keepdims=True)
    window = grey + (window - grey) * (1 + random.uniform(-1, 1) * settings.saturation)
    mean = window.mean()
    window = mean + (window - mean) * (1 + random.uniform(-1, 1) * settings.contrast)
    return (window * (1 + random.uniform(-1, 1) * settings.brightness)).astype(np.float32)


def _occlude(window: np.ndarray, spared: set[int], random: np.random.Generator) -> None:
    """Put a moving patch of the scene in front of the frames that are not spared."""
    frames, height, width = window.shape[:3]
    h, w = random.integers(height // 8, height // 3), random.integers(width // 12, width // 4)
    y, x = random.integers(0, height - h), random.integers(0, width - w)
    patch = window[0, y : y + h, x : x + w].copy()
    top, start = random.integers(0, height - h), random.integers(0, width - w)
    speed = random.integers(-width // 16, width // 16 + 1)
    for t in range(frames):
        if t not in spared:
            left = int(np.clip(start + speed * t, 0, width - w))
            window[t, top : top + h, left : left + w] = patch


def _blur(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Average each image along a short straight line."""
    length, angle = random.integers(2, 6), random.uniform(0, np.pi)
    kernel = np.zeros((2 * length + 1,) * 2, np.float32)
    tip = np.rint(length * (1 + np.array([np.cos(angle), np.sin(angle)]))).astype(int)
    cv2.line(kernel, tuple(2 * length - tip), tuple(tip), 1.0)
    return np.stack([cv2.filter2D(image, -1, kernel / kernel.sum()) for image in window])


def _compress(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Send each image through JPEG of one low quality."""
    quality = int(random.integers(20, 80))
    return np.stack([jpeg_coded(image, quality) for image in window])
