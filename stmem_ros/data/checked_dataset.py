"""A data set whose labels are looked at as they are read: refused or counted, never taken as is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.dataset import DatasetError, SegmentationDataset


class CheckedDataset:
    """A split of a data set, as :class:`SegmentationDataset`, with its labels checked and counted.

    Attributes:
        classes, clips: of the data set.
        labels: how many were read so far.
    """

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.classes = dataset.classes
        self.clips = dataset.clips
        self.labels = 0
        self._dataset = dataset
        self._counts = np.zeros(256, np.int64)  # pixels of each label value
        self._image_shapes: dict[str, tuple[int, ...]] = {}  # by name
        self._label_shapes: dict[str, tuple[int, ...]] = {}

    @property
    def unknown(self) -> int:
        """Pixels of the labels read so far whose value means nothing to the data set."""
        return self._dataset.unknown

    @property
    def is_video(self) -> bool:
        """Whether a clip is, so that something can be told without labels."""
        return any(clip.is_video for clip in self.clips)

    @property
    def labelled_pixels(self) -> int:
        """Of the labels read so far, those of a class."""
        return int(self._counts[: len(self.classes)].sum())

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3.

        Raises:
            DatasetError: its label was read before, and is not of its size; the message names it.
        """
        image = self._dataset.image(name)
        self._image_shapes[name] = image.shape[:2]
        self._check_size(name)
        return image

    def label(self, name: str) -> np.ndarray | None:
        """Class ids uint8, H x W, 255 unlabelled; None for a frame without labels.

        Raises:
            DatasetError: it holds a value that is no class, or is not of the size of its image,
                where that was read before; the message names the file.
        """
        label = self._dataset.label(name)
        if label is None:
            return None
        counts = cv2.calcHist([label], [0], None, [256], [0, 256]).reshape(-1).astype(np.int64)
        wrong = np.flatnonzero(counts[len(self.classes) : UNLABELLED])
        if wrong.size:
            raise DatasetError(
                f"label {self.label_path(name)} holds the value {wrong[-1] + len(self.classes)}; "
                f"allowed: 0 to {len(self.classes) - 1}, and {UNLABELLED} for unlabelled"
            )
        self._label_shapes[name] = label.shape
        self._check_size(name)
        self.labels += 1
        self._counts += counts
        return label

    def _check_size(self, name: str) -> None:
        """Refuse a label that is not of the size of its image, once both were read."""
        label, image = self._label_shapes.get(name), self._image_shapes.get(name)
        if label and image and label != image:
            raise DatasetError(
                f"label {self.label_path(name)} has {label[1]} x {label[0]} pixels, its image "
                f"{image[1]} x {image[0]}"
            )

    def has_label(self, name: str) -> bool:
        """Whether a frame has labels."""
        return self._dataset.has_label(name)

    def label_path(self, name: str) -> Path:
        """Where the labels of a frame lie, or would."""
        return self._dataset.label_path(name)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is strange about the labels read so far, a line each."""
        total = max(1, int(self._counts.sum()))
        if not self.labels:
            return ("no frame has labels",)
        if not self.labelled_pixels:
            return (
                f"no labelled pixels: all of {self.labels} labels are {UNLABELLED} or void; those "
                "of test splits are often not published",
            )
        notes = []
        absent = [c.name for c in self.classes if not self._counts[c.id]]
        if absent:
            void = f"; {UNLABELLED} stands for unlabelled" if self._counts[UNLABELLED] else ""
            notes.append(f"classes that never occur in the labels: {', '.join(absent)}{void}")
        if self.unknown:
            notes.append(
                f"{100 * self.unknown / total:.1f} % of the pixels of the labels have a value that "
                "means no class, and count as unlabelled: labels must not be resized with "
                "interpolation, or saved as JPEG"
            )
        return tuple(notes)
