"""Frames in order -> segmentations, each frame through the backbone once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch

from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.core import streaming_core
from stmem_ros.streaming.ring import Ring

SMALLEST = 32  # pixels a side: one pixel of the coarsest feature map

T = TypeVar("T")


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
        inference_size: height and width of what the network saw, pixels.
    """

    stamp: float
    size: tuple[int, int]
    inference_size: tuple[int, int]


@dataclass(frozen=True)
class Segmentation:
    """The labels of one frame.

    Attributes:
        label: class ids, uint8 H x W, the size of the pushed image.
        confidence: largest class probability x 255, uint8 H x W.
        stamp: stamp of the frame the labels belong to, seconds.
        window: how many different frames the temporal fusion looked at.
        timings: seconds a stage.
        restarted: why the stream began anew with this frame, None if it did not.
    """

    label: np.ndarray
    confidence: np.ndarray
    stamp: float
    window: int
    timings: StageTimings
    restarted: str | None = None


class StreamingSegmenter:
    """Segments the frames of one camera in order.

    Causal models label the newest frame. Centred models label the frame ``window // 2`` before it
    (its stamp is in the result): right for offline work, one frame late on a vehicle.

    Args:
        model: from :func:`stmem_ros.load_bundle`.
        max_gap: a pause longer than this many seconds starts the stream anew.
        inference_height: images taller than this many pixels are scaled down to it before the
            network sees them (labels still have the image's size); None: never scaled.
    """

    def __init__(
        self,
        model: BundledSegmenter,
        max_gap: float = 1.0,
        inference_height: int | None = None,
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
        self.device = next(model.parameters()).device
        self.core = streaming_core(model)
        self.fusion = self.core.fusion()
        self.ring: Ring[Frame] = Ring(model.architecture.window if model.stf is not None else 1)

    def reset(self) -> None:
        """Forget all frames."""
        self.ring.clear()
        self.fusion.reset()

    @torch.inference_mode()
    def swap_memory(self, bank: MemoryBank) -> None:
        """Use another memory bank from the next frame on, in all streams of the model.

        ``load_memory`` checks that it fits.
        """
        self.core.swap_memory(bank)

    @torch.inference_mode()
    def push(self, rgb: np.ndarray, stamp: float) -> Segmentation:
        """Segment the next frame.

        Args:
            rgb: uint8 H x W x 3, at least 32 x 32 pixels.
            stamp: seconds; a stamp that goes back, a gap above ``max_gap`` and a new image size
                start the stream anew.

        Raises:
            ValueError: the image or the stamp cannot be used; the stream stays as it was.
        """
        check_image(rgb)
        if not np.isfinite(stamp):
            raise ValueError(f"stamp is {stamp}; it must be a finite number of seconds")
        size = (rgb.shape[0], rgb.shape[1])
        restarted = self._restart_reason(stamp, size)

        images, upload = self._timed(lambda: self._upload(rgb))
        features, backbone = self._timed(lambda: self.core.features(images))
        if restarted:
            self.reset()
        inference_size = (images.shape[-2], images.shape[-1])
        self.ring.append(Frame(stamp, size, inference_size))
        target = self.ring.window()[
            self.model.architecture.target if self.model.stf is not None else -1
        ]

        fused, stf = self._timed(lambda: self.fusion.push(features))
        refined, mar = self._timed(lambda: self.core.refine(fused))
        (label, confidence), decode = self._timed(lambda: self._decode(refined, target))
        return Segmentation(
            label,
            confidence,
            target.stamp,
            len(self.ring),
            StageTimings(upload, backbone, stf, mar, decode),
            restarted,
        )

    def _restart_reason(self, stamp: float, size: tuple[int, int]) -> str | None:
        last = self.ring.newest
        if last is None:
            return None
        if stamp < last.stamp:
            return f"time went back by {last.stamp - stamp:.3f} s"
        if stamp - last.stamp > self.max_gap:
            return f"a gap of {stamp - last.stamp:.3f} s (max_gap is {self.max_gap} s)"
        if size != last.size:
            return f"the image size changed to {size[1]} x {size[0]}"
        return None

    def _inference_size(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = size
        if self.inference_height is None or height <= self.inference_height:
            return size
        return self.inference_height, max(SMALLEST, round(width * self.inference_height / height))

    def _upload(self, rgb: np.ndarray) -> torch.Tensor:
        height, width = self._inference_size((rgb.shape[0], rgb.shape[1]))
        if (height, width) != rgb.shape[:2]:
            rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        image = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.device)
        return normalise(image[None], self.model.info.mean, self.model.info.std)

    def _decode(self, features: torch.Tensor, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        label, sure = self.core.decode(features, *frame.inference_size)
        label_image = label[0].cpu().numpy()
        confidence = (sure[0] * 255).round().to(torch.uint8).cpu().numpy()
        if frame.inference_size != frame.size:
            whole = (frame.size[1], frame.size[0])
            label_image = cv2.resize(label_image, whole, interpolation=cv2.INTER_NEAREST)
            confidence = cv2.resize(confidence, whole, interpolation=cv2.INTER_NEAREST)
        return label_image, confidence

    def _timed(self, stage: Callable[[], T]) -> tuple[T, float]:
        start = time.perf_counter()
        result = stage()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return result, time.perf_counter() - start


def check_image(rgb: np.ndarray) -> None:
    """Refuse what is no RGB image the network can take.

    Raises:
        ValueError: wrong type, shape or size; the message names it.
    """
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8:
        kind = rgb.dtype if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"image is of {kind}; it must be a numpy array of uint8")
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"image has the shape {rgb.shape}; it must be H x W x 3 (RGB)")
    if min(rgb.shape[:2]) < SMALLEST:
        raise ValueError(
            f"image is {rgb.shape[1]} x {rgb.shape[0]} pixels; it must be at least "
            f"{SMALLEST} x {SMALLEST}"
        )
