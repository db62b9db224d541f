"""oneDNN's operators, which torch keeps for its own compiler.

They are private: a release of torch, a build of it or a CPU may lack one. So each is tried on a few
numbers before it is used. Where one fails, callers take torch's public operators instead, and a
warning says so once per process.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stmem_ros.error_text import error_text

Geometry = tuple[Any, ...]  # padding, stride, dilation and groups, as nn.Conv2d has them


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    activation: str,
    limits: list[float],
) -> Tensor:
    """A convolution whose results are clipped as they are written.

    Args:
        weight: as it is, or as :func:`order_convolution_weight` gives it.
        activation: oneDNN's name of it, with its ``limits``.
    """
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, *geometry, activation, limits, ""
    )


def convolve_onto(
    base: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    activation: str | None,
) -> Tensor:
    """A convolution that is added to ``base``, in its memory, and then clipped."""
    return torch.ops.mkldnn._convolution_pointwise_.binary(
        base, x, weight, bias, *geometry, "add", 1.0, activation, [], None
    )


def order_convolution_weight(weight: Tensor, geometry: Geometry, shape: torch.Size) -> Tensor:
    """A weight in the order that oneDNN takes for inputs of this shape."""
    dense = weight.to_dense() if weight.is_mkldnn else weight
    return torch.ops.mkldnn._reorder_convolution_weight(dense, *geometry, shape)


def same_order(a: Tensor, b: Tensor) -> bool:
    """Whether two ordered weights are in one order; False where torch does not tell."""
    describe = getattr(torch.ops.mkldnn, "_get_mkldnn_serialized_md", None)
    return describe is not None and torch.equal(describe(a), describe(b))


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear``, with a weight that :func:`order_linear_weight` gave."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def order_linear_weight(weight: Tensor, rows: int) -> Tensor:
    """A weight, contiguous, in the order that oneDNN takes for inputs of so many rows."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows)


@cache
@torch.autocast("cpu", enabled=False)
def convolutions_work() -> bool:
    """Whether convolutions may be called here; warns if not."""
    x, weight, bias = _ramp(1, 2, 4, 4), _ramp(2, 2, 3, 3), _ramp(2)
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    plain = F.conv2d(x, weight, bias, padding=1)

    def ordered() -> Tensor:
        return order_convolution_weight(weight, geometry, x.shape)

    trials = {
        "_convolution_pointwise": lambda: (
            convolve(x, weight, bias, geometry, "hardtanh", [0.0, 6.0]) - plain.clamp(0, 6)
        ),
        "_convolution_pointwise_": lambda: (
            convolve_onto(x.clone(), x, weight, bias, geometry, "relu") - (x + plain).relu()
        ),
        "_reorder_convolution_weight": lambda: (
            convolve(x, ordered(), bias, geometry, "none", []) - plain
        ),
    }
    return _all_work(trials, "convolutions, and what adds to them or clips them, run apart")


@cache
@torch.autocast("cpu", enabled=False)
def products_work() -> bool:
    """Whether products may be called here; warns if not."""
    x, weight, bias = _ramp(4, 3), _ramp(2, 3), _ramp(2)
    plain = F.linear(x, weight, bias)
    trials = {
        "_reorder_linear_weight": lambda: order_linear_weight(weight, 4).to_dense() - weight,
        "_linear_pointwise": lambda: multiply(x, order_linear_weight(weight, 4), bias) - plain,
    }
    return _all_work(trials, "products with fixed matrices run as torch runs them")


def _ramp(*shape: int) -> Tensor:
    """Numbers from -1 to 1."""
    count = torch.Size(shape).numel()
    return torch.linspace(-1, 1, count, dtype=torch.float32, device="cpu").view(shape)


def _all_work(trials: Mapping[str, Callable[[], Tensor]], consequence: str) -> bool:
    """Whether each operator gives what it should: a difference of zero, but for rounding."""
    for operator, difference in trials.items():
        try:
            problem = "" if difference().abs().max() < 1e-4 else "its result is wrong"
        except Exception as error:  # of any kind: what a release lacks it may tell in any way
            problem = error_text(error)
        if problem:
            warnings.warn(
                f"torch {torch.__version__} cannot run torch.ops.mkldnn.{operator} here "
                f"({problem[:200]}): {consequence}, so that frames take longer on this CPU; "
                "labels stay the same but for rounding",
                stacklevel=2,
            )
            return False
    return True
