"""What a data set is: unbroken runs of frames, some or all of them with labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from stmem_ros.data.classes import SemanticClass

DATASETS = ("camvid", "cityscapes", "video_folder", "synthetic")
WINDOW_RATE = 4.0  # Hz; frames farther apart than this are no window in time


class DatasetError(ValueError):
    """A data set cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Clip:
    """An unbroken run: the names of its frames in order and their rate in Hz."""

    sequence: str
    names: tuple[str, ...]
    rate: float

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

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""

    def label(self, name: str) -> np.ndarray | None:
        """Class ids uint8, H x W, 255 unlabelled; None for a frame without labels."""

    def has_label(self, name: str) -> bool:
        """Whether a frame has labels."""


def open_dataset(
    name: str, root: Path, split: str, before: int = 0, after: int = 0, missing: str = "error"
) -> SegmentationDataset:
    """Open a split by the name of its data set, one of ``DATASETS``.

    Args:
        root: the data set's folder; the synthetic world needs none.
        before, after: frames around a labelled one that a window needs; only Cityscapes, where one
            frame of each snippet is labelled, has to be told.
        missing: where such a frame is not on disk: ``error``, or ``repeat`` its neighbour.

    Raises:
        DatasetError: unknown name, or the data are not there as documented.
    """
    from stmem_ros.data.camvid import CamVid
    from stmem_ros.data.cityscapes import Cityscapes
    from stmem_ros.data.synthetic.dataset import SyntheticDrives
    from stmem_ros.data.video_folder import VideoFolder

    if name == "camvid":
        return CamVid(root, split)
    if name == "cityscapes":
        return Cityscapes(root, split, before, after, missing)
    if name == "video_folder":
        return VideoFolder(root, split)
    if name == "synthetic":
        return SyntheticDrives(split)
    raise DatasetError(f"data set is {name!r}; allowed: {', '.join(DATASETS)}")
