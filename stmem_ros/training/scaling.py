"""Images and labels of a data set scaled to one height, that of the images a network is for."""

from __future__ import annotations

import cv2
import numpy as np


def scaled_image(image: np.ndarray, height: int) -> np.ndarray:
    """An image, H x W x 3 uint8, of another height; of its own where that is 0."""
    return cv2.resize(image, _size(image, height), interpolation=cv2.INTER_LINEAR)


def scaled_label(label: np.ndarray, height: int) -> np.ndarray:
    """Label values, H x W uint8, of another height; of their own where that is 0."""
    return cv2.resize(label, _size(label, height), interpolation=cv2.INTER_NEAREST)


def _size(image: np.ndarray, height: int) -> tuple[int, int]:
    height = height or image.shape[0]
    return round(image.shape[1] * height / image.shape[0]), height
