"""Motion between two images: dense optical flow, and carrying images along it."""

from __future__ import annotations

import cv2
import numpy as np


def optical_flow(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where each pixel of ``image`` lies in ``other``: x and y shift in pixels, H x W x 2 float32.

    Both are grey, H x W uint8; OpenCV's DIS (Kroeger et al., ECCV 2016), preset medium.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return dis.calc(image, other, np.empty(0, np.float32))


def affine_flow(other_from_image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The flow of an affine map (3 x 3) of pixels, H x W x 2 float32."""
    rows, columns = np.indices(size)
    points = np.stack([columns, rows, np.ones(size)], axis=-1) @ other_from_image.T
    return (points[..., :2] - np.stack([columns, rows], axis=-1)).astype(np.float32)


def warp(other: np.ndarray, flow: np.ndarray, interpolation: int, outside: int = 0) -> np.ndarray:
    """Values H x W (x channels) looked up where ``flow`` points; ``outside`` beyond the image."""
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    return cv2.remap(
        other,
        columns + flow[..., 0],
        rows + flow[..., 1],
        interpolation,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=outside,
    )
