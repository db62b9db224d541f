"""The step of a stream as an ONNX graph: an image and the state in, labels and the new state out.

The state is what a stream remembers of earlier frames. It begins as zeros, and the first frame goes
in as many times as the window has frames: after that nothing of the zeros is left, and the window
is filled with that frame, as a :class:`StreamingSegmenter` fills it.
"""

from __future__ import annotations

import json
import logging
import warnings
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.io.whole_output import whole_file
from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.core import Kernels, StreamingCore
from stmem_ros.streaming.fusion import AlignedWindowFusion, State
from stmem_ros.streaming.kernels.folded_convolutions import fold_batch_norms

OPSET = 18
ONE_FILE = 1.5e9  # bytes; what is larger (a file holds 2 GB) keeps its weights in a second one


def make_program(
    module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str]
) -> torch.onnx.ONNXProgram:
    """A module as an ONNX graph whose inputs and outputs have names.

    Raises:
        ImportError: the extra ``export`` is not installed.
    """
    notices = logging.getLogger("torch.onnx")  # of operators of packages that are not there
    level = notices.level
    notices.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # What torch itself uses of itself.
            warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
            program = torch.onnx.export(
                module,
                example,
                input_names=inputs,
                output_names=outputs,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        notices.setLevel(level)
    assert program is not None
    return program


class StreamStep(nn.Module):
    """One frame of a stream as a function of tensors.

    ``image`` is uint8 1 x H x W x 3 (RGB). Returned are the labels of the window's target frame,
    uint8 1 x H x W, their probabilities x 255, uint8 1 x H x W, the logits 1 x classes x h x w they
    come from, and the state for the next frame.

    Raises:
        ValueError: the graph cannot be made for images of this size.
    """

    def __init__(self, model: BundledSegmenter, size: tuple[int, int]) -> None:
        super().__init__()
        architecture = model.architecture
        multiple = Fraction(architecture.stride).limit_denominator(1000).numerator
        if architecture.zoom != 1 and any(side % multiple for side in size):
            raise ValueError(
                f"size is {size[0]}x{size[1]}; the model enlarges images by {architecture.zoom}, "
                f"for which ONNX needs multiples of {multiple} pixels"
            )
        self._info = model.info
        self._core = StreamingCore(model, Kernels.TORCH)
        self._fusion = self._core.fusion()
        if isinstance(model.stf, AlignedFusion):  # exporters know grid_sample
            self._fusion = AlignedWindowFusion(fold_batch_norms(model.stf))
        self._size = size
        first = self._features(torch.zeros(1, *size, 3, dtype=torch.uint8))
        self._feature_size = (first.shape[-2], first.shape[-1])
        # Pixels of all features; what lies beyond the image is cut off.
        self._score_size = tuple(round(side * architecture.stride) for side in self._feature_size)
        self._fusion.push(first)
        self.empty_state: State = tuple(torch.zeros_like(x) for x in self._fusion.state())

    def forward(self, image: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        self._fusion.resume(state, self._feature_size)
        fused, _ = self._fusion.push(self._features(image))
        logits = self._core.calibrated(self._core.refine(fused))
        scores = F.interpolate(logits, self._score_size, mode="bilinear", align_corners=False)
        height, width = self._size
        probability, label = scores[..., :height, :width].softmax(dim=1).max(dim=1)
        confidence = (probability * 255).round().to(torch.uint8)
        return (label.to(torch.uint8), confidence, logits, *self._fusion.state())

    def _features(self, image: Tensor) -> Tensor:
        return self._core.features(normalise(image, self._info.mean, self._info.std))


@torch.no_grad()
def export_onnx(model: BundledSegmenter, size: tuple[int, int], path: Path) -> None:
    """Write the step of a stream for images of one size.

    Inputs ``image``, ``state_0``, ``state_1``, ...; outputs ``label``, ``confidence``, ``logits``,
    ``next_state_0``, ... The graph's metadata tell ``window``, ``classes`` (names, a JSON list),
    ``causal``, and the model's ``name``.

    Args:
        model: on the CPU.
        size: height and width of the images, pixels.
        path: of the file, which is replaced; weights of more than 1.5 GB go to ``path``.data.

    Raises:
        ValueError: the graph cannot be made for images of this size.
        ImportError: the extra ``export`` is not installed.
    """
    step = StreamStep(model, size).eval()
    states = [f"state_{i}" for i in range(len(step.empty_state))]
    program = make_program(
        step,
        (torch.zeros(1, *size, 3, dtype=torch.uint8), *step.empty_state),
        inputs=["image", *states],
        outputs=["label", "confidence", "logits", *(f"next_{name}" for name in states)],
    )
    program.model.metadata_props.update(
        name=model.info.name,
        window=str(model.architecture.window if model.stf is not None else 1),
        causal=str(model.architecture.causal),
        classes=json.dumps([c.name for c in model.info.classes]),
    )
    tensors = (value.const_value for value in program.model.graph.initializers.values())
    weights = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    with whole_file(path) as part:
        program.save(part, external_data=weights > ONE_FILE)
        weights_file(path).unlink(missing_ok=True)
        if weights > ONE_FILE:
            weights_file(part).replace(weights_file(path))


def weights_file(path: Path) -> Path:
    """Where the weights of a large graph go, beside the graph at ``path``."""
    return path.with_name(f"{path.name}.data")
