"""How well labels follow the edges of things."""

from __future__ import annotations

import cv2
import numpy as np

from stmem_ros.evaluation.metrics.accumulator import Accumulator

TOLERANCE = 0.0075  # of the image diagonal, as in Csurka et al. and the DAVIS benchmark
BAND = 0.02  # of the image diagonal, as in Cheng et al.


class BoundaryScores(Accumulator):
    """Boundary F (Csurka et al., BMVC 2013) and boundary IoU (Cheng et al., CVPR 2021).

    Both are counted over all frames for each class and averaged over the classes that occur.
    Unlabelled reference pixels are left out of both images.

    Attributes:
        hits: boundary pixels of each class that the other image matches, classes x 2: of the
            prediction, of the reference.
        totals: all boundary pixels, as ``hits``.
        common, union: pixels of each class in the bands along the boundaries: in both, in either.
    """

    SUMS = ("hits", "totals", "common", "union")

    def __init__(self, classes: int) -> None:
        self.hits = np.zeros((classes, 2), np.int64)
        self.totals = np.zeros((classes, 2), np.int64)
        self.common = np.zeros(classes, np.int64)
        self.union = np.zeros(classes, np.int64)

    def add(self, reference: np.ndarray, predicted: np.ndarray) -> None:
        """Add a pair of label images, H x W uint8; 255 is unlabelled."""
        classes = len(self.union)
        known = reference < classes
        for c in np.union1d(reference[known], predicted[known]):
            if c < classes:
                self._add_class(c, reference == c, (predicted == c) & known, known)

    def _add_class(
        self, c: int, reference: np.ndarray, predicted: np.ndarray, known: np.ndarray
    ) -> None:
        """Add the masks of one class; ``known`` are the pixels with a reference."""
        diagonal = float(np.hypot(*reference.shape))
        reach = max(1, round(TOLERANCE * diagonal))
        edges = [_edge(mask) & known for mask in (predicted, reference)]
        for i, (edge, other_edge) in enumerate((edges, edges[::-1])):
            self.hits[c, i] += (edge & _within(other_edge, reach)).sum()
            self.totals[c, i] += edge.sum()
        width = max(1, round(BAND * diagonal))
        bands = [mask & ~_eroded(mask, width) for mask in (predicted, reference)]
        self.common[c] += (bands[0] & bands[1]).sum()
        self.union[c] += (bands[0] | bands[1]).sum()

    @property
    def f(self) -> float:
        """Mean boundary F of the classes that occur, NaN without any."""
        return boundary_f(self.hits, self.totals)

    @property
    def iou(self) -> float:
        """Mean boundary IoU of the classes that occur, NaN without any."""
        occurs = self.union > 0
        if not occurs.any():
            return float("nan")
        return float((self.common[occurs] / self.union[occurs]).mean())


def boundary_f(hits: np.ndarray, totals: np.ndarray) -> float:
    """Mean boundary F of counts as in :class:`BoundaryScores`, NaN without any boundary."""
    occurs = totals.sum(axis=1) > 0
    if not occurs.any():
        return float("nan")
    precision, recall = (hits / np.maximum(totals, 1))[occurs].T
    return float(np.mean(2 * precision * recall / np.maximum(precision + recall, 1e-12)))


def _edge(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask that touch its outside, by a side; the image's border is no edge."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return mask & (cv2.erode(mask.astype(np.uint8), cross, borderValue=1) == 0)


def _within(mask: np.ndarray, reach: int) -> np.ndarray:
    """Pixels at most ``reach`` pixels away from the mask."""
    if not mask.any():
        return mask
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= reach


def _eroded(mask: np.ndarray, width: int) -> np.ndarray:
    """The mask without its pixels closer than ``width`` to its outside or the image's border."""
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance[1:-1, 1:-1] > width
