"""What moves along with a camera, told by edges that stand still while all else goes by.

The outline of a hood, a gripper or a mirror is seen at the same pixels, with the same direction, in
nearly every image; edges of the world pass. What such outlines cut off from the rest is masked.
"""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT = 360  # pixels; larger images are looked at in this size
MOVED = 3.0  # grey levels, on average, by which an image differs from one of another place
STEEP = 4.0  # grey levels a pixel from which on there is an edge
PRESENT = 0.7  # of the images that show a still edge
STEADY = 0.8  # how alike its directions are, 0 to 1
FEWEST = 20  # images of a moving camera, to tell what stands still
SMALLEST_SHARE = 0.002  # of the image, of what is masked
LARGEST_SHARE = 0.5  # of the image, that may be cut off
GAP = 1 / 60  # of the height: gaps in an outline that are closed
MARGIN = 1 / 120  # of the height, around what is masked, where labels are unsure


class StillEdgesError(ValueError):
    """No mask can be told; the message says why."""


class StillEdges:
    """Edges of the images of a camera that moves, added up one image after the other.

    Attributes:
        count: images so far, without those of a camera that stands.
    """

    def __init__(self) -> None:
        self.count = 0
        self._size = (0, 0)
        self._last: np.ndarray = np.zeros((0, 0), np.float32)  # the image that was added last
        self._present = np.zeros(0, np.int32)
        self._direction = np.zeros(0, np.complex64)

    def add(self, rgb: np.ndarray) -> None:
        """Add an image, H x W x 3 uint8, if the camera moved since the last one.

        Raises:
            StillEdgesError: it has another size than those before.
        """
        height, width = rgb.shape[:2]
        if self.count == 0:
            self._size = (height, width)
        elif self._size != (height, width):
            raise StillEdgesError(
                f"images are of {self._size[1]} x {self._size[0]} and {width} x {height} pixels; a "
                "mask is of one size: take recordings of one"
            )
        scale = min(1.0, HEIGHT / height)
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        smooth = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1.0)
        if self.count and np.abs(smooth - self._last).mean() < MOVED:
            return
        self._last = smooth
        slope = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
        slope /= 8  # as the operator adds them up
        steep = np.abs(slope) > STEEP
        # Squared, so that an edge is the same whichever of its sides is the brighter one.
        direction = np.where(steep, slope**2 / np.maximum(np.abs(slope) ** 2, 1e-6), 0)
        self._present = self._present + steep if self.count else steep.astype(np.int32)
        self._direction = self._direction + direction if self.count else direction
        self.count += 1

    def mask(self) -> np.ndarray:
        """Where to label nothing, H x W bool, of the images' size.

        Raises:
            StillEdgesError: the images are few, the camera stands still, or nothing stands still.
        """
        if self.count < FEWEST:
            raise StillEdgesError(
                f"{self.count} images of a camera that moves are too few; "
                f"{FEWEST} or more are needed"
            )
        present = self._present / self.count
        steady = np.abs(self._direction) / np.maximum(self._present, 1)
        still = (present >= PRESENT) & (steady >= STEADY)
        height = len(still)
        reach = 2 * round(height * GAP / 2) + 1
        walls = cv2.morphologyEx(still.astype(np.uint8), cv2.MORPH_CLOSE, _disc(reach))
        masked = _cut_off(walls)
        share = masked.mean()
        if share > LARGEST_SHARE:
            raise StillEdgesError(
                f"{share:.0%} of the image would be masked: the camera moves too little, or always "
                "in one way; take a recording with turns"
            )
        if not masked.any():
            raise StillEdgesError("no outline stands still in the images: there is nothing to mask")
        margin = 2 * max(1, round(height * MARGIN)) + 1
        grown = cv2.dilate(masked.astype(np.uint8), _disc(margin))
        size = self._size[::-1]
        return cv2.resize(grown, size, interpolation=cv2.INTER_NEAREST).astype(bool)


def _cut_off(walls: np.ndarray) -> np.ndarray:
    """What walls cut off from the largest part of an image, and the walls beside it; bool."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(1 - walls, connectivity=4)
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the walls
    is_masked = areas >= SMALLEST_SHARE * walls.size
    is_masked[areas.argmax()] = False
    inside = is_masked[parts]
    near = cv2.dilate(inside.astype(np.uint8), _disc(7)) > 0
    return inside | (near & (walls > 0))


def _disc(side: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
