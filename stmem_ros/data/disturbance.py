"""What goes wrong with camera images on a vehicle, to see how well a model bears it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from stmem_ros.io.images import jpeg_coded

BLUR = 9  # pixels
NOISE = 15.0  # grey levels, standard deviation


@dataclass(frozen=True)
class Disturbance:
    """One thing that goes wrong, the same in every run.

    Attributes:
        name: for tables.
        change: what happens to an image H x W x 3 uint8; the generator is new for each frame.
        dropped: share of the frames that never arrive.
        every: of so many frames, a slow camera or computer takes one.
    """

    name: str
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray] = lambda rgb, _: rgb
    dropped: float = 0.0
    every: int = 1

    def runs(self, frames: int) -> list[list[int]]:
        """Numbers of the frames that streams see, of ``frames`` of an unbroken run.

        One stream sees each ``every``-th frame; each of the other streams begins a frame later, so
        that each frame is seen once.
        """
        return [
            [i for i in range(first, frames, self.every) if self.arrives(i)]
            for first in range(min(self.every, frames))
        ]

    def arrives(self, frame: int) -> bool:
        """Whether frame number ``frame`` arrives at all."""
        return np.random.default_rng([1, frame]).random() >= self.dropped

    def apply(self, rgb: np.ndarray, frame: int) -> np.ndarray:
        """Frame number ``frame`` as the camera delivers it."""
        return self.change(rgb, np.random.default_rng([2, frame]))


def _jpeg(rgb: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return jpeg_coded(rgb, 30)


def _blur(rgb: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return cv2.blur(rgb, (BLUR, 1))


def _dark(rgb: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return rgb // 2


def _noise(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    noise = NOISE * random.standard_normal(rgb.shape, dtype=np.float32)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


DISTURBANCES = (
    Disturbance("none"),
    Disturbance("JPEG 30", _jpeg),
    Disturbance(f"blur {BLUR} px", _blur),
    Disturbance("half as bright", _dark),
    Disturbance(f"noise {NOISE:.0f}", _noise),
    Disturbance("10 % dropped", dropped=0.1),
)

# What makes frames lie farther apart: at 15 Hz, 7.5, 3.8, 1.9 and 1.25 Hz; and dropped frames.
INTERVALS = (
    Disturbance("all frames"),
    *(Disturbance(f"1 of {every} frames", every=every) for every in (2, 4, 8, 12)),
    *(Disturbance(f"{100 * share:.0f} % dropped", dropped=share) for share in (0.1, 0.3, 0.5)),
)
