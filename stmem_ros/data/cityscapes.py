"""Cityscapes in its official layout (Cordts et al., CVPR 2016).

Images are ``leftImg8bit_sequence/SPLIT/CITY/CITY_SNIPPET_FRAME_leftImg8bit.png`` (``leftImg8bit``
will do where no neighbours are needed), labels are
``gtFine/SPLIT/CITY/CITY_SNIPPET_FRAME_gtFine_labelIds.png``. One frame of each 30-frame snippet is
labelled; label ids are mapped to the 19 train ids.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stmem_ros.classes import CITYSCAPES, UNLABELLED
from stmem_ros.data.dataset import Clip, DatasetError
from stmem_ros.io.image_folder import is_hidden
from stmem_ros.io.images import read_label, read_rgb

RATE = 17.0  # Hz

# Label id of each train id, in their order.
_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
LAST_ID = 33  # of all classes; many of them are void
TRAIN_IDS = np.full(256, UNLABELLED, np.uint8)
TRAIN_IDS[list(_LABEL_IDS)] = range(len(_LABEL_IDS))


class Cityscapes:
    """A split of Cityscapes; each clip is a labelled frame with the neighbours that are asked for.

    Args:
        root: folder with ``gtFine`` and the images.
        split: ``train``, ``val`` or ``test``.
        before, after: neighbours of the labelled frame, in frames.
        missing: for a neighbour that is not on disk, ``error`` or ``repeat`` the nearest frame.

    Attributes:
        unknown: pixels of the labels read so far whose id is none of Cityscapes'.

    Raises:
        DatasetError: folders or frames are missing.
    """

    classes = CITYSCAPES

    def __init__(
        self, root: Path, split: str, before: int = 0, after: int = 0, missing: str = "error"
    ) -> None:
        if missing not in ("error", "repeat"):
            raise DatasetError(f"missing is {missing!r}; allowed: error, repeat")
        self.root = Path(root)
        self.unknown = 0
        self._split = split
        sequences = self.root / "leftImg8bit_sequence"
        self._images = sequences if sequences.is_dir() else self.root / "leftImg8bit"
        folder = self.root / "gtFine" / split
        labels = sorted(p for p in folder.glob("*/*_gtFine_labelIds.png") if not is_hidden(p))
        if not labels:
            raise DatasetError(f"no *_gtFine_labelIds.png in the cities of {folder}")
        names = [path.name.removesuffix("_gtFine_labelIds.png") for path in labels]
        self.clips = tuple(self._clip(name, before, after, missing) for name in names)

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""
        return read_rgb(self._image_path(name))

    def label(self, name: str) -> np.ndarray | None:
        """Train ids uint8, H x W, 255 unlabelled; None for a neighbour without labels."""
        if not self.has_label(name):
            return None
        ids = read_label(self.label_path(name))
        self.unknown += int(np.count_nonzero((ids > LAST_ID) & (ids != UNLABELLED)))
        return TRAIN_IDS[ids]

    def has_label(self, name: str) -> bool:
        """Whether a frame has labels."""
        return self.label_path(name).is_file()

    def label_path(self, name: str) -> Path:
        """Where the labels of a frame lie, or would."""
        city = name.split("_")[0]
        return self.root / "gtFine" / self._split / city / f"{name}_gtFine_labelIds.png"

    def _clip(self, name: str, before: int, after: int, missing: str) -> Clip:
        city, snippet, frame, *more = [*name.split("_"), "", ""]
        if any(more) or not frame.isdigit():
            raise DatasetError(f"label {name!r} has another name than CITY_SNIPPET_FRAME")
        if not self._image_path(name).is_file():
            raise DatasetError(f"{self._image_path(name)} is missing: the labelled frame itself")
        offsets = range(-before, after + 1)
        wanted = [f"{city}_{snippet}_{int(frame) + offset:06d}" for offset in offsets]
        names = [n if self._image_path(n).is_file() else None for n in wanted]
        if missing == "error" and None in names:
            absent = wanted[names.index(None)]
            raise DatasetError(
                f"{self._image_path(absent)} is missing, a neighbour of {name}; "
                "download leftImg8bit_sequence, or choose missing: repeat"
            )
        for i in reversed(range(before)):  # from the labelled frame outwards
            names[i] = names[i] or names[i + 1]
        for i in range(before + 1, len(names)):
            names[i] = names[i] or names[i - 1]
        return Clip(f"{city}_{snippet}", tuple(n for n in names if n), RATE)

    def _image_path(self, name: str) -> Path:
        return self._images / self._split / name.split("_")[0] / f"{name}_leftImg8bit.png"
