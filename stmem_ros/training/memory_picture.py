"""A picture of what a memory bank holds: the surroundings of each key, class by class."""

from __future__ import annotations

import cv2
import numpy as np

from stmem_ros.classes import SemanticClass
from stmem_ros.model.memory import MemoryBank
from stmem_ros.training.samples import Samples

CROP = 96  # pixels per side, around the key
TITLE_WIDTH = 150  # pixels


def draw_memory(
    bank: MemoryBank,
    samples: Samples,
    target: int,
    stride: float,
    classes: tuple[SemanticClass, ...],
) -> np.ndarray:
    """Crops of the training images around the keys, RGB; a row per class.

    Args:
        bank: with ``places``.
        samples: the samples the bank was built from.
        target: index of the labelled frame in a sample's window.
        stride: input pixels per feature pixel.

    Raises:
        ValueError: the bank does not know where its keys were found.
    """
    if bank.places is None:
        raise ValueError(
            f"the memory bank (rule {bank.rule!r}) does not tell where its keys were found; "
            "those built by the rules confidence and boundary do"
        )
    nearest = bank.nearest_class()
    rows = []
    for c in classes:
        items = (bank.classes == c.id).nonzero()[:, 0].tolist()
        own = int((nearest[items] == c.id).sum())
        title = np.full((CROP, TITLE_WIDTH, 3), 24, np.uint8)
        title[:, :8] = c.colour
        cv2.putText(title, c.name, (16, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (235,) * 3, 1)
        share = f"{own}/{len(items)} near own"
        cv2.putText(title, share, (16, 66), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (180,) * 3, 1)
        crops = [_crop(samples, target, stride, *bank.places[i].tolist()) for i in items]
        rows.append(np.hstack([title, *crops]))
    return np.vstack(rows)


def _crop(
    samples: Samples, target: int, stride: float, sample: int, row: int, column: int
) -> np.ndarray:
    images = samples[sample].images
    image = images[min(target, len(images) - 1)]
    half = CROP // 2
    padded = cv2.copyMakeBorder(image, half, half, half, half, cv2.BORDER_CONSTANT)
    y, x = int((row + 0.5) * stride), int((column + 0.5) * stride)
    crop = padded[y : y + CROP, x : x + CROP].copy()
    side = int(stride / 2)
    cv2.rectangle(crop, (half - side,) * 2, (half + side,) * 2, (255, 255, 0))
    return np.pad(crop[1:-1, 1:-1], ((1, 1), (1, 1), (0, 0)))
