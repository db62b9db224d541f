"""Building MAR's memory bank from the training set: hard features, class prototypes.

Source: Zhuang et al., arXiv 2301.03832. Keys are, per class, the correctly classified features with
the lowest confidence (rule ``confidence``), or the same among those near a label boundary (rule
``boundary``); the value of all keys of a class is the mean of its most confident features.

The light form measures the prototypes of an image by its class probabilities. So those of the
training set are measured too (rule ``mean``, ours): one per class, key and value alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED, SemanticClass
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.memory import MemoryBank, item_classes
from stmem_ros.model.segmenter import normalise
from stmem_ros.training.samples import Samples

RULES = ("confidence", "boundary")  # of the published form
MEAN = "mean"  # of the light form
MEAN_IMAGES = 500  # more do not move a mean
BOUNDARY_RADIUS = 1  # feature pixels; 8 image pixels


@dataclass(frozen=True)
class Candidates:
    """Features of one class in the order of a selection: N x C, their scores and unique ids."""

    features: Tensor
    scores: Tensor
    ids: Tensor

    @staticmethod
    def none(channels: int) -> Candidates:
        return Candidates(
            torch.empty(0, channels), torch.empty(0), torch.empty(0, dtype=torch.int64)
        )

    def lowest(self, other: Candidates, count: int) -> Candidates:
        """The ``count`` lowest scores of both; equal scores in the order of their ids."""
        ids = torch.cat([self.ids, other.ids])
        scores = torch.cat([self.scores, other.scores])
        by_id = torch.argsort(ids)
        order = by_id[torch.argsort(scores[by_id], stable=True)][:count]
        features = torch.cat([self.features, other.features])
        return Candidates(features[order], scores[order], ids[order])


class MemoryBuilder:
    """Collects features frame by frame; the result depends on neither order nor sharding.

    Args:
        classes: the label set.
        items: items per class.
        channels: C of the features.
        rule: ``confidence`` or ``boundary``.
    """

    def __init__(
        self, classes: tuple[SemanticClass, ...], items: int, channels: int, rule: str
    ) -> None:
        if rule not in RULES:
            raise ValueError(f"selection rule is {rule!r}; allowed: {', '.join(RULES)}")
        self.classes = classes
        self.items = items
        self.rule = rule
        self.hard = [Candidates.none(channels) for _ in classes]
        self.sure = [Candidates.none(channels) for _ in classes]

    def add(self, frame: int, features: Tensor, logits: Tensor, label: np.ndarray) -> None:
        """Add one frame: features C x h x w, logits K x h x w, label h x w at feature size.

        ``frame`` is the frame's index in the data set; it makes the order of equal scores unique.
        """
        probability, predicted = logits.softmax(dim=0).max(dim=0)
        truth = torch.from_numpy(label.astype(np.int64))
        correct = (predicted == truth) & (truth != UNLABELLED)
        hard = correct
        if self.rule == "boundary":
            hard = correct & torch.from_numpy(near_boundary(label))
        rows, columns = torch.meshgrid(*map(torch.arange, label.shape), indexing="ij")
        ids = (frame << 32) + (rows << 16) + columns
        for c in range(len(self.classes)):
            pixels = hard & (truth == c)
            candidates = Candidates(features[:, pixels].T, probability[pixels], ids[pixels])
            self.hard[c] = self.hard[c].lowest(candidates, self.items)
            pixels = correct & (truth == c)
            candidates = Candidates(features[:, pixels].T, -probability[pixels], ids[pixels])
            self.sure[c] = self.sure[c].lowest(candidates, self.items)

    def merge(self, other: MemoryBuilder) -> None:
        """Take in what another worker collected from other frames."""
        for c in range(len(self.classes)):
            self.hard[c] = self.hard[c].lowest(other.hard[c], self.items)
            self.sure[c] = self.sure[c].lowest(other.sure[c], self.items)

    def build(self) -> MemoryBank:
        """The bank, class by class; a class with few pixels repeats what it has.

        Raises:
            ValueError: a class was never classified correctly; the message names it.
        """
        empty = [c.name for c in self.classes if not len(self.hard[c.id].features)]
        if empty:
            raise ValueError(
                f"no correctly classified pixel of: {', '.join(empty)}; "
                "train longer, or add frames that show it"
            )
        keys, values, ids = [], [], []
        for hard, sure in zip(self.hard, self.sure, strict=True):
            repeated = torch.arange(self.items) % len(hard.features)
            keys.append(hard.features[repeated])
            ids.append(hard.ids[repeated])
            values.append(sure.features.mean(dim=0).expand(self.items, -1))
        classes = item_classes(len(self.classes), self.items)
        all_ids = torch.cat(ids)
        places = torch.stack([all_ids >> 32, (all_ids >> 16) & 0xFFFF, all_ids & 0xFFFF], dim=1)
        return MemoryBank(torch.cat(keys), torch.cat(values), classes, self.rule, places)


def near_boundary(label: np.ndarray) -> np.ndarray:
    """Whether a pixel of another class lies within ``BOUNDARY_RADIUS`` pixels, bool H x W."""
    kernel = np.ones((2 * BOUNDARY_RADIUS + 1,) * 2, np.uint8)
    return cv2.dilate(label, kernel) != cv2.erode(label, kernel)


class PrototypeBuilder:
    """Means of the features of each class, as far as they were taken for it.

    Args:
        classes: how many.
        channels: C of the features.
    """

    def __init__(self, classes: int, channels: int) -> None:
        self.total = torch.zeros(classes, channels, dtype=torch.float64)
        self.count = torch.zeros(classes, 1, dtype=torch.float64)

    def add(self, features: Tensor, logits: Tensor) -> None:
        """Add one frame: features C x h x w, logits K x h x w."""
        probability = logits.softmax(dim=0).flatten(1)
        self.total += probability @ features.flatten(1).T
        self.count += probability.sum(dim=1, keepdim=True)

    def build(self) -> MemoryBank:
        """The bank, one item per class."""
        mean = (self.total / self.count).float()
        return MemoryBank(mean, mean.clone(), item_classes(len(mean), 1), MEAN)


@torch.inference_mode()
def build_memory(model: BundledSegmenter, samples: Samples, rule: str) -> MemoryBank:
    """Build the bank of a model on its training set, without augmentation.

    Args:
        model: as it is trained before MAR.
        samples: windows of the model's length (of 1 without STF); a frame without close neighbours
            repeats itself.

    Raises:
        ValueError: a class was never found, or the rule is not one of the architecture's form.
    """
    a = model.architecture
    allowed = (MEAN,) if a.form == "light" else RULES
    if rule not in allowed:
        raise ValueError(
            f"memory_rule is {rule!r}; allowed for the form {a.form!r}: {', '.join(allowed)}"
        )
    device = next(model.parameters()).device
    builder: MemoryBuilder | PrototypeBuilder
    if rule == MEAN:
        builder = PrototypeBuilder(a.classes, a.channels)
    else:
        builder = MemoryBuilder(samples.classes, a.items_per_class, a.channels, rule)
    step = -(-len(samples) // MEAN_IMAGES) if rule == MEAN else 1
    for index in tqdm(range(0, len(samples), step), desc="memory", unit="frame"):
        sample = samples[index]
        rgb = torch.from_numpy(sample.images.copy()).to(device)
        features = model.features(normalise(rgb, model.info.mean, model.info.std))
        frames = a.window if model.stf else 1
        window = features.expand(frames, -1, -1, -1).transpose(0, 1)[None]  # one alone repeats
        fused = model.fuse(window) if model.stf else window[:, :, 0]
        logits = model.classify(fused)
        if isinstance(builder, PrototypeBuilder):
            builder.add(fused[0].cpu(), logits[0].cpu())
            continue
        label = F.interpolate(
            torch.from_numpy(sample.label)[None, None].float(), logits.shape[-2:], mode="nearest"
        )
        builder.add(index, fused[0].cpu(), logits[0].cpu(), label[0, 0].byte().numpy())
    return builder.build()
