"""A bundle's network as streams run it: folded once, shared by all streams of a process."""

from __future__ import annotations

from torch import Tensor, nn

from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.model.prototype_refinement import PrototypeRefinement
from stmem_ros.model.pyramid import PyramidPoolingHead
from stmem_ros.model.segmenter import frame_features
from stmem_ros.streaming.fusion import AlignedWindowFusion, SingleFrame, StreamFusion, TokenFusion
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


class StreamingCore:
    """The parts of a :class:`Segmenter`, without what its plain form does twice.

    Made of the weights as they are. The answers are those of the plain form but for rounding.

    Args:
        cpu_kernels: with convolutions of our own choice; for float32 on a CPU, as it is.
    """

    def __init__(self, model: BundledSegmenter, cpu_kernels: bool) -> None:
        self._classifier = model.classifier
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
        if cpu_kernels:
            for part in (self.backbone, self.head):
                use_winograd(part)
                fuse_convolutions(part)
        self._stf: FoldedFusion | FoldedAlignment | None = None
        if isinstance(model.stf, AlignedFusion):
            self._stf = FoldedAlignment(model.stf)
        elif model.stf is not None:
            self._stf = FoldedFusion(model.stf, cpu_kernels)
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
            self._classifier if isinstance(self._stf, FoldedAlignment) else None,
        )

    def fusion(self) -> StreamFusion:
        """The temporal fusion of a new stream."""
        if isinstance(self._stf, FoldedAlignment):
            return AlignedWindowFusion(self._stf)
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
