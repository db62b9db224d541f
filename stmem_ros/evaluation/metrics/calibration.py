"""Whether a model is as often right as it is sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stmem_ros.evaluation.metrics.accumulator import Accumulator

BINS = 15  # as in Guo et al., ICML 2017
LEVELS = 256  # of a confidence image


@dataclass(frozen=True)
class ConfidenceBins:
    """``BINS`` bins of equal width over the confidence 0..1.

    Attributes:
        known: pixels with a reference label.
        right: those of them whose label is right.
        confidence: of the known pixels, added.
    """

    known: np.ndarray
    right: np.ndarray
    confidence: np.ndarray


class Calibration(Accumulator):
    """Expected calibration error (Naeini et al., AAAI 2015) of confidence images.

    Attributes:
        pixels: pixels of each confidence level 0..255, whether or not there is a reference.
        known: those of them with a reference label.
        right: those of them whose label is right.
    """

    SUMS = ("pixels", "known", "right")

    def __init__(self) -> None:
        self.pixels = np.zeros(LEVELS, np.int64)
        self.known = np.zeros(LEVELS, np.int64)
        self.right = np.zeros(LEVELS, np.int64)

    def add(
        self,
        reference: np.ndarray | None,
        label: np.ndarray,
        confidence: np.ndarray,
        classes: int,
        left_out: np.ndarray | None = None,
    ) -> None:
        """Add a frame: reference (None without) and label H x W uint8, confidence x 255 H x W.

        ``left_out``: pixels without a reference that do not count either, H x W bool.
        """
        counted = confidence.reshape(-1) if left_out is None else confidence[~left_out]
        self.pixels += np.bincount(counted, minlength=LEVELS)
        if reference is None:
            return
        known = reference < classes
        self.known += np.bincount(confidence[known], minlength=LEVELS)
        self.right += np.bincount(confidence[known & (reference == label)], minlength=LEVELS)

    @property
    def mean_confidence(self) -> float:
        """Of all pixels, 0..1; NaN without any."""
        total = self.pixels.sum()
        levels = (self.pixels * np.arange(LEVELS)).sum()
        return float(levels / total / (LEVELS - 1)) if total else float("nan")

    @property
    def bins(self) -> ConfidenceBins:
        """The pixels with a reference label, by their confidence."""
        level = np.arange(LEVELS)
        bin_of_level = np.minimum(level * BINS // (LEVELS - 1), BINS - 1)
        return ConfidenceBins(
            known=np.bincount(bin_of_level, self.known, BINS),
            right=np.bincount(bin_of_level, self.right, BINS),
            confidence=np.bincount(bin_of_level, self.known * level, BINS) / (LEVELS - 1),
        )

    @property
    def ece(self) -> float:
        """Mean over the pixels of |share that is right - confidence| of their bin; NaN of none."""
        total = self.known.sum()
        if not total:
            return float("nan")
        bins = self.bins
        return float(np.abs(bins.right - bins.confidence).sum() / total)
