"""A model on a data set's split, through the same streaming object as the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from stmem_ros.data.crossing import find_crossing_thing
from stmem_ros.data.dataset import Clip, SegmentationDataset
from stmem_ros.data.disturbance import Disturbance
from stmem_ros.data.label_sets import ClassGroups, shared_groups
from stmem_ros.evaluation.flow_average import FlowAverage
from stmem_ros.evaluation.metrics.figures import LabelFigures
from stmem_ros.evaluation.metrics.label_scorer import LabelScorer
from stmem_ros.model.ablation import of_whole
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.segmenter import Architecture, Segmenter
from stmem_ros.streaming.execution import Execution
from stmem_ros.streaming.image_area import WHOLE
from stmem_ros.streaming.segmenter import StreamingSegmenter


class StreamLabels(Protocol):
    """Labels of one frame: class ids, uint8 H x W, and the frame's stamp in seconds."""

    @property
    def label(self) -> np.ndarray: ...

    @property
    def stamp(self) -> float: ...


class Stream(Protocol):
    """Labels frames in order."""

    def push(self, rgb: np.ndarray, stamp: float) -> StreamLabels:
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
        class_share: of the reference's pixels, by the name of the class.
    """

    frames: int
    parameters: int
    gflop_per_frame: float
    ms_per_frame: float
    class_share: dict[str, float]


def evaluate(
    model: BundledSegmenter,
    dataset: SegmentationDataset,
    stream: Stream,
    disturbance: Disturbance,
) -> Scores:
    """Stream a split's unbroken runs through ``model`` and score the labelled frames.

    Runs whose frames lie too far apart are streamed too, each frame on its own. Where the label
    sets differ, the groups that they share are scored (:mod:`stmem_ros.data.label_sets`).

    Args:
        stream: labels the frames with the model.
        disturbance: done to the images before the model sees them; the optical flow of the
            consistency is still that of the undisturbed ones. Frames that do not arrive are not
            scored.

    Raises:
        ValueError: the model's and the data set's classes share nothing that is known, or an image
            cannot be labelled; the message names its frame.
    """
    groups = shared_groups(model.info.classes, dataset.classes)
    scorer = LabelScorer(len(groups.names))
    total = sum(len(clip.names) for clip in dataset.clips)
    seconds: list[float] = []
    with tqdm(total=total, desc="evaluating", unit="frame") as progress:
        for clip in dataset.clips:
            for run in disturbance.runs(len(clip.names)):
                seconds += _score_run(
                    dataset, clip, run, stream, disturbance, groups, scorer, progress.update
                )
    sums = scorer.sums
    height, width = dataset.image(dataset.clips[-1].names[-1]).shape[:2]
    size = WHOLE.network_size((height, width), model.info.height)
    return Scores.of(
        sums,
        list(groups.names),
        frames=int(sums.counts.scored),
        parameters=sum(p.numel() for p in model.parameters()),
        gflop_per_frame=gflop_per_frame(model.architecture, size),
        ms_per_frame=1e3 * float(np.median(seconds)),
        class_share=dict(zip(groups.names, sums.confusion.shares.tolist(), strict=True)),
    )


def _stream(model: BundledSegmenter, execution: Execution) -> StreamingSegmenter:
    """A stream as the node has it: images are seen at the height that the model was trained at."""
    return StreamingSegmenter(model, inference_height=model.info.height, execution=execution)


def evaluate_variants(
    variants: dict[str, BundledSegmenter],
    dataset: SegmentationDataset,
    execution: Execution,
    disturbances: Sequence[Disturbance],
    with_flow_average: bool,
) -> dict[str, dict[str, Scores]]:
    """Scores of several variants of a model, by disturbance, then by variant.

    Args:
        execution: of the streams.
        with_flow_average: also score the average of the variant ``frame`` along optical flow, as
            the variant ``flow``.
    """
    scores: dict[str, dict[str, Scores]] = {}
    window = of_whole(variants).architecture.window
    flow_average = FlowAverage(variants["frame"], window) if with_flow_average else None
    for disturbance in disturbances:
        scores[disturbance.name] = {
            name: evaluate(model, dataset, _stream(model, execution), disturbance)
            for name, model in variants.items()
        }
        if flow_average is not None:
            scores[disturbance.name]["flow"] = evaluate(
                variants["frame"], dataset, flow_average, disturbance
            )
    return scores


def variants_to_json(scores: dict[str, Scores]) -> dict[str, Any]:
    """The model's figures, and those of all variants where there are more."""
    content = asdict(of_whole(scores))
    if len(scores) > 1:
        content["variants"] = {name: asdict(s) for name, s in scores.items()}
    return content


def _score_run(
    dataset: SegmentationDataset,
    clip: Clip,
    run: Sequence[tuple[int, int]],
    stream: Stream,
    disturbance: Disturbance,
    groups: ClassGroups,
    scorer: LabelScorer,
    progress: Callable[[], object],
) -> list[float]:
    """Score those frames of a clip that one stream sees; the seconds each of them took."""
    stream.reset()
    scorer.restart()
    # Frames that are no video are seen each on its own: nothing crosses between them.
    crossed = disturbance.crossing and clip.is_video
    thing = find_crossing_thing(dataset, clip) if crossed else None
    seconds: list[float] = []
    references: dict[float, tuple[np.ndarray, np.ndarray | None]] = {}
    for time_index, i in run:
        progress()
        name = clip.names[i]
        if not clip.is_video:
            stream.reset()
            scorer.restart()
        stamp = time_index / clip.rate
        rgb, label = dataset.image(name), dataset.label(name)
        if thing is not None:
            moved = round(time_index * disturbance.crossing * rgb.shape[1])
            rgb, label = thing.paste(rgb, label, moved)
        references[stamp] = (
            disturbance.view(rgb, i),
            None if label is None else disturbance.view(label, i),
        )
        disturbed = disturbance.apply(references[stamp][0], i)
        start = time.perf_counter()
        try:
            result = stream.push(disturbed, stamp)
        except ValueError as error:
            raise ValueError(f"frame {name}: {error}") from error
        seconds.append(time.perf_counter() - start)
        if result.stamp not in references:
            continue  # a centred model labels its first frame twice
        rgb, reference = references.pop(result.stamp)
        confidence = getattr(result, "confidence", None)  # a rival need not give any
        if reference is not None:
            reference = groups.of_dataset[reference]
        found = groups.of_model[result.label]
        scorer.add(rgb, found, confidence, reference, result.stamp)
    return seconds


@lru_cache(maxsize=16)
def gflop_per_frame(architecture: Architecture, size: tuple[int, int]) -> float:
    """Multiply-adds x 2 of one frame of a running stream, in 10^9; images are height x width."""
    with torch.device("meta"):  # shapes tell; nothing is computed
        model = Segmenter(architecture).eval().to("meta")
        image = torch.zeros(1, 3, *size)
        with FlopCounterMode(display=False) as counter:  # needs gradients to count modules
            features = model.features(image)
            window = features[:, :, None].expand(-1, -1, architecture.window, -1, -1)
            model.classify(model.refine(model.fuse(window)))
    return counter.get_total_flops() / 1e9
