"""A model on a data set's split, through the same streaming object as the node."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from stmem_ros.data.dataset import SegmentationDataset
from stmem_ros.data.label_sets import shared_groups
from stmem_ros.evaluation.disturbance import DISTURBANCES, Disturbance
from stmem_ros.evaluation.metrics.figures import LabelFigures
from stmem_ros.evaluation.metrics.label_scorer import LabelScorer
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.streaming.segmenter import StreamingSegmenter


class Labelled(Protocol):
    """Labels of one frame: class ids, uint8 H x W, and the frame's stamp in seconds."""

    @property
    def label(self) -> np.ndarray: ...

    @property
    def stamp(self) -> float: ...


class Stream(Protocol):
    """Labels frames in order."""

    def push(self, rgb: np.ndarray, stamp: float) -> Labelled:
        """Take the next frame, H x W x 3 uint8 and seconds; return the labels that are ready."""

    def reset(self) -> None:
        """Forget all frames."""


@dataclass(frozen=True)
class Scores(LabelFigures):
    """Result of an evaluation.

    Attributes:
        frames: evaluated frames.
        parameters: parameters of the model.
        gflop_per_frame: multiply-adds x 2 of the network for one streamed frame, in 10^9.
        ms_per_frame: milliseconds from image to labels, median; compare within one run only.
    """

    frames: int
    parameters: int
    gflop_per_frame: float
    ms_per_frame: float


def evaluate(
    model: BundledSegmenter,
    dataset: SegmentationDataset,
    stream: Stream | None = None,
    disturbance: Disturbance = DISTURBANCES[0],
) -> Scores:
    """Stream a split's unbroken runs through ``model`` and score the labelled frames.

    Runs whose frames lie too far apart are streamed too, each frame on its own. Where the label
    sets differ, the groups that they share are scored (:mod:`stmem_ros.data.label_sets`).

    Args:
        stream: another way to use the model than :class:`StreamingSegmenter`.
        disturbance: done to the images before the model sees them; the optical flow of the
            consistency is still that of the undisturbed ones. Frames that do not arrive are not
            scored.

    Raises:
        ValueError: the model's and the data set's classes share nothing that is known.
    """
    groups = shared_groups(model.info.classes, dataset.classes)
    scorer = LabelScorer(len(groups.names))
    total = sum(len(clip.names) for clip in dataset.clips)
    stream = stream or StreamingSegmenter(model)
    seconds: list[float] = []
    with tqdm(total=total, desc="evaluating", unit="frame") as progress:
        for clip in dataset.clips:
            stream.reset()
            scorer.restart()
            references: dict[float, tuple[np.ndarray, np.ndarray | None]] = {}
            for i, name in enumerate(clip.names):
                progress.update()
                if not disturbance.arrives(i):
                    continue
                stamp = i / clip.rate
                if not clip.is_video:
                    stream.reset()
                    scorer.restart()
                references[stamp] = dataset.image(name), dataset.label(name)
                seen = disturbance.apply(references[stamp][0], i)
                start = time.perf_counter()
                result = stream.push(seen, stamp)
                seconds.append(time.perf_counter() - start)
                if result.stamp not in references:
                    continue  # a centred model labels its first frame twice
                rgb, reference = references.pop(result.stamp)
                confidence = getattr(result, "confidence", None)  # a rival need not give any
                if reference is not None:
                    reference = groups.of_dataset[reference]
                label = groups.of_model[result.label]
                scorer.add(rgb, label, confidence, reference, result.stamp)
    sums = scorer.sums
    return Scores.of(
        sums,
        list(groups.names),
        frames=int(sums.counts.scored),
        parameters=sum(p.numel() for p in model.parameters()),
        gflop_per_frame=gflop_per_frame(model, rgb.shape[:2]),
        ms_per_frame=1e3 * float(np.median(seconds)),
    )


def gflop_per_frame(model: BundledSegmenter, size: tuple[int, int]) -> float:
    """Multiply-adds x 2 of one frame of a running stream, in 10^9; images are height x width."""
    image = torch.zeros(1, 3, *size, device=next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter:  # counts modules only with gradients enabled
        features = model.features(image)
        window = features[:, :, None].expand(-1, -1, model.architecture.window, -1, -1)
        model.classify(model.refine(model.fuse(window)))
    return counter.get_total_flops() / 1e9
