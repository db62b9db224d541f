"""CamVid: road scenes with labels of 11 classes (Brostow et al., PRL 2009).

Layout of the folder: ``images/NAME.jpg``, ``labels/NAME.png`` (0..10, 255 unlabelled) and
``clips.json`` with the unbroken runs of each split.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stmem_ros.data.classes import CAMVID
from stmem_ros.data.images import read_label, read_rgb


@dataclass(frozen=True)
class Clip:
    """Frames in an unbroken run: names in order and the rate they were labelled at, in Hz."""

    sequence: str
    names: tuple[str, ...]
    rate: float


class CamVid:
    """A split of CamVid on disk.

    Args:
        root: folder in the layout above.
        split: ``train``, ``val`` or ``test``.

    Raises:
        FileNotFoundError: the folder or one of its lists is missing.
    """

    classes = CAMVID

    def __init__(self, root: Path, split: str) -> None:
        self.root = Path(root)
        index = self.root / "clips.json"
        if not index.is_file():
            raise FileNotFoundError(
                f"{index} is missing; give the folder that holds images/, labels/ and clips.json"
            )
        runs = json.loads(index.read_text())
        self.clips = tuple(
            Clip(run["sequence"], tuple(run["names"]), float(run["rate_hz"]))
            for run in runs
            if run["split"] == split
        )
        if not self.clips:
            known = ", ".join(sorted({run["split"] for run in runs}))
            raise FileNotFoundError(f"{index} has no split {split!r}; it has: {known}")
        self.names = tuple(name for clip in self.clips for name in clip.names)

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""
        return read_rgb(self.root / "images" / f"{name}.jpg")

    def label(self, name: str) -> np.ndarray:
        """Class ids uint8, H x W, 255 unlabelled."""
        return read_label(self.root / "labels" / f"{name}.png")

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for name in self.names:
            yield self.image(name), self.label(name)
