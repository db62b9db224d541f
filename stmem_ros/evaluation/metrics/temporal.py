"""How steady labels are over time."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.optical_flow import optical_flow, warp
from stmem_ros.evaluation.metrics.accumulator import Accumulator, MeanShare
from stmem_ros.evaluation.metrics.confusion import ConfusionMatrix


def warp_label(label: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """A label image carried from one frame to the next by optical flow (OpenCV DIS, medium).

    Args:
        label: H x W uint8, labels of ``before``.
        before, after: the two frames, grey, H x W uint8.

    Returns:
        The labels as they would lie in ``after``, 255 where the flow leaves the image.
    """
    return warp(label, optical_flow(after, before), cv2.INTER_NEAREST, UNLABELLED)


class TemporalConsistency:
    """How well labels follow the image motion: mIoU of each label against the warped one before.

    The figure of the clip is taken over one confusion matrix of all pairs of successive frames.
    """

    def __init__(self, classes: int) -> None:
        self.confusion = ConfusionMatrix(classes)
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def add(
        self, rgb: np.ndarray, label: np.ndarray, left_out: np.ndarray | None = None
    ) -> ConfusionMatrix | None:
        """Add the next frame, H x W x 3 and H x W uint8; ``left_out``: pixels that do not count.

        Returns:
            Warped labels of the frame before (rows) against these; None without a frame before.
        """
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        pair = None
        if self._last is not None and self._last[0].shape == grey.shape:
            pair = ConfusionMatrix(len(self.confusion.counts))
            before = warp_label(self._last[1], self._last[0], grey)
            if left_out is not None:
                before[left_out] = UNLABELLED
            pair.add(before, label)
            self.confusion += pair
        self._last = (grey, label)
        return pair

    def restart(self) -> None:
        """The next frame does not follow the last one."""
        self._last = None


class Flicker(Accumulator):
    """How often labels change along the image motion.

    Attributes:
        changes: pixels whose label changed, by the class before.
        exposure: pixel-microseconds they were watched for, by the class before.
    """

    SUMS = ("changes", "exposure")

    def __init__(self, classes: int) -> None:
        self.changes = np.zeros(classes, np.int64)
        self.exposure = np.zeros(classes, np.int64)

    def add(self, pair: ConfusionMatrix, seconds: float) -> None:
        """Add two frames that lie ``seconds`` apart, as :class:`TemporalConsistency` pairs them."""
        watched = pair.counts.sum(axis=1) + pair.missed
        self.changes += watched - pair.hits
        self.exposure += watched * round(1e6 * seconds)

    @property
    def rate(self) -> float:
        """Changes per pixel and second, NaN if nothing was watched."""
        watched = self.exposure.sum()
        return float(1e6 * self.changes.sum() / watched) if watched else float("nan")

    @property
    def class_rates(self) -> np.ndarray:
        """The same for each class before the change, NaN for a class that did not occur."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.exposure > 0, 1e6 * self.changes / self.exposure, np.nan)


class VideoConsistency:
    """VC of ``length`` frames (Miao et al., VSPW, CVPR 2021).

    Over every run of ``length`` frames: of the pixels whose reference label stays the same, the
    share that is predicted right in all of them. The figure is the mean over the runs.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._references: deque[np.ndarray] = deque(maxlen=length)
        self._predictions: deque[np.ndarray] = deque(maxlen=length)
        self.shares = MeanShare()

    def add(self, reference: np.ndarray, predicted: np.ndarray) -> float | None:
        """Add the next frame's labels, H x W uint8; 255 is unlabelled.

        Returns:
            The share of the run that ends here; None if it is too short or nothing stays the same.
        """
        if self._references and self._references[0].shape != reference.shape:
            self.restart()
        self._references.append(reference)
        self._predictions.append(predicted)
        if len(self._references) < self.length:
            return None
        same = self._references[0] != UNLABELLED
        for later in self._references:
            same &= later == self._references[0]
        if not same.any():
            return None
        right = same.copy()
        for prediction in self._predictions:
            right &= prediction == self._references[0]
        share = float(right.sum() / same.sum())
        self.shares.add(share)
        return share

    def restart(self) -> None:
        """The next frame does not follow the last one."""
        self._references.clear()
        self._predictions.clear()

    @property
    def value(self) -> float:
        """Mean share over the runs, NaN without any."""
        return self.shares.value
