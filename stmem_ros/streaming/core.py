"""A bundle's network as streams run it: folded once, shared by all streams of a process."""

from __future__ import annotations

import copy
from enum import Enum
from typing import TypeVar

import torch
from torch import Tensor, nn

from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.model.prototype_refinement import PrototypeRefinement
from stmem_ros.model.pyramid import PyramidPoolingHead
from stmem_ros.model.segmenter import frame_features
from stmem_ros.model.stf import SpatialTemporalFusion
from stmem_ros.streaming.fusion import (
    AlignedWindowFusion,
    SingleFrame,
    StreamFusion,
    TokenFusion,
    WindowFusion,
)
from stmem_ros.streaming.kernels.decode import decode
from stmem_ros.streaming.kernels.folded_alignment import FoldedAlignment
from stmem_ros.streaming.kernels.folded_convolutions import (
    FoldedPyramidPoolingHead,
    fold_batch_norms,
    fold_detail_projection,
)
from stmem_ros.streaming.kernels.folded_mar import FoldedRefinement
from stmem_ros.streaming.kernels.folded_stf import FoldedFusion
from stmem_ros.streaming.kernels.fused_convolutions import fuse_convolutions
from stmem_ros.streaming.kernels.winograd import use_winograd

ALIGNED = (AlignedFusion, FoldedAlignment)  # the light form's fusions

M = TypeVar("M", bound=nn.Module)


class Kernels(Enum):
    """What a network is run by."""

    ONEDNN = "oneDNN's convolutions and products, in float32 on a CPU; each stream's fusion alone"
    TORCH = "torch's, on a CPU; each stream's fusion alone"
    GPU = "torch's, on a GPU; the fusion of several streams together"


class StreamingCore:
    """The parts of a :class:`Segmenter`, without what its plain form does twice.

    Made of the weights as they are. The answers are those of the plain form but for rounding.

    Args:
        dtype: of the weights of backbone, head and the published STF, and of what they are given;
            with ``Kernels.GPU`` alone another one than float32.
    """

    def __init__(
        self, model: BundledSegmenter, kernels: Kernels, dtype: torch.dtype = torch.float32
    ) -> None:
        self._classifier = model.classifier
        self._frame_classifier = in_type(model.classifier, dtype)
        self._temperature = model.info.temperature
        self._stride = model.architecture.stride
        self._zoom = model.architecture.zoom
        self.backbone = fold_batch_norms(model.backbone)
        self.head: nn.Module
        if isinstance(model.head, PyramidPoolingHead):
            self.head = FoldedPyramidPoolingHead(model.head)
        else:
            self.head = fold_batch_norms(model.head)
            fold_detail_projection(self.head)
        if kernels is Kernels.ONEDNN:
            for part in (self.backbone, self.head):
                use_winograd(part)
                fuse_convolutions(part)
        self.backbone.to(dtype)
        self.head.to(dtype)
        self._stf = None if model.stf is None else _fusion(model.stf, kernels, dtype)
        self._mar = model.mar
        self._folded_mar: FoldedRefinement | None = None
        if isinstance(model.mar, MemoryAugmentedRefinement):
            self._folded_mar = FoldedRefinement(model.mar)

    def features(self, images: Tensor) -> Tensor:
        """As ``Segmenter.features``."""
        return frame_features(
            self.backbone,
            self.head,
            images,
            self._zoom,
            self._frame_classifier if isinstance(self._stf, ALIGNED) else None,
        )

    def fusion(self) -> StreamFusion:
        """The temporal fusion of a new stream."""
        if isinstance(self._stf, ALIGNED):
            return AlignedWindowFusion(self._stf)
        if isinstance(self._stf, SpatialTemporalFusion):
            return WindowFusion(self._stf)
        return SingleFrame() if self._stf is None else TokenFusion(self._stf)

    def refine(self, features: Tensor) -> Tensor:
        """As ``Segmenter.refine``."""
        if isinstance(self._mar, PrototypeRefinement):
            return self._mar(features, self.classify(features).softmax(dim=1))
        return features if self._folded_mar is None else self._folded_mar(features)

    def classify(self, features: Tensor) -> Tensor:
        """As ``Segmenter.classify``."""
        return self._classifier(features)

    def calibrated(self, features: Tensor) -> Tensor:
        """Scores whose softmax tells how often labels are right."""
        return self.classify(features) / self._temperature

    def decode(self, features: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Labels 1 x H x W uint8 and their probabilities, of refined features."""
        return decode(self.calibrated(features), self._stride, height, width)

    def fold_memory(self) -> None:
        """Take over the model's memory as it is now; in place, where CUDA graphs find it."""
        if isinstance(self._mar, MemoryAugmentedRefinement) and self._folded_mar is not None:
            folded = FoldedRefinement(self._mar)
            self._folded_mar.recall.copy_(folded.recall)
            self._folded_mar.answer.copy_(folded.answer)


def _fusion(
    stf: AlignedFusion | SpatialTemporalFusion, kernels: Kernels, dtype: torch.dtype
) -> AlignedFusion | SpatialTemporalFusion | FoldedAlignment | FoldedFusion:
    """The fusion that is run: as it is where several streams go on together, else folded."""
    if isinstance(stf, AlignedFusion):
        return fold_batch_norms(stf) if kernels is Kernels.GPU else FoldedAlignment(stf)
    if kernels is Kernels.GPU:
        return in_type(stf, dtype)
    return FoldedFusion(stf, cpu_kernels=kernels is Kernels.ONEDNN)


def in_type(module: M, dtype: torch.dtype) -> M:
    """The module itself, or a copy with weights of another type."""
    if next(module.parameters()).dtype == dtype:
        return module
    return copy.deepcopy(module).to(dtype)
