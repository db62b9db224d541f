"""IDD Lite: Indian roads with seven coarse classes (Varma et al., WACV 2019).

``images/DRIVE_FRAME.jpg``, ``labels/DRIVE_FRAME.png`` (0..6, 255 unlabelled) and
``unlabelled/DRIVE_FRAME.jpg``. The frames of a drive lie far apart in time.
"""

from __future__ import annotations

import zlib
from itertools import groupby
from pathlib import Path

import numpy as np

from stmem_ros.classes import IDD_LITE
from stmem_ros.data.dataset import Clip, DatasetError
from stmem_ros.io.image_folder import is_hidden
from stmem_ros.io.images import read_label, read_rgb

SPLITS = ("train", "val", "unlabelled")
HELD_OUT = 8  # one of so many drives is of the split val
RATE = 0.1  # Hz, at most


class IddLite:
    """A split of IDD Lite on disk.

    ``train`` and ``val`` are whole drives of the labelled frames, told apart by a checksum of the
    drive's number, so that any part of the data is split alike. (The published validation frames
    are neither.)

    Args:
        root: folder in the layout above.
        split: one of ``SPLITS``.

    Raises:
        DatasetError: another split, or no frames.
    """

    classes = IDD_LITE
    unknown = 0  # every value may be meant

    def __init__(self, root: Path, split: str) -> None:
        if split not in SPLITS:
            raise DatasetError(f"IDD Lite has no split {split!r}; it has: {', '.join(SPLITS)}")
        self.root = Path(root)
        self._folder = self.root / ("unlabelled" if split == "unlabelled" else "images")
        names = sorted(p.stem for p in self._folder.glob("*_*.jpg") if not is_hidden(p))
        self.clips = tuple(
            Clip(drive, tuple(frames), RATE)
            for drive, frames in groupby(names, key=_drive)
            if split == "unlabelled" or (split == "val") == is_held_out(drive)
        )
        if not self.clips:
            raise DatasetError(
                f"no frames DRIVE_FRAME.jpg of the split {split!r} in {self._folder}"
            )

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""
        return read_rgb(self._folder / f"{name}.jpg")

    def label(self, name: str) -> np.ndarray | None:
        """Class ids uint8, H x W, 255 unlabelled; None for a frame without labels."""
        return read_label(self.label_path(name)) if self.has_label(name) else None

    def has_label(self, name: str) -> bool:
        """Whether a frame has labels."""
        return self.label_path(name).is_file()

    def label_path(self, name: str) -> Path:
        """Where the labels of a frame lie, or would."""
        return self.root / "labels" / f"{name}.png"


def is_held_out(drive: str) -> bool:
    """Whether the frames of a drive, named by its number, are of the split ``val``."""
    return zlib.crc32(drive.encode()) % HELD_OUT == 0


def _drive(name: str) -> str:
    return name.split("_")[0]
