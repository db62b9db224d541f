"""Calibration on streets that a model was not trained on: how sure it may be, what is familiar.

The temperature is that of Guo et al., On calibration of modern neural networks, ICML 2017. Where
labels are coarser than the model's classes, what counts is the probability of all the classes that
a label allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.dataset import SegmentationDataset
from stmem_ros.data.label_sets import allowed_classes
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.segmenter import StreamingSegmenter

PIXELS = 2000  # of a frame that are looked at
TEMPERATURES = torch.logspace(-2, 3, 251, base=2, dtype=torch.float64)  # 1/4 to 8


@dataclass(frozen=True)
class Measured:
    """What a data set tells of a model.

    Attributes:
        losses: what each of ``TEMPERATURES`` costs: mean of -log of the right label's probability.
        means: of each labelled frame's features, frames x C.
    """

    losses: Tensor
    means: Tensor


def measure(model: BundledSegmenter, dataset: SegmentationDataset) -> Measured:
    """Label the frames of a data set, and see how sure the model may be.

    Frames are streamed as a camera gives them; runs whose frames lie far apart, each on its own.

    Raises:
        ValueError: nothing is labelled, or the labels say nothing of the model's classes.
    """
    allowed = torch.from_numpy(_allowed(model, dataset))
    total = torch.zeros(len(TEMPERATURES), dtype=torch.float64)
    pixels, means = 0, []
    for scores, label, mean in _labelled_frames(model, dataset):
        right = allowed[label]
        for i, temperature in enumerate(TEMPERATURES):
            log_probability = (scores / temperature).log_softmax(dim=1)
            of_right = log_probability.masked_fill(~right, -torch.inf).logsumexp(dim=1)
            total[i] -= of_right.sum()
        pixels += len(label)
        means.append(mean)
    if not pixels:
        raise ValueError("no frame of the data set has a labelled pixel")
    return Measured(total / pixels, torch.stack(means))


def _allowed(model: BundledSegmenter, dataset: SegmentationDataset) -> np.ndarray:
    """Which of the model's classes each label allows, bool, labels x classes."""
    if [c.name for c in dataset.classes] == [c.name for c in model.info.classes]:
        return np.eye(len(dataset.classes), dtype=bool)
    return allowed_classes(dataset.classes, model.info.classes)


def _labelled_frames(
    model: BundledSegmenter, dataset: SegmentationDataset
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of each labelled frame some pixels, scores P x classes and labels P; features' mean C."""
    random = np.random.default_rng(0)
    stream = StreamingSegmenter(model)
    with tqdm(total=sum(len(clip.names) for clip in dataset.clips), unit="frame") as progress:
        for clip in dataset.clips:
            stream.reset()
            for name in clip.names:
                progress.update()
                if not clip.is_video:
                    stream.reset()
                scores, mean = _push(stream, dataset.image(name))
                label = dataset.label(name)
                if label is None:
                    continue
                places = np.flatnonzero(label != UNLABELLED)
                places = random.choice(places, min(PIXELS, len(places)), replace=False)
                scores = F.interpolate(scores, label.shape, mode="bilinear", align_corners=False)
                yield (
                    scores[0].flatten(1).T[places].double().cpu(),
                    torch.from_numpy(label.flatten()[places].astype(np.int64)),
                    mean,
                )


@torch.inference_mode()
def _push(stream: StreamingSegmenter, rgb: np.ndarray) -> tuple[Tensor, Tensor]:
    """Scores of the next frame, 1 x classes x h x w, and the mean of its features, C."""
    info = stream.model.info
    image = torch.from_numpy(rgb)[None].to(stream.device)
    features = stream.runner.features(normalise(image, info.mean, info.std))
    fused, _ = stream.fusion.push(features)
    scores = stream.core.classify(stream.runner.refine(fused)).float()
    mean = features[0, : info.architecture.channels].float().mean(dim=(1, 2))
    return scores, mean.cpu()
