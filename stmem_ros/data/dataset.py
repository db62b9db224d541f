"""What a data set is: unbroken runs of frames, some or all of them with labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from stmem_ros.classes import SemanticClass

WINDOW_RATE = 4.0  # Hz; frames farther apart than this are no window in time


class DatasetError(ValueError):
    """A data set cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Clip:
    """An unbroken run: the names of its frames in order and their rate in Hz.

    Raises:
        DatasetError: on construction, without frames or with a rate that is none.
    """

    sequence: str
    names: tuple[str, ...]
    rate: float

    def __post_init__(self) -> None:
        if not self.names:
            raise DatasetError(f"sequence {self.sequence!r} has no frames; fill it or remove it")
        if not 0 < self.rate < math.inf:
            raise DatasetError(
                f"sequence {self.sequence!r} has a rate of {self.rate} Hz; it must be positive"
            )

    @property
    def is_video(self) -> bool:
        """Whether successive frames are close enough to form temporal windows."""
        return self.rate >= WINDOW_RATE and len(self.names) > 1


class SegmentationDataset(Protocol):
    """One split of a data set.

    Attributes:
        classes: the label set.
        clips: all frames, in unbroken runs.
    """

    classes: tuple[SemanticClass, ...]
    clips: tuple[Clip, ...]

    @property
    def unknown(self) -> int:
        """Pixels of the labels read so far whose value means nothing to the data set."""

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""

    def label(self, name: str) -> np.ndarray | None:
        """Class ids uint8, H x W, 255 unlabelled; None for a frame without labels."""

    def has_label(self, name: str) -> bool:
        """Whether a frame has labels."""

    def label_path(self, name: str) -> Path:
        """Where the labels of a frame lie, or would; for messages."""
