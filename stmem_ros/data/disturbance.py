"""What goes wrong with camera images on a vehicle, to see how well a model bears it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from stmem_ros.io.images import jpeg_coded

BLUR = 9  # pixels
VIEW = 2 / 3  # width of what a turning camera sees, of the image's
NOISE = 15.0  # grey levels, standard deviation


@dataclass(frozen=True)
class Disturbance:
    """One thing that goes wrong, the same in every run.

    Attributes:
        name: for tables.
        change: what happens to an image H x W x 3 uint8; the generator is new for each frame.
        dropped: share of the frames that never arrive.
        every: of so many frames, a slow camera or computer takes one.
        cut: two halves of a run take turns, so many frames each; 0: it is one.
        turn: share of the image's width by which the camera turns from frame to frame, to one side
            and back; what it sees is a part of the image. 0: it sees all.
        crossing: share of the image's width by which something that crosses (:mod:`.crossing`)
            moves from frame to frame. 0: nothing does.
    """

    name: str
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray] = lambda rgb, _: rgb
    dropped: float = 0.0
    every: int = 1
    cut: int = 0
    turn: float = 0.0
    crossing: float = 0.0

    def runs(self, frames: int) -> list[list[tuple[int, int]]]:
        """What streams see of an unbroken run of ``frames``: when, counted in frames, and which.

        One stream sees each ``every``-th frame; each of the other streams begins a frame later, so
        that each frame is seen once.
        """
        order = self._spliced(frames) if self.cut else list(range(frames))
        return [
            [(i, order[i]) for i in range(first, frames, self.every) if self.arrives(i)]
            for first in range(min(self.every, frames))
        ]

    def _spliced(self, frames: int) -> list[int]:
        """All frames, pieces of the first and of the second half in turn."""
        half = (frames + 1) // 2
        pieces = [
            range(start + first, min(start + first + self.cut, end))
            for first in range(0, half, self.cut)
            for start, end in ((0, half), (half, frames))
        ]
        return [frame for piece in pieces for frame in piece]

    def arrives(self, frame: int) -> bool:
        """Whether frame number ``frame`` arrives at all."""
        return np.random.default_rng([1, frame]).random() >= self.dropped

    def view(self, image: np.ndarray, frame: int) -> np.ndarray:
        """The part of an image, or of its labels, that the camera sees in frame ``frame``."""
        if not self.turn:
            return image
        width = image.shape[1]
        seen = round(width * VIEW)
        reach = width - seen
        way = round(frame * self.turn * width) % (2 * reach)
        left = min(way, 2 * reach - way)
        return np.ascontiguousarray(image[:, left : left + seen])

    def apply(self, rgb: np.ndarray, frame: int) -> np.ndarray:
        """What the camera sees in frame ``frame``, as it delivers it."""
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


def _exposure(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.clip(rgb * random.choice([0.5, 1.0, 1.5]), 0, 255).astype(np.uint8)


DISTURBANCES = (
    Disturbance("none"),
    Disturbance("JPEG 30", _jpeg),
    Disturbance(f"blur {BLUR} px", _blur),
    Disturbance("half as bright", _dark),
    Disturbance(f"noise {NOISE:.0f}", _noise),
    Disturbance("10 % dropped", dropped=0.1),
)

# What parts a frame from the ones before: at 15 Hz, rates of 7.5, 3.8, 1.9 and 1.25 Hz; dropped
# frames; cuts; some 60 degrees a second to a lens of 60; what crosses at half of that; light that
# jumps.
INTERVALS = (
    Disturbance("all frames"),
    *(Disturbance(f"1 of {every} frames", every=every) for every in (2, 4, 8, 12)),
    *(Disturbance(f"{100 * share:.0f} % dropped", dropped=share) for share in (0.1, 0.3, 0.5)),
    Disturbance("cut every 5", cut=5),
    Disturbance("fast turns", turn=1 / 15),
    Disturbance("something crosses", crossing=1 / 30),
    Disturbance("jumping exposure", _exposure),
)
