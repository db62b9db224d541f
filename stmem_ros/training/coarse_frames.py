"""Frames of another data set, whose labels are coarser than the classes that are learned.

A coarse label allows several classes (:mod:`stmem_ros.data.label_sets`). A loss over the allowed
ones alone drifts to the commonest of them: trees become buildings. So a teacher, which knows the
classes from elsewhere, narrows a label to one class where it is sure which of the allowed it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED, SemanticClass
from stmem_ros.data.dataset import DatasetError
from stmem_ros.data.datasets import open_dataset
from stmem_ros.data.label_sets import allowed_classes
from stmem_ros.io.images import read_label
from stmem_ros.io.whole_output import whole_file
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.segmenter import normalise
from stmem_ros.training.config import CoarseConfig
from stmem_ros.training.scaling import scaled_image, scaled_label

SURE = 0.75  # share of the allowed classes' probability that one must have
SUPPORTED = 0.1  # probability that the allowed classes must have together


class CoarseFrames:
    """Labelled frames of a data set with coarser labels, all scaled to one height.

    Their label values follow those of the fine classes: value K + c is the coarse label c.

    Args:
        config: names the data set and what is done with it.
        root: its folder.
        classes: the K fine classes.

    Attributes:
        allowed: which fine classes each coarse label allows, bool, coarse x K.

    Raises:
        DatasetError: the data are not as documented, or no frame has labels.
        ValueError: its labels are not known as sets of these classes.
    """

    def __init__(
        self, config: CoarseConfig, root: Path, classes: tuple[SemanticClass, ...]
    ) -> None:
        self._dataset = open_dataset(config.dataset, root, config.split)
        self.allowed = allowed_classes(self._dataset.classes, classes)
        self._height = config.height
        self._values = _label_values(self.allowed)
        self._narrowed: Path | None = None
        self.names = [
            name
            for clip in self._dataset.clips
            for name in clip.names
            if self._dataset.has_label(name)
        ]
        if not self.names:
            raise DatasetError(
                f"no frame of {config.dataset} {config.split!r} in {root} is labelled"
            )

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """RGB uint8, H x W x 3."""
        return scaled_image(self._dataset.image(self.names[index]), self._height)

    def label(self, index: int) -> np.ndarray:
        """Label values H x W uint8, 255 unlabelled.

        Fine where one class alone is allowed, or a teacher was sure; else coarse.
        """
        name = self.names[index]
        if self._narrowed is not None:
            return read_label(self._narrowed / f"{name}.png")
        return self._coarse_label(name)

    def narrow(self, teacher: BundledSegmenter, folder: Path, bfloat16: bool) -> None:
        """Let a teacher narrow all labels; files that an earlier call left in ``folder`` are kept.

        Args:
            teacher: knows the fine classes.
            folder: where the label values go, a PNG file per frame.
            bfloat16: compute in bfloat16 autocast.

        Raises:
            OSError: a file cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for index in tqdm(range(len(self)), desc="narrowing labels", unit="frame", disable=None):
            path = folder / f"{self.names[index]}.png"
            if path.is_file():
                continue
            probability = _probability(teacher, self.image(index), bfloat16)
            label = narrowed(self._coarse_label(self.names[index]), probability, self.allowed)
            with whole_file(path) as part:
                Image.fromarray(label).save(part, format="PNG")
        self._narrowed = folder

    def _coarse_label(self, name: str) -> np.ndarray:
        label = self._dataset.label(name)
        assert label is not None
        return self._values[scaled_label(label, self._height)]


def _label_values(allowed: np.ndarray) -> np.ndarray:
    """The label value of each coarse label, 256 uint8: the one class that it allows, or K + c."""
    values = np.full(256, UNLABELLED, np.uint8)
    for coarse, members in enumerate(allowed):
        ids = np.flatnonzero(members)
        values[coarse] = ids[0] if len(ids) == 1 else len(members) + coarse
    return values


def narrowed(label: np.ndarray, probability: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Coarse labels, with the one class that a teacher is sure of in their place.

    Args:
        label: H x W uint8: K + c for the coarse label c, 255 unlabelled.
        probability: the teacher's, K x H x W.
        allowed: bool, coarse x K.

    Returns:
        label values H x W uint8.
    """
    classes = len(probability)
    found = label.copy()
    for coarse, members in enumerate(allowed):
        ids = np.flatnonzero(members)
        place = label == classes + coarse
        inside = probability[ids][:, place]
        total = inside.sum(axis=0)
        sure = (inside.max(axis=0) >= SURE * total) & (total >= SUPPORTED)
        found[place] = np.where(sure, ids[inside.argmax(axis=0)], classes + coarse)
    return found


@torch.inference_mode()
def _probability(teacher: BundledSegmenter, image: np.ndarray, bfloat16: bool) -> np.ndarray:
    """Class probabilities K x H x W of an image, as a stream of it alone would have them."""
    device = next(teacher.parameters()).device
    rgb = torch.from_numpy(image[None]).to(device)
    frame = normalise(rgb, teacher.info.mean, teacher.info.std)
    with torch.autocast(device.type, torch.bfloat16, bfloat16):
        features = teacher.features(frame)
        window = features[:, :, None].expand(-1, -1, teacher.architecture.window, -1, -1)
        logits = teacher.classify(teacher.refine(teacher.fuse(window))).float()
    return teacher.upsample(logits, *image.shape[:2]).softmax(dim=1)[0].cpu().numpy()
