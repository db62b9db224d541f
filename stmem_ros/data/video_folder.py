"""One's own video data: a folder of sequences, some or all of their frames labelled.

root/dataset.yaml                 rate: 10.0
                                  classes: [{name: road, colour: [128, 64, 128]}, ...]
root/SPLIT/SEQUENCE/images/*.jpg  or .png; in the order of the numbers in their names
root/SPLIT/SEQUENCE/labels/*.png  class ids (grey or a palette image), 255 unlabelled; of any
                                  frames, named as their images
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stmem_ros.classes import GreyLevel, SemanticClass, check_class_names
from stmem_ros.configuration import ConfigurationError, Positive, read_configuration
from stmem_ros.data.dataset import Clip, DatasetError
from stmem_ros.io.encodings import BitDepth
from stmem_ros.io.image_folder import ImageFolderError, image_paths, is_hidden
from stmem_ros.io.images import IMAGE_SUFFIXES, read_label, read_rgb


@dataclass(frozen=True)
class ClassDescription:
    """A class of ``dataset.yaml``; its place in the list is its id."""

    name: str
    colour: tuple[GreyLevel, GreyLevel, GreyLevel]


@dataclass(frozen=True)
class VideoDescription:
    """What ``dataset.yaml`` says: frames per second, and the label set."""

    rate: Positive
    classes: tuple[ClassDescription, ...]


class VideoFolder:
    """A split of such a folder.

    Raises:
        DatasetError: the description or the frames are missing or wrong.
    """

    unknown = 0  # every value may be meant

    def __init__(self, root: Path, split: str) -> None:
        self._folder = Path(root) / split
        description = _description(Path(root) / "dataset.yaml")
        self.classes = tuple(
            SemanticClass(i, c.name, c.colour) for i, c in enumerate(description.classes)
        )
        sequences = sorted(
            p for p in self._folder.glob("*") if (p / "images").is_dir() and not is_hidden(p)
        )
        try:
            self._paths = {
                f"{sequence.name}/{path.stem}": path
                for sequence in sequences
                for path in image_paths(sequence / "images")
            }
        except ImageFolderError as error:
            raise DatasetError(str(error)) from error
        if not self._paths:
            raise DatasetError(
                f"no {', '.join(IMAGE_SUFFIXES)} files in {self._folder}/SEQUENCE/images"
            )
        for sequence in sequences:
            self._check_labels(sequence)
        self._bit_depths = {sequence.name: BitDepth() for sequence in sequences}
        self.clips = tuple(
            Clip(
                sequence.name,
                tuple(n for n in self._paths if n.split("/")[0] == sequence.name),
                description.rate,
            )
            for sequence in sequences
        )

    def _check_labels(self, sequence: Path) -> None:
        """Refuse a sequence whose labels belong to none of its images, as their names differ."""
        files = sorted(p for p in (sequence / "labels").glob("*") if not is_hidden(p))
        names = [name for name in self._paths if name.split("/")[0] == sequence.name]
        if files and names and not any(map(self.has_label, names)):
            raise DatasetError(
                f"label {files[0]} belongs to no image, nor does any beside it: the label of "
                f"{self._paths[names[0]].name} must be {self.label_path(names[0]).name}"
            )

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""
        return read_rgb(self._paths[name], self._bit_depths[name.split("/")[0]])

    def label(self, name: str) -> np.ndarray | None:
        """Class ids uint8, H x W, 255 unlabelled; None for a frame without labels."""
        return read_label(self.label_path(name)) if self.has_label(name) else None

    def has_label(self, name: str) -> bool:
        """Whether a frame has labels."""
        return self.label_path(name).is_file()

    def label_path(self, name: str) -> Path:
        """Where the labels of a frame lie, or would."""
        sequence, stem = name.split("/")
        return self._folder / sequence / "labels" / f"{stem}.png"


def _description(path: Path) -> VideoDescription:
    try:
        description = read_configuration(path, VideoDescription, "data set")
    except ConfigurationError as error:
        raise DatasetError(str(error)) from error
    try:
        check_class_names([c.name for c in description.classes])
    except ValueError as error:
        raise DatasetError(f"data set {path}: {error}") from error
    return description
