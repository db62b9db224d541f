"""The confusion matrix and what follows from it: IoU, mIoU, pixel accuracy."""

from __future__ import annotations

import numpy as np

from stmem_ros.evaluation.metrics.accumulator import Accumulator


class ConfusionMatrix(Accumulator):
    """Counts of (reference, prediction) pairs; unlabelled reference pixels are left out.

    Attributes:
        counts: classes x classes int64, rows are the reference.
        missed: reference pixels of each class for which no class was predicted.
    """

    SUMS = ("counts", "missed")

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
    def hits(self) -> np.ndarray:
        """Pixels of each class that are right."""
        return np.diag(self.counts)

    @property
    def union(self) -> np.ndarray:
        """Pixels of each class in the reference, the prediction or both."""
        return self.counts.sum(axis=0) + self.counts.sum(axis=1) + self.missed - self.hits

    @property
    def labelled(self) -> int:
        """Pixels that were compared."""
        return int(self.counts.sum() + self.missed.sum())

    @property
    def shares(self) -> np.ndarray:
        """Share of each class in the reference."""
        return (self.counts.sum(axis=1) + self.missed) / max(1, self.labelled)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class, NaN for a class that occurs in neither."""
        with np.errstate(invalid="ignore"):
            return np.where(self.union > 0, self.hits / self.union, np.nan)

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur."""
        return float(np.nanmean(self.iou)) if self.counts.any() else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of labelled pixels that are right."""
        return float(self.hits.sum() / self.labelled) if self.labelled else float("nan")
