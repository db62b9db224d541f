"""Backbone and head to int8, by ONNX Runtime's static quantisation.

Weights are int8 with a scale per channel, activations uint8 with a scale per tensor, found on
images of the training (Jacob et al., Quantization and training of neural networks for efficient
integer-arithmetic-only inference, CVPR 2018). Temporal fusion, memory and scores stay float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.segmenter import enlarge, normalise
from stmem_ros.streaming.core import Kernels, StreamingCore
from stmem_ros.streaming.onnx_export import make_program
from stmem_ros.streaming.transfer import upload

Size = tuple[int, int]  # rows and columns


class FramePart(nn.Module):
    """Enlarged images to the features of the head and, for an aligned fusion, those at 1/4."""

    def __init__(self, model: BundledSegmenter) -> None:
        super().__init__()
        core = StreamingCore(model, Kernels.TORCH)
        self.backbone, self.head = core.backbone, core.head
        self.is_aligned = isinstance(model.stf, AlignedFusion)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        levels = self.backbone(images)
        features = self.head(levels)
        return (features, levels[1]) if self.is_aligned else (features,)


@torch.no_grad()
def quantise(model: BundledSegmenter, size: Size, images: Iterable[np.ndarray]) -> bytes:
    """The graph that :class:`Int8Features` runs, for images of one size.

    Args:
        model: on the CPU.
        size: height and width of the images as the network sees them, pixels.
        images: RGB uint8 H x W x 3 that tell the ranges of activations, scaled to ``size``; at
            least one.

    Raises:
        ImportError: the extra ``export`` is not installed.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    part = FramePart(model).eval()
    with tempfile.TemporaryDirectory() as folder:
        exported, prepared, quantised = (Path(folder) / f"{i}.onnx" for i in range(3))
        program = make_program(
            part,
            (_seen(model, np.zeros((*size, 3), np.uint8), size),),
            inputs=["images"],
            outputs=["features", "appearance"][: 1 + part.is_aligned],
        )
        program.save(exported, external_data=False)
        quant_pre_process(str(exported), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantised),
            _Calibration(_seen(model, image, size) for image in images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return quantised.read_bytes()


class _Calibration:
    """Images as ONNX Runtime asks for them (its ``CalibrationDataReader``)."""

    def __init__(self, images: Iterable[Tensor]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"images": image.numpy()}


def _seen(model: BundledSegmenter, image: np.ndarray, size: Size) -> Tensor:
    """An image as the backbone sees it, 1 x 3 x H x W."""
    batch = normalise(upload([image], size, torch.device("cpu")), model.info.mean, model.info.std)
    return enlarge(batch, model.architecture.zoom).contiguous()
