"""The confusion matrix and what follows from it: IoU, mIoU, pixel accuracy."""

from __future__ import annotations

import numpy as np


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
