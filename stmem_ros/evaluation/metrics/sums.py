"""All that is added up over the frames of a replay or of a data set."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from stmem_ros.evaluation.metrics.accumulator import Accumulator, MeanShare
from stmem_ros.evaluation.metrics.boundary import BoundaryScores
from stmem_ros.evaluation.metrics.calibration import Calibration
from stmem_ros.evaluation.metrics.confusion import ConfusionMatrix
from stmem_ros.evaluation.metrics.grid_scores import GridAgreement, GridCoverage
from stmem_ros.evaluation.metrics.temporal import Flicker


class FrameCounts(Accumulator):
    """What became of the frames.

    Attributes:
        labelled, dropped, late, invalid, unlabelled: frames in each ``FrameState``.
        restarts: labelled frames the stream began anew with.
        scored: labelled frames with a reference.
        maps: frames that updated the grid.
        grid_age: microseconds from the newest grid to each frame, added.
        aged: frames with such a grid.
    """

    SUMS = (
        "labelled", "dropped", "late", "invalid", "unlabelled", "restarts", "scored", "maps",
        "grid_age", "aged",
    )  # fmt: skip

    def __init__(self) -> None:
        self.labelled = np.zeros((), np.int64)
        self.dropped = np.zeros((), np.int64)
        self.late = np.zeros((), np.int64)
        self.invalid = np.zeros((), np.int64)
        self.unlabelled = np.zeros((), np.int64)
        self.restarts = np.zeros((), np.int64)
        self.scored = np.zeros((), np.int64)
        self.maps = np.zeros((), np.int64)
        self.grid_age = np.zeros((), np.int64)
        self.aged = np.zeros((), np.int64)

    @property
    def frames(self) -> int:
        """All of them."""
        refused = self.late + self.invalid
        return int(self.labelled + self.dropped + refused + self.unlabelled)


@dataclass
class Sums:
    """Accumulators of one replay, or of many added together (``+=``, exact in any order)."""

    confusion: ConfusionMatrix
    boundary: BoundaryScores
    calibration: Calibration
    steady: ConfusionMatrix
    flicker: Flicker
    vc8: MeanShare
    vc16: MeanShare
    counts: FrameCounts
    coverage: GridCoverage
    agreement: GridAgreement

    @classmethod
    def zero(cls, classes: int) -> Sums:
        """Nothing yet, of a label set of ``classes`` classes."""
        return cls(
            ConfusionMatrix(classes),
            BoundaryScores(classes),
            Calibration(),
            ConfusionMatrix(classes),
            Flicker(classes),
            MeanShare(),
            MeanShare(),
            FrameCounts(),
            GridCoverage(),
            GridAgreement(),
        )

    def __iadd__(self, other: Sums) -> Sums:
        for part in fields(self):
            accumulator = getattr(self, part.name)
            accumulator += getattr(other, part.name)
        return self

    def to_json(self) -> dict[str, Any]:
        """The counts, by accumulator."""
        return {part.name: getattr(self, part.name).to_json() for part in fields(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any], classes: int) -> Sums:
        """The counts of :meth:`to_json`."""
        sums = cls.zero(classes)
        for part in fields(sums):
            getattr(sums, part.name).load_json(content[part.name])
        return sums
