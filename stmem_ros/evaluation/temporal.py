"""How steady labels are over time."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from stmem_ros.data.classes import UNLABELLED
from stmem_ros.data.motion import optical_flow, warp
from stmem_ros.evaluation.confusion import ConfusionMatrix


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

    def add(self, rgb: np.ndarray, label: np.ndarray) -> None:
        """Add the next frame, H x W x 3 and H x W uint8."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        if self._last is not None and self._last[0].shape == grey.shape:
            self.confusion.add(warp_label(self._last[1], self._last[0], grey), label)
        self._last = (grey, label)

    def restart(self) -> None:
        """The next frame does not follow the last one."""
        self._last = None


class VideoConsistency:
    """VC of ``length`` frames (Miao et al., VSPW, CVPR 2021).

    Over every run of ``length`` frames: of the pixels whose reference label stays the same, the
    share that is predicted right in all of them. The figure is the mean over the runs.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._references: deque[np.ndarray] = deque(maxlen=length)
        self._predictions: deque[np.ndarray] = deque(maxlen=length)
        self._shares: list[float] = []

    def add(self, reference: np.ndarray, predicted: np.ndarray) -> None:
        """Add the next frame's labels, H x W uint8; 255 is unlabelled."""
        self._references.append(reference)
        self._predictions.append(predicted)
        if len(self._references) < self.length:
            return
        same = self._references[0] != UNLABELLED
        for later in self._references:
            same &= later == self._references[0]
        if not same.any():
            return
        right = same.copy()
        for prediction in self._predictions:
            right &= prediction == self._references[0]
        self._shares.append(float(right.sum() / same.sum()))

    def restart(self) -> None:
        """The next frame does not follow the last one."""
        self._references.clear()
        self._predictions.clear()

    @property
    def value(self) -> float:
        """Mean share over the runs, NaN without any."""
        return float(np.mean(self._shares)) if self._shares else float("nan")
