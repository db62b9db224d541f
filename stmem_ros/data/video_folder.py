"""One's own video data: a folder of sequences, some or all of their frames labelled.

root/dataset.yaml                 rate: 10.0
                                  classes: [{name: road, colour: [128, 64, 128]}, ...]
root/SPLIT/SEQUENCE/images/*.jpg  or .png; the order of their names is the order in time
root/SPLIT/SEQUENCE/labels/*.png  8-bit class ids (or a palette image), 255 unlabelled; of any
                                  frames, named as their images
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from stmem_ros.classes import SemanticClass
from stmem_ros.data.dataset import Clip, DatasetError
from stmem_ros.io.images import IMAGE_SUFFIXES, read_label, read_rgb


class VideoFolder:
    """A split of such a folder.

    Raises:
        DatasetError: the description or the frames are missing or wrong.
    """

    def __init__(self, root: Path, split: str) -> None:
        self._folder = Path(root) / split
        rate, self.classes = _description(Path(root) / "dataset.yaml")
        sequences = sorted(p for p in self._folder.glob("*") if (p / "images").is_dir())
        self._paths = {
            f"{sequence.name}/{path.stem}": path
            for sequence in sequences
            for path in sorted((sequence / "images").iterdir())
            if path.suffix.lower() in IMAGE_SUFFIXES
        }
        if not self._paths:
            raise DatasetError(
                f"no {', '.join(IMAGE_SUFFIXES)} files in {self._folder}/SEQUENCE/images"
            )
        self.clips = tuple(
            Clip(
                sequence.name,
                tuple(n for n in self._paths if n.split("/")[0] == sequence.name),
                rate,
            )
            for sequence in sequences
        )

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""
        return read_rgb(self._paths[name])

    def label(self, name: str) -> np.ndarray | None:
        """Class ids uint8, H x W, 255 unlabelled; None for a frame without labels."""
        return read_label(self._label_path(name)) if self.has_label(name) else None

    def has_label(self, name: str) -> bool:
        """Whether a frame has labels."""
        return self._label_path(name).is_file()

    def _label_path(self, name: str) -> Path:
        sequence, stem = name.split("/")
        return self._folder / sequence / "labels" / f"{stem}.png"


def _description(path: Path) -> tuple[float, tuple[SemanticClass, ...]]:
    try:
        raw = yaml.safe_load(path.read_text())
        classes = tuple(
            SemanticClass(i, str(c["name"]), (c["colour"][0], c["colour"][1], c["colour"][2]))
            for i, c in enumerate(raw["classes"])
        )
        return float(raw["rate"]), classes
    except (OSError, yaml.YAMLError, KeyError, TypeError, IndexError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be used ({type(error).__name__}: {error}); it must hold rate (Hz) and "
            "classes, each with name and colour"
        ) from error
