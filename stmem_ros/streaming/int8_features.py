"""Backbone and head in int8 on a CPU: the graph of a quantised bundle, run by ONNX Runtime.

The graph takes images 1 x 3 x H x W of one size, as the backbone sees them, and returns the
features of the head and, for an aligned fusion, those of the backbone at 1/4.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from stmem_ros.error_text import error_text
from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.bundle import INT8_FEATURES, BundledSegmenter, BundleError
from stmem_ros.model.segmenter import enlarge


class Int8Features:
    """Features of images of one size; of :func:`open_int8_features`.

    Args:
        session: of ONNX Runtime.
    """

    def __init__(self, model: BundledSegmenter, session: Any) -> None:
        self._session = session
        self._zoom = model.architecture.zoom
        self._classifier = model.classifier if isinstance(model.stf, AlignedFusion) else None
        self._size = tuple(session.get_inputs()[0].shape[2:])
        self._name = model.info.name
        self._told: set[tuple[int, ...]] = set()

    def __call__(self, images: Tensor) -> Tensor | None:
        """As ``Segmenter.features``; None, with a warning per size, of images of another size."""
        enlarged = enlarge(images, self._zoom).contiguous()
        if enlarged.shape[2:] != self._size:
            self._tell(images.shape[2:])
            return None
        return torch.cat([self._features(image) for image in enlarged.split(1)]).contiguous(
            memory_format=torch.channels_last
        )

    def _features(self, image: Tensor) -> Tensor:
        outputs = self._session.run(None, {"images": image.numpy()})
        features, *appearance = (torch.from_numpy(x) for x in outputs)
        if self._classifier is None:
            return features
        scores = self._classifier(features).softmax(dim=1)
        return torch.cat([features, *appearance, scores], dim=1)

    def _tell(self, size: torch.Size) -> None:
        if size not in self._told:
            self._told.add(size)
            height, width = (math.floor(side / self._zoom + 1e-6) for side in self._size)
            warnings.warn(
                f"model {self._name!r} is quantised for images of {height}x{width}; those of "
                f"{size[0]}x{size[1]} run in float32 (`stmem model quantise --size`)",
                stacklevel=2,
            )


def open_int8_features(model: BundledSegmenter) -> Int8Features | None:
    """What runs the int8 graph of a model; None, with a warning, where ONNX Runtime is missing.

    It has as many threads as torch.

    Raises:
        BundleError: the graph is damaged, or of another network.
    """
    try:
        import onnxruntime
    except ImportError:
        warnings.warn(
            f"model {model.info.name!r} is quantised, and runs in float32, as onnxruntime is not "
            "installed: pip install onnxruntime",
            stacklevel=2,
        )
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Between frames its threads would keep a core busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            model.int8_features, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of a kind of its own for each fault
        raise BundleError(
            f"{INT8_FEATURES} of model {model.info.name!r} is damaged: {error_text(error)}"
        ) from error
    _check(model, session)
    return Int8Features(model, session)


def _check(model: BundledSegmenter, session: Any) -> None:
    """Refuse a graph of another network."""
    names = [x.name for x in (*session.get_inputs(), *session.get_outputs())]
    wanted = ["images", "features"]
    if isinstance(model.stf, AlignedFusion):
        wanted.append("appearance")
    channels = model.architecture.channels
    if names != wanted or session.get_outputs()[0].shape[1] != channels:
        raise BundleError(
            f"{INT8_FEATURES} of model {model.info.name!r} is of another network; it must have "
            f"{', '.join(wanted)}, with {channels} channels; make it with `stmem model quantise`"
        )
