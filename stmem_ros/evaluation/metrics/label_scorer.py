"""Scoring labels frame by frame: of a data set's clips and of replayed bags alike."""

from __future__ import annotations

import numpy as np

from stmem_ros.evaluation.metrics.sums import Sums
from stmem_ros.evaluation.metrics.temporal import TemporalConsistency, VideoConsistency


class LabelScorer:
    """Adds up the scores of labelled frames that come in order.

    Attributes:
        sums: of all frames.
    """

    def __init__(self, classes: int) -> None:
        self.sums = Sums.zero(classes)
        self._classes = classes
        self._consistency = TemporalConsistency(classes)
        self._vc8, self._vc16 = VideoConsistency(8), VideoConsistency(16)
        self._stamp = 0.0

    def restart(self) -> None:
        """The next frame does not follow the last one."""
        self._consistency.restart()
        self._restart_runs()

    def add(
        self,
        rgb: np.ndarray,
        label: np.ndarray,
        confidence: np.ndarray | None,
        reference: np.ndarray | None,
        stamp: float,
        left_out: np.ndarray | None = None,
    ) -> Sums:
        """Add a frame.

        Args:
            rgb: H x W x 3 uint8.
            label: H x W uint8.
            confidence: H x W uint8, None where a model gives none.
            reference: H x W uint8, 255 unlabelled; None without. Video consistency counts frames
                in a row that have one.
            stamp: seconds.
            left_out: pixels that are not to be labelled, H x W bool, and have no reference.

        Returns:
            What the frame added to ``sums``.
        """
        frame = Sums.zero(self._classes)
        pair = self._consistency.add(rgb, label, left_out)
        if pair is not None:
            frame.steady += pair
            frame.flicker.add(pair, stamp - self._stamp)
        self._stamp = stamp
        if confidence is not None:
            frame.calibration.add(reference, label, confidence, self._classes, left_out)
        if reference is None:
            self._restart_runs()
        else:
            frame.counts.scored += 1
            frame.confusion.add(reference, label)
            frame.boundary.add(reference, label)
            for run, mean in ((self._vc8, frame.vc8), (self._vc16, frame.vc16)):
                share = run.add(reference, label)
                if share is not None:
                    mean.add(share)
        self.sums += frame
        return frame

    def _restart_runs(self) -> None:
        self._vc8.restart()
        self._vc16.restart()
