"""CamVid: road scenes with labels of 11 classes (Brostow et al., PRL 2009).

Two layouts of the folder are read. With 11 classes: ``images/NAME.jpg``, ``labels/NAME.png``
(0..10, 255 unlabelled) and ``clips.json``, a list of unbroken runs with ``split``, ``sequence``,
``rate_hz`` and ``names``. As published: ``images/NAME.png``, ``labels/NAME_L.png`` in 32 colours
and ``SPLIT.txt`` with a name per line.
"""

from __future__ import annotations

import json
import re
from itertools import groupby
from pathlib import Path

import numpy as np

from stmem_ros.classes import CAMVID, UNLABELLED
from stmem_ros.data.dataset import Clip, DatasetError
from stmem_ros.io.image_folder import read_names, without_suffix
from stmem_ros.io.images import read_label, read_rgb

NAME = re.compile(
    r"[^/\s]+_[^_\d]*\d+[^_\d]*"
)  # of a published frame, with its number in the video
VIDEO_RATE = 30.0  # Hz; the published names hold the frame's number in the video

# The 32 published colours and their class among the 11, after Badrinarayanan et al. (SegNet).
# Void, which is black, is left out.
COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sky": ((128, 128, 128),),
    # building, archway, bridge, tunnel, wall
    "building": ((128, 0, 0), (192, 0, 128), (0, 128, 64), (64, 0, 64), (64, 192, 0)),
    "pole": ((192, 192, 128), (0, 0, 64)),  # column, traffic cone
    "road": ((128, 64, 128), (128, 0, 192), (192, 0, 64)),  # and lane markings
    "sidewalk": ((0, 0, 192), (64, 192, 128), (128, 128, 192)),  # parking block, road shoulder
    "tree": ((128, 128, 0), (192, 192, 0)),  # other vegetation
    "sign": ((192, 128, 128), (128, 128, 64), (0, 64, 64)),  # other text, traffic light
    "fence": ((64, 64, 128),),
    # car, SUV, truck or bus, train, other moving
    "car": ((64, 0, 128), (64, 128, 192), (192, 128, 192), (192, 64, 128), (128, 64, 64)),
    # pedestrian, child, cart or pram, animal
    "pedestrian": ((64, 64, 0), (192, 128, 64), (64, 0, 192), (64, 128, 64)),
    "bicyclist": ((0, 128, 192), (192, 0, 192)),  # motorcycle
}


class CamVid:
    """A split of CamVid on disk.

    Args:
        root: folder in one of the layouts above.
        split: ``train``, ``val`` or ``test``.

    Attributes:
        unknown: pixels of the labels read so far whose colour is none of the 32.

    Raises:
        DatasetError: the folder or one of its lists is missing.
    """

    classes = CAMVID

    def __init__(self, root: Path, split: str) -> None:
        self.root = Path(root)
        self.unknown = 0
        index = self.root / "clips.json"
        if index.is_file():
            self.clips = _listed_clips(index, split)
        else:
            self.clips = _runs(self.root / f"{split}.txt", index)

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""
        path = self.root / "images" / f"{name}.jpg"
        return read_rgb(path if path.is_file() else path.with_suffix(".png"))

    def label(self, name: str) -> np.ndarray | None:
        """Class ids uint8, H x W, 255 unlabelled; None for a frame without labels."""
        if self._ids(name).is_file():
            return read_label(self._ids(name))
        if not self._coloured(name).is_file():
            return None
        rgb = read_rgb(self._coloured(name))
        label = from_colours(rgb)
        self.unknown += int(np.count_nonzero(rgb[label == UNLABELLED].any(axis=-1)))
        return label

    def has_label(self, name: str) -> bool:
        """Whether a frame has labels."""
        return self._ids(name).is_file() or self._coloured(name).is_file()

    def label_path(self, name: str) -> Path:
        """Where the labels of a frame lie, or would."""
        ids = self._ids(name)
        return ids if ids.is_file() else self._coloured(name)

    def _ids(self, name: str) -> Path:
        return self.root / "labels" / f"{name}.png"

    def _coloured(self, name: str) -> Path:
        return self.root / "labels" / f"{name}_L.png"


def from_colours(rgb: np.ndarray) -> np.ndarray:
    """Labels in the 32 published colours, H x W x 3, to class ids, H x W uint8."""
    code = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    label = np.full(code.shape, UNLABELLED, np.uint8)
    for c in CAMVID:
        for r, g, b in COLOURS[c.name]:
            label[code == (r << 16) + (g << 8) + b] = c.id
    return label


def _listed_clips(index: Path, split: str) -> tuple[Clip, ...]:
    try:
        runs = json.loads(index.read_text())
        clips = tuple(
            Clip(str(r["sequence"]), tuple(r["names"]), float(r["rate_hz"]))
            for r in runs
            if r["split"] == split
        )
        known = sorted({r["split"] for r in runs})
    except DatasetError as error:
        raise DatasetError(f"{index}: {error}") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{index} cannot be used: {type(error).__name__} {error}") from error
    if not clips:
        raise DatasetError(f"{index} has no split {split!r}; it has: {', '.join(known)}")
    return clips


def _runs(list_path: Path, index: Path) -> tuple[Clip, ...]:
    """Unbroken runs of a published list: names of a sequence at a constant step of frames."""
    if not list_path.is_file():
        raise DatasetError(f"neither {index} nor {list_path} is there; is this CamVid's folder?")
    names = sorted({without_suffix(name) for name in read_names(list_path)})
    if not names:
        raise DatasetError(f"{list_path} names no frame")
    if wrong := next((name for name in names if not NAME.fullmatch(name)), None):
        raise DatasetError(
            f"{list_path} names {wrong!r}; allowed: names of images as CamVid has them, "
            "SEQUENCE_NUMBER, one per line"
        )
    clips: list[Clip] = []
    for sequence, group in groupby(names, key=lambda n: n.rsplit("_", 1)[0]):
        run: list[str] = []
        step = 0
        for name in group:
            gap = _frame(name) - _frame(run[-1]) if run else 0
            if run and step and gap != step:
                clips.append(Clip(sequence, tuple(run), VIDEO_RATE / step))
                run, step = [], 0
            elif run:
                step = gap
            run.append(name)
        clips.append(Clip(sequence, tuple(run), VIDEO_RATE / step if step else 1.0))
    return tuple(clips)


def _frame(name: str) -> int:
    return int("".join(c for c in name.rsplit("_", 1)[1] if c.isdigit()))
