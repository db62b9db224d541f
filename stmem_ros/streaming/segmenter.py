"""Frames in order -> segmentations, each frame through the backbone once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.execution import Execution, shared_runner, swap_memory
from stmem_ros.streaming.image_area import SMALLEST, WHOLE, ImageArea
from stmem_ros.streaming.ring import Ring
from stmem_ros.streaming.stage_clock import StageClock
from stmem_ros.streaming.transfer import to_host, upload


@dataclass(frozen=True)
class StageTimings:
    """Seconds spent in each stage of one :meth:`StreamingSegmenter.push`."""

    upload: float
    backbone: float
    stf: float
    mar: float
    decode: float


@dataclass(frozen=True)
class Frame:
    """What is known of a frame beside its features.

    Attributes:
        stamp: seconds.
        size: height and width of the image, pixels.
    """

    stamp: float
    size: tuple[int, int]


class NotFiniteError(ArithmeticError):
    """The network computed values that are not finite: there are no labels."""


class RestartKind(Enum):
    """Why a stream began anew."""

    TIME_WENT_BACK = "time went back"
    GAP = "a gap"
    NEW_SIZE = "the image size changed"
    RESET = "it was reset"


@dataclass(frozen=True)
class Restart:
    """That a stream began anew: the kind of reason, and its text for people."""

    kind: RestartKind
    text: str


@dataclass(frozen=True)
class Segmentation:
    """The labels of one frame.

    Attributes:
        label: class ids, uint8 H x W, the size of the pushed image.
        confidence: largest class probability x 255, uint8 H x W.
        stamp: stamp of the frame the labels belong to, seconds.
        window: how many different frames the temporal fusion looked at; one after an interval that
            is too long for the model (``Architecture.longest_interval``).
        memory_share: the weight of earlier frames in the fused features, mean of all pixels, 0 to
            1: low where they show other things; None if the network cannot tell.
        strangeness: how unlike known streets the frame is (stmem_ros.model.familiarity): about
            0.6 on streets, 1.3 and more elsewhere; None of a model that was not calibrated.
        timings: seconds per stage.
        restart: why the stream began anew with this frame, None if it did not.
    """

    label: np.ndarray
    confidence: np.ndarray
    stamp: float
    window: int
    memory_share: float | None
    strangeness: float | None
    timings: StageTimings
    restart: Restart | None = None


class StreamingSegmenter:
    """Segments the frames of one camera in order.

    Causal models label the newest frame. Centred models label the frame ``window // 2`` before it
    (its stamp is in the result): right for offline work, one frame late on a vehicle.

    Args:
        model: from :func:`stmem_ros.load_bundle`.
        max_gap: a pause longer than this many seconds starts the stream anew.
        inference_height: pixels that the network sees images at, taller ones scaled down and
            smaller ones enlarged, to the height of its training at most (labels still have the
            image's size); None: never scaled.
        execution: precision, compilation, CUDA graphs.
        area: what of the images is labelled.

    Raises:
        ValueError: a value is not allowed, or the device cannot do it.
    """

    def __init__(
        self,
        model: BundledSegmenter,
        max_gap: float = 1.0,
        inference_height: int | None = None,
        execution: Execution = Execution(),  # noqa: B008 (frozen)
        area: ImageArea = WHOLE,
    ) -> None:
        if not max_gap > 0:
            raise ValueError(f"max_gap is {max_gap} s; it must be positive")
        if inference_height is not None and inference_height < SMALLEST:
            raise ValueError(
                f"inference_height is {inference_height} pixels; it must be at least {SMALLEST}"
            )
        self.model = model
        self.max_gap = max_gap
        self.inference_height = inference_height
        self.area = area
        self.device = next(model.parameters()).device
        self.runner = shared_runner(model, execution)
        self.core = self.runner.core
        self.fusion = self.runner.fusion()
        self.ring: Ring[Frame] = Ring(model.architecture.window if model.stf is not None else 1)

    def reset(self) -> None:
        """Forget all frames."""
        self.ring.clear()
        self.fusion.reset()

    def swap_memory(self, bank: MemoryBank) -> None:
        """Use another memory bank from the next frame on, in all streams of the model.

        ``load_memory`` checks that it fits.
        """
        swap_memory(self.model, bank)

    def push(self, rgb: np.ndarray, stamp: float) -> Segmentation:
        """Segment the next frame.

        Args:
            rgb: uint8 H x W x 3, at least 32 x 32 pixels.
            stamp: seconds; a stamp that goes back, a gap above ``max_gap`` and a new image size
                start the stream anew.

        Raises:
            ValueError: the image or the stamp cannot be used; the stream stays as it was.
        """
        return push_together([self], [rgb], [stamp])[0]

    def check(self, rgb: np.ndarray, stamp: float) -> None:
        """Refuse what :meth:`push` would; see there."""
        self.area.check(rgb)
        if not np.isfinite(stamp):
            raise ValueError(f"stamp is {stamp}; it must be a finite number of seconds")

    def _restart(self, frame: Frame) -> Restart | None:
        """Why the stream begins anew with a frame, None if it goes on."""
        last = self.ring.newest
        if last is None:
            return None
        if frame.stamp < last.stamp:
            text = f"time went back by {last.stamp - frame.stamp:.3f} s"
            return Restart(RestartKind.TIME_WENT_BACK, text)
        if frame.stamp - last.stamp > self.max_gap:
            text = f"a gap of {frame.stamp - last.stamp:.3f} s (max_gap is {self.max_gap} s)"
            return Restart(RestartKind.GAP, text)
        if frame.size != last.size:
            text = f"the image size changed to {frame.size[1]} x {frame.size[0]}"
            return Restart(RestartKind.NEW_SIZE, text)
        return None

    def _is_far(self, frame: Frame) -> bool:
        """Whether a frame lies too far from the last one to look back at it."""
        last, architecture = self.ring.newest, self.model.architecture
        if last is None or not architecture.causal:  # a centred one would owe the last one's labels
            return False
        return frame.stamp - last.stamp > architecture.longest_interval

    def _append(self, frame: Frame) -> Frame:
        """Take note of a new frame; returns the target of the window it completes."""
        self.ring.append(frame)
        return self.ring.window()[
            self.model.architecture.target if self.model.stf is not None else -1
        ]

    def _network_size(self, rgb: np.ndarray) -> tuple[int, int]:
        size, height = (rgb.shape[0], rgb.shape[1]), self.inference_height
        if height is not None and size[0] < height:  # no image gains by more than the trained one
            height = max(size[0], min(height, self.model.info.height))
        return self.area.network_size(size, height)


def push_together(
    streams: Sequence[StreamingSegmenter], images: Sequence[np.ndarray], stamps: Sequence[float]
) -> list[Segmentation]:
    """Segment the next frame of each of several cameras; as :meth:`StreamingSegmenter.push`.

    Images that the network sees at equal sizes go through it as one batch, whose timings all its
    segmentations tell. Each camera has a window of its own.

    Args:
        streams: of one model, run in one way; each at most once.

    Raises:
        ValueError: an image or a stamp cannot be used, or streams do not go together; all stay as
            they were. What else fails makes all begin anew.
    """
    if len({id(stream.runner) for stream in streams}) != 1 or len(set(streams)) != len(streams):
        raise ValueError("streams must be of one model, run in one way, and each there once")
    sizes = []
    for stream, rgb, stamp in zip(streams, images, stamps, strict=True):
        stream.check(rgb, stamp)
        sizes.append(stream._network_size(rgb))
    results: dict[int, Segmentation] = {}
    try:
        for size in dict.fromkeys(sizes):
            members = [i for i, other in enumerate(sizes) if other == size]
            with streams[0].runner.turn:
                batch = _push_batch(
                    size,
                    [streams[i] for i in members],
                    [images[i] for i in members],
                    [stamps[i] for i in members],
                )
            results.update(zip(members, batch, strict=True))
    except Exception:
        for stream in streams:  # some may have come half way
            stream.reset()
        raise
    return [results[i] for i in range(len(streams))]


@torch.inference_mode()
def _push_batch(
    size: tuple[int, int],
    streams: list[StreamingSegmenter],
    images: list[np.ndarray],
    stamps: list[float],
) -> list[Segmentation]:
    """Of checked images, all of which the network sees at ``size``."""
    network, info = streams[0].runner, streams[0].model.info
    fusions = [stream.fusion for stream in streams]
    network.rehearse(fusions, size)
    clock = StageClock(network.device)
    seen = [
        stream.area.seen(image, info.mean) for stream, image in zip(streams, images, strict=True)
    ]
    batch = normalise(upload(seen, size, network.device), info.mean, info.std)
    clock.stage_ends("upload")
    features = network.features(batch)
    strangeness = _strangeness(streams[0].model, features)
    clock.stage_ends("backbone")

    restarts, targets = [], []
    for stream, image, stamp in zip(streams, images, stamps, strict=True):
        frame = Frame(stamp, (image.shape[0], image.shape[1]))
        restart = stream._restart(frame)
        if restart is not None or stream._is_far(frame):
            stream.reset()
        restarts.append(restart)
        targets.append(stream._append(frame))
    fused, shares = network.fuse(fusions, features)
    clock.stage_ends("stf")
    refined = network.refine(fused)
    clock.stage_ends("mar")
    label, probability = network.decode(refined, *size)
    confidence = (probability * 255).round_().to(torch.uint8)
    total = probability.sum(dtype=torch.float32)[None]  # one pixel that is not finite makes it so
    maps, (sums, memory_shares, how_strange) = to_host(
        torch.stack([label, confidence]), (total, shares, strangeness)
    )
    if not np.isfinite(sums).all():
        raise NotFiniteError(
            f"the network's values are not finite in {network.execution.precision}: weights may be "
            "damaged, or precision float32 be needed"
        )
    of_images = [
        stream.area.image_labels(label, confidence, target.size)
        for stream, label, confidence, target in zip(streams, *maps, targets, strict=True)
    ]
    clock.stage_ends("decode")
    timings = StageTimings(**clock.seconds())
    return [
        Segmentation(
            label=label,
            confidence=confidence,
            stamp=target.stamp,
            window=len(stream.ring),
            memory_share=_memory_share(share, len(stream.ring)),
            strangeness=None if math.isnan(strange) else strange,
            timings=timings,
            restart=restart,
        )
        for (label, confidence), target, stream, share, strange, restart in zip(
            of_images,
            targets,
            streams,
            memory_shares.tolist(),
            how_strange.tolist(),
            restarts,
            strict=True,
        )
    ]


def _strangeness(model: BundledSegmenter, features: torch.Tensor) -> torch.Tensor:
    """Of the features of some images; not a number where the model cannot tell."""
    if model.familiarity is None:
        return features.new_full((len(features),), torch.nan, dtype=torch.float32)
    return model.familiarity.strangeness(features)


def _memory_share(share: float, frames: int) -> float | None:
    """What is told of the share of memory in a window of some different frames."""
    if frames == 1:
        return 0.0  # the others are copies of it
    return None if math.isnan(share) else share
