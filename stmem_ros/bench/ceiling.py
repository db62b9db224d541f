"""How fast a stage could be: what its operators compute and move, at the rates of the device.

An operator cannot take less than its products take in large matrices, nor than its inputs and
outputs take to be copied; a stage is its operators one after another (Williams et al., "Roofline",
CACM 2009). Where a cache holds what lies between two operators, or Winograd's filtering saves
products, a stage may be faster than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.core import Kernels, StreamingCore
from stmem_ros.streaming.execution import DTYPES, is_gpu

FREE = (
    "empty",
    "new_empty",
    "empty_like",
    "empty_strided",
    "detach",
)  # operators that move nothing
TRIES = 5


@dataclass(frozen=True)
class Work:
    """What an operator or some of them do.

    Attributes:
        flops: of products and convolutions; a product and its sum are two.
        bytes: of all inputs and outputs.
    """

    flops: float
    bytes: float


@dataclass(frozen=True)
class Rates:
    """What a device can do.

    Attributes:
        flops: per second, in a product of large matrices.
        bytes: per second read and written, in a copy of what no cache holds.
    """

    flops: float
    bytes: float


@dataclass(frozen=True)
class StageLimit:
    """Of a stage of one frame.

    Attributes:
        gflop: billions of operations.
        megabytes: that its operators read and write.
        ms: what they take at least, one after another.
        bound: what most of that time goes to, ``products`` or ``memory``.
    """

    gflop: float
    megabytes: float
    ms: float
    bound: str


class _Counter(TorchDispatchMode):
    """Notes the work of each operator."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[Work] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with self:  # its parts, where it has some
            whole = func.decompose(*args, **kwargs)
        if whole is not NotImplemented:
            return whole
        with FlopCounterMode(display=False) as counter:
            out = func(*args, **kwargs)
        if func.is_view or func._schema.name.removeprefix("aten::") in FREE:
            return out
        flops = counter.get_total_flops()
        moved = [x for x in tree_flatten((args, kwargs, out))[0] if isinstance(x, Tensor)]
        self.work.append(Work(flops, sum(x.numel() * x.element_size() for x in moved)))
        return out


def measure_rates(device: torch.device, precision: str) -> Rates:
    """The device's rates now, the best of a few tries."""
    gpu = is_gpu(device)
    side, length = (8192, 2**28) if gpu else (1024, 2**26)
    a = torch.randn(side, side, device=device, dtype=DTYPES[precision])
    source = torch.ones(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = _best_seconds(lambda: a @ a, device)
    copy = _best_seconds(lambda: target.copy_(source), device)
    return Rates(2 * side**3 / product, 2 * length / copy)


def _best_seconds(function: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(TRIES):
        wait_for(device)
        started = time.perf_counter()
        function()
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def wait_for(device: torch.device) -> None:
    """Until a GPU has done all that it was given; for clocks."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def count_work(
    model: BundledSegmenter, size: tuple[int, int], precision: str
) -> dict[str, list[Work]]:
    """The operators of each stage of a frame of ``size``, in the middle of a stream."""
    device = next(model.parameters()).device
    kernels = Kernels.GPU if is_gpu(device) else Kernels.TORCH
    # On a CPU in float32: what autocast casts is counted as if it stayed.
    core = StreamingCore(model, kernels, DTYPES[precision] if is_gpu(device) else torch.float32)
    fusion = core.fusion()
    dtype = next(core.backbone.parameters()).dtype
    fusion_dtype = torch.float32 if fusion.needs_float32 else dtype
    rgb = torch.from_numpy(np.zeros((1, *size, 3), np.uint8))
    work: dict[str, list[Work]] = {}

    def run(stage: str, function: Callable[..., Any], *arguments: Any) -> Any:
        with _Counter() as counter:
            result = function(*arguments)
        work[stage] = counter.work
        return result

    for _ in range(2):  # the first fills the window
        images = run(
            "upload", lambda: normalise(rgb.to(device), model.info.mean, model.info.std).to(dtype)
        )
        features = run("backbone", core.features, images)
        fused, _ = run("stf", fusion.push, features.to(fusion_dtype))
        refined = run("mar", core.refine, fused.float())
        run("decode", core.decode, refined, *size)
    return work


def stage_limits(work: dict[str, list[Work]], rates: Rates) -> dict[str, StageLimit]:
    """What each stage takes at least at some rates."""
    limits = {}
    for stage, operators in work.items():
        products = [w.flops / rates.flops for w in operators]
        copies = [w.bytes / rates.bytes for w in operators]
        pairs = list(zip(products, copies, strict=True))
        in_products = sum(p for p, c in pairs if p > c)
        total = sum(max(pair) for pair in pairs)
        limits[stage] = StageLimit(
            gflop=sum(w.flops for w in operators) / 1e9,
            megabytes=sum(w.bytes for w in operators) / 1e6,
            ms=1e3 * total,
            bound="products" if 2 * in_products > total else "memory",
        )
    return limits
