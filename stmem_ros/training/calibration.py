"""Calibration on streets that a model was not trained on: how sure it may be, what is familiar.

The temperature is that of Guo et al., On calibration of modern neural networks, ICML 2017. Where
labels are coarser than the model's classes, what counts is the probability of all the classes that
a label allows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.dataset import SegmentationDataset
from stmem_ros.data.label_sets import allowed_classes
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.familiarity import image_means
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.image_area import check_image
from stmem_ros.streaming.segmenter import StreamingSegmenter
from stmem_ros.streaming.transfer import upload_as_trained

PIXELS = 2000  # of a frame that are looked at
IMAGES = 200  # of a data set that tell what is familiar
TEMPERATURES = torch.logspace(-2, 3, 251, base=2, dtype=torch.float64)  # 1/4 to 8


def dataset_means(model: BundledSegmenter, dataset: SegmentationDataset) -> Tensor:
    """Means of the features of up to ``IMAGES`` images of a data set, images x C.

    Raises:
        ValueError: an image cannot be labelled.
    """
    names = [name for clip in dataset.clips for name in clip.names]
    chosen = names[:: -(-len(names) // IMAGES)]
    stream = StreamingSegmenter(model)
    means = []
    for name in tqdm(chosen, desc="images", unit="frame"):
        features = _features(stream, _image(dataset, name))
        means.append(image_means(features, model.architecture.channels).cpu())
    return torch.cat(means)


def temperature_losses(model: BundledSegmenter, dataset: SegmentationDataset) -> Tensor:
    """What each of ``TEMPERATURES`` costs on a data set: mean of -log of the right probability.

    Frames are streamed as a camera gives them; runs whose frames lie far apart, each on its own.

    Raises:
        ValueError: nothing is labelled, the labels say nothing of the model's classes, or an image
            cannot be labelled.
    """
    allowed = torch.from_numpy(_allowed(model, dataset))
    total = torch.zeros(len(TEMPERATURES), dtype=torch.float64)
    pixels = 0
    for scores, label in _labelled_frames(model, dataset):
        right = allowed[label]
        for i, temperature in enumerate(TEMPERATURES):
            log_probability = (scores / temperature).log_softmax(dim=1)
            of_right = log_probability.masked_fill(~right, -torch.inf).logsumexp(dim=1)
            total[i] -= of_right.sum()
        pixels += len(label)
    if not pixels:
        raise ValueError("no frame of the data set has a labelled pixel")
    return total / pixels


def _allowed(model: BundledSegmenter, dataset: SegmentationDataset) -> np.ndarray:
    """Which of the model's classes each label allows, bool, labels x classes."""
    if [c.name for c in dataset.classes] == [c.name for c in model.info.classes]:
        return np.eye(len(dataset.classes), dtype=bool)
    return allowed_classes(dataset.classes, model.info.classes)


def _labelled_frames(
    model: BundledSegmenter, dataset: SegmentationDataset
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each labelled frame some pixels: scores P x classes, float64, and labels P."""
    random = np.random.default_rng(0)
    stream = StreamingSegmenter(model)
    with tqdm(total=sum(len(clip.names) for clip in dataset.clips), unit="frame") as progress:
        for clip in dataset.clips:
            shape = None
            for name in clip.names:
                progress.update()
                rgb = _image(dataset, name)
                if not clip.is_video or rgb.shape != shape:  # as a stream begins anew
                    stream.reset()
                shape = rgb.shape
                scores = _scores(stream, rgb)
                label = dataset.label(name)
                if label is None:
                    continue
                places = np.flatnonzero(label != UNLABELLED)
                places = random.choice(places, min(PIXELS, len(places)), replace=False)
                scores = F.interpolate(scores, label.shape, mode="bilinear", align_corners=False)
                yield (
                    scores[0].flatten(1).T[places].double().cpu(),
                    torch.from_numpy(label.flatten()[places].astype(np.int64)),
                )


def _image(dataset: SegmentationDataset, name: str) -> np.ndarray:
    """A frame's image, RGB uint8 H x W x 3.

    Raises:
        ValueError: it cannot be labelled; the message names the frame.
    """
    rgb = dataset.image(name)
    try:
        check_image(rgb)
    except ValueError as error:
        raise ValueError(f"frame {name}: {error}") from error
    return rgb


@torch.inference_mode()
def _features(stream: StreamingSegmenter, rgb: np.ndarray) -> Tensor:
    """Of one image, as of ``Segmenter.features``."""
    info = stream.model.info
    image = upload_as_trained(rgb, info.height, stream.device)
    return stream.runner.features(normalise(image, info.mean, info.std))


@torch.inference_mode()
def _scores(stream: StreamingSegmenter, rgb: np.ndarray) -> Tensor:
    """Scores of the next frame, 1 x classes x h x w."""
    fused, _ = stream.fusion.push(_features(stream, rgb))
    return stream.core.classify(stream.runner.refine(fused)).float()
