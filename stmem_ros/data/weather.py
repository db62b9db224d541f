"""Changes of light, weather and lens that make one street look like many.

Each change comes with a given probability and acts alike on all images of a window T x h x w x 3.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def change_weather(
    window: np.ndarray, probability: float, random: np.random.Generator
) -> np.ndarray:
    """A window with random changes; each comes with ``probability``.

    Args:
        window: T x h x w x 3 float32, grey levels.

    Returns:
        the same shape and type, 0 to 255.
    """
    window = np.clip(window, 0, 255)
    for change in CHANGES:
        if random.random() < probability:
            window = np.clip(change(window, random), 0, 255)
    return window.astype(np.float32)


def _exposure(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A camera's curve: dark parts lifted or drowned."""
    return 255 * (window / 255) ** np.exp(random.uniform(-0.7, 0.7))


def _colour_cast(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Light of another colour: morning, shade, another camera's white balance."""
    return window * np.exp(random.normal(0, 0.12, 3))


def _uneven_light(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Clouds and trees: patches of light with soft edges."""
    height, width = window.shape[1:3]
    coarse = random.normal(0, random.uniform(0.1, 0.4), (4, 6))
    gain = cv2.resize(np.exp(coarse), (width, height), interpolation=cv2.INTER_CUBIC)
    return window * gain[..., None]


def _shadow(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The shadow of a house: one band across the image, its edges a few pixels wide."""
    height, width = window.shape[1:3]
    rows, columns = np.indices((height, width), np.float32)
    angle = random.uniform(0, np.pi)
    across = (columns - random.uniform(0, width)) * np.cos(angle)
    across += (rows - random.uniform(0, height)) * np.sin(angle)
    edge, half_width = random.uniform(1, 8), random.uniform(0.05, 0.4) * width
    inside = 1 / (1 + np.exp(np.clip((np.abs(across) - half_width) / edge, -30, 30)))
    return window * (1 - random.uniform(0.3, 0.7) * inside[..., None])


def _haze(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Fog, dust or sun on the lens: contrast is lost, most of it far away, which is high up."""
    height = window.shape[1]
    horizon = random.uniform(0.25, 0.55) * height
    distance = np.clip((height - np.arange(height)) / (height - horizon), 0, 1) ** 2
    part = (random.uniform(0.1, 0.65) * distance)[:, None, None]
    return window * (1 - part) + random.uniform(150, 245) * part


def _defocus(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A lens that is out of focus, wet or dirty."""
    sigma = random.uniform(0.5, 2.0)
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in window])


def _coarse_pixels(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A camera of fewer pixels, whose images were enlarged."""
    height, width = window.shape[1:3]
    scale = random.uniform(0.4, 0.9)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in window]
    return np.stack([cv2.resize(image, (width, height)) for image in small])


CHANGES: tuple[Change, ...] = (
    _exposure,
    _colour_cast,
    _uneven_light,
    _shadow,
    _haze,
    _defocus,
    _coarse_pixels,
)
