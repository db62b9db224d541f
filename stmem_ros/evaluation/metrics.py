"""Figures of merit of label images."""

from __future__ import annotations

import cv2
import numpy as np

from stmem_ros.data.classes import UNLABELLED


class ConfusionMatrix:
    """Counts of (reference, prediction) pairs; unlabelled reference pixels are left out.

    Attributes:
        counts: classes x classes int64, rows are the reference.
        missed: reference pixels of each class for which no class was predicted.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)
        self.missed = np.zeros(classes, np.int64)

    def add(self, reference: np.ndarray, predicted: np.ndarray) -> None:
        """Add one pair of label images of equal shape, uint8; 255 is unlabelled.

        A prediction that is no class counts as an error of the reference's class.
        """
        if reference.shape != predicted.shape:
            raise ValueError(
                f"reference is {reference.shape} and prediction {predicted.shape}; "
                "they must have the same size"
            )
        classes = len(self.counts)
        known = reference < classes
        pairs = reference[known].astype(np.int64) * 256 + predicted[known]
        table = np.bincount(pairs, minlength=classes * 256).reshape(classes, 256)
        self.counts += table[:, :classes]
        self.missed += table[:, classes:].sum(axis=1)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class, NaN for a class that occurs in neither."""
        hits = np.diag(self.counts).astype(float)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) + self.missed - hits
        with np.errstate(invalid="ignore"):
            return np.where(union > 0, hits / union, np.nan)

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur."""
        return float(np.nanmean(self.iou)) if self.counts.any() else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of labelled pixels that are right."""
        total = self.counts.sum() + self.missed.sum()
        return float(np.trace(self.counts) / total) if total else float("nan")


def warp_label(label: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """A label image carried from one frame to the next by optical flow (OpenCV DIS, medium).

    Args:
        label: H x W uint8, labels of ``before``.
        before, after: the two frames, grey, H x W uint8.

    Returns:
        The labels as they would lie in ``after``, 255 where the flow leaves the image.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # Each pixel of `after` looks up where it came from: the flow backwards in time.
    flow = dis.calc(after, before, np.empty(0, np.float32))
    rows, columns = np.indices(label.shape, dtype=np.float32)
    return cv2.remap(
        label,
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNLABELLED,
    )


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
