"""Evaluating a model on a dataset split, through the same streaming object as the node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from stmem_ros.data.camvid import CamVid
from stmem_ros.evaluation.metrics import ConfusionMatrix, TemporalConsistency
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.streaming.segmenter import StreamingSegmenter


@dataclass(frozen=True)
class Scores:
    """Result of an evaluation; shares, not percent.

    Attributes:
        miou: mean intersection over union.
        iou: the same a class, by name; None for a class that does not occur.
        pixel_accuracy: share of labelled pixels that are right.
        temporal_consistency: mIoU of labels against the flow-warped labels of the frame before;
            None where no frames follow each other closely.
        frames: evaluated frames.
        parameters: parameters of the model.
    """

    miou: float
    iou: dict[str, float | None]
    pixel_accuracy: float
    temporal_consistency: float | None
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
    consistency = TemporalConsistency(len(names))
    with tqdm(total=len(dataset.names), desc=f"camvid {split}", unit="frame") as progress:
        for clip in dataset.clips:
            segmenter = StreamingSegmenter(model)
            consistency.restart()
            video = 1 / clip.rate < segmenter.max_gap
            for i, name in enumerate(clip.names):
                rgb = dataset.image(name)
                if not video:
                    segmenter.reset()
                label = segmenter.push(rgb, i / clip.rate).label
                confusion.add(dataset.label(name), label)
                if video:
                    consistency.add(rgb, label)
                progress.update()
    iou = confusion.iou
    steady = consistency.confusion
    return Scores(
        miou=confusion.miou,
        iou={n: None if v != v else float(v) for n, v in zip(names, iou, strict=True)},
        pixel_accuracy=confusion.pixel_accuracy,
        temporal_consistency=steady.miou if steady.counts.any() else None,
        frames=len(dataset.names),
        parameters=sum(p.numel() for p in model.parameters()),
    )
