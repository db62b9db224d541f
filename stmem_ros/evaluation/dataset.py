"""Evaluating a model on a dataset split, through the same streaming object as the node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stmem_ros.data.camvid import CamVid
from stmem_ros.evaluation.boundary import BoundaryScores
from stmem_ros.evaluation.confusion import ConfusionMatrix
from stmem_ros.evaluation.temporal import TemporalConsistency, VideoConsistency
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.streaming.segmenter import StreamingSegmenter


@dataclass(frozen=True)
class Scores:
    """Result of an evaluation; shares, not percent.

    Attributes:
        miou: mean intersection over union.
        iou: the same a class, by name; None for a class that does not occur.
        pixel_accuracy: share of labelled pixels that are right.
        boundary_f, boundary_iou: agreement of the edges, mean over classes.
        temporal_consistency: mIoU of labels against the flow-warped labels of the frame before;
            None where no frames follow each other closely.
        vc8, vc16: video consistency over 8 and 16 frames; None for shorter runs.
        frames: evaluated frames.
        parameters: parameters of the model.
    """

    miou: float
    iou: dict[str, float | None]
    pixel_accuracy: float
    boundary_f: float
    boundary_iou: float
    temporal_consistency: float | None
    vc8: float | None
    vc16: float | None
    frames: int
    parameters: int


def evaluate_camvid(model: BundledSegmenter, root: Path, split: str) -> Scores:
    """Stream the unbroken runs of a CamVid split through ``model`` and score the labels.

    Runs at 1 Hz are streamed too, each frame on its own: they have no neighbours in time.
    """
    dataset = CamVid(root, split)
    names = [c.name for c in dataset.classes]
    if names != [c.name for c in model.info.classes]:
        raise ValueError(
            f"the model's classes are {[c.name for c in model.info.classes]}; CamVid's are {names}"
        )
    confusion = ConfusionMatrix(len(names))
    boundary = BoundaryScores(len(names))
    consistency = TemporalConsistency(len(names))
    runs = {8: VideoConsistency(8), 16: VideoConsistency(16)}
    with tqdm(total=len(dataset.names), desc=f"camvid {split}", unit="frame") as progress:
        for clip in dataset.clips:
            segmenter = StreamingSegmenter(model)
            consistency.restart()
            for run in runs.values():
                run.restart()
            video = 1 / clip.rate < segmenter.max_gap
            for i, name in enumerate(clip.names):
                rgb = dataset.image(name)
                if not video:
                    segmenter.reset()
                reference, label = dataset.label(name), segmenter.push(rgb, i / clip.rate).label
                confusion.add(reference, label)
                boundary.add(reference, label)
                if video:
                    consistency.add(rgb, label)
                    for run in runs.values():
                        run.add(reference, label)
                progress.update()
    return Scores(
        miou=confusion.miou,
        iou={n: _known(v) for n, v in zip(names, confusion.iou, strict=True)},
        pixel_accuracy=confusion.pixel_accuracy,
        boundary_f=boundary.f,
        boundary_iou=boundary.iou,
        temporal_consistency=_known(consistency.confusion.miou),
        vc8=_known(runs[8].value),
        vc16=_known(runs[16].value),
        frames=len(dataset.names),
        parameters=sum(p.numel() for p in model.parameters()),
    )


def _known(value: float) -> float | None:
    """The value, None for NaN (which JSON does not have)."""
    return None if np.isnan(value) else float(value)
