"""Surfaces without texture: worlds of simulators, halls of concrete, what a camera smooths away.

A street's ground has texture and its sky has none, so a network takes all that is plain for sky.
"""

from __future__ import annotations

import numpy as np

from stmem_ros.classes import UNLABELLED

BARE = 0.4  # share of the images of which ground and background alone remain


def make_plain(
    image: np.ndarray, label: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """An image whose regions have about one colour each, and its label.

    Args:
        image: H x W x 3 uint8.
        label: H x W uint8; what is unlabelled keeps its texture.

    Returns:
        both anew, of the same sizes.
    """
    values = np.unique(label[label != UNLABELLED])
    colours = {value: image[label == value].mean(axis=0) for value in values}
    texture = 0.0 if random.random() < 0.5 else random.uniform(0, 0.4)
    if random.random() < BARE and values.size:
        label, texture = _bare(label, random), 0.0
    plain = image.astype(np.float32)
    for value, colour in colours.items():
        region = label == value
        grey = colour.mean()
        paint = grey + (colour - grey) * random.uniform(0, 1.5)
        paint = paint * np.exp(random.uniform(-0.4, 0.4))
        plain[region] = paint + texture * (plain[region] - colour)
    return np.clip(plain, 0, 255).astype(np.uint8), label


def _bare(label: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What lies at the bottom below a horizon, and above it what is at the top."""
    height = len(label)
    horizon = int(height * random.uniform(0.3, 0.65))
    bare = np.full_like(label, UNLABELLED)
    bare[:horizon] = _commonest(label[: height // 5])
    bare[horizon:] = _commonest(label[-height // 5 :])
    return bare


def _commonest(label: np.ndarray) -> int:
    known = label[label != UNLABELLED]
    return int(np.bincount(known).argmax()) if known.size else UNLABELLED
