"""GPUs that compute nothing: torch's fake tensors, which know their device, and who copies to it.

A CPU build of torch lacks what CUDA's tensors need here and there; what stands in for it is below.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import EllipsisType, FrameType
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

aten = torch.ops.aten
LARGE = 50_000  # numbers
SYNCHRONISING = ("_local_scalar_dense", "nonzero", "masked_select", "item", "equal")
COPIES = ("to", "_to_copy", "copy_", "lift_fresh", "lift_fresh_copy")


class Traffic(TorchDispatchMode):
    """Counts what crosses between host and GPUs, and large casts on them.

    Attributes:
        uploads, downloads, waits, casts: by the package's line that made them.
        mixed: operators that were given tensors of two devices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uploads: Counter[str] = Counter()
        self.downloads: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.casts: Counter[str] = Counter()
        self.mixed: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        given, made = _tensors((args, kwargs)), _tensors(out)
        sources = {x.device for x in given if x.ndim or x.device.type != "cpu"}
        targets = {x.device for x in made}
        on_gpu = {device for device in sources | targets if device.type == "cuda"}
        if not on_gpu:
            return out
        if name in COPIES:
            if any(x.device.type == "cpu" for x in made):
                self.downloads[_line()] += 1
            elif any(x.device.type == "cpu" for x in given):
                self.uploads[_line()] += 1
            elif _is_cast(given[-1], made[0]) and made[0].numel() > LARGE:
                self.casts[_line()] += 1
        elif len(sources) > 1 or len(on_gpu) > 1:
            self.mixed[f"{name} {_line()}"] += 1
        if name in SYNCHRONISING:
            self.waits[f"{name} {_line()}"] += 1
        return out


@contextmanager
def fake_gpus() -> Iterator[None]:
    """Tensors are made fake; those on ``cuda:0``, ``cuda:1``, ... know it."""
    with ExitStack() as stack:
        for target, value in STAND_INS.items():
            stack.enter_context(mock.patch(target, value, create=True))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=False))
        stack.enter_context(_WithoutDeviceGuards())
        _forget_constants()
        stack.callback(_forget_constants)
        yield


def _forget_constants() -> None:
    """Clear the package's caches: what they hold is fake in one context alone."""
    for name, module in list(sys.modules.items()):
        if name.startswith("stmem_ros."):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


class _Event:
    """In place of a CUDA event."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.was_recorded = False

    def record(self, stream: object = None) -> None:
        self.was_recorded = True

    def synchronize(self) -> None:
        assert self.was_recorded

    def elapsed_time(self, other: _Event) -> float:
        assert self.was_recorded and other.was_recorded
        return 1.0


_empty = torch.empty


def _empty_unpinned(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Tensor:
    return _empty(*args, **kwargs)


def _apply(module: nn.Module, function: Callable[[Tensor], Tensor]) -> nn.Module:
    """``Module._apply`` by new parameters: fake ones keep their type and device."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(function(_blank(parameter)), False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = function(_blank(buffer))
    return module


def _blank(x: Tensor) -> Tensor:
    """A constant's numbers are kept, and would be copied for real."""
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)


STAND_INS: dict[str, Any] = {
    "torch.cuda.Event": _Event,
    "torch.cuda.current_stream": lambda device=None: None,
    "torch.empty": _empty_unpinned,
    "torch.nn.Module._apply": _apply,
    "torch.nn.init.trunc_normal_": lambda tensor, *args, **kwargs: tensor,  # looks at numbers
    "torch.nn.modules.conv._ConvNd.reset_parameters": lambda self: None,  # takes half a second
    "torch._subclasses.fake_tensor.FakeTensorMode.__deepcopy__": lambda self, memo: self,
}


class _WithoutDeviceGuards(TorchFunctionMode):
    """Indexing and ``contiguous`` by operators: Python's take a guard of the device.

    Arrays of what is on the host are zeros.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.numpy:
            assert args[0].device.type == "cpu"
            return np.zeros(tuple(args[0].shape), str(args[0].dtype).removeprefix("torch."))
        if func is F.grid_sample:
            x, grid = args
            assert x.device == grid.device and x.dtype == grid.dtype
            return x.new_empty((*x.shape[:2], *grid.shape[1:3]))
        if func is torch.Tensor.copy_:
            return aten.copy_(*args)
        if func is torch.Tensor.__invert__:
            return aten.bitwise_not(*args)
        if func is torch.Tensor.__getitem__:
            return _indexed(*args)
        if func is torch.Tensor.__setitem__:
            target, index, value = args
            view = _indexed(target, index)
            aten.copy_(view, value) if isinstance(value, Tensor) else aten.fill_(view, value)
            return None
        if func is torch.Tensor.contiguous:
            order = kwargs.get("memory_format", args[1] if len(args) > 1 else None)
            order = order or torch.contiguous_format
            if aten.is_contiguous.memory_format(args[0], memory_format=order):
                return args[0]
            return aten.clone(args[0], memory_format=order)
        return func(*args, **kwargs)


def _indexed(x: Tensor, index: Any) -> Tensor:
    parts = list(index) if isinstance(index, tuple) else [index]
    if not any(isinstance(part, EllipsisType) for part in parts):
        parts.append(...)
    dim = 0
    for at, part in enumerate(parts):
        if isinstance(part, EllipsisType):
            left = sum(p is not None for p in parts[at + 1 :])
            dim = x.dim() - left
        elif part is None:
            x = aten.unsqueeze(x, dim)
            dim += 1
        elif isinstance(part, slice):
            whole = part == slice(None)
            x = x if whole else aten.slice(x, dim, part.start, part.stop, part.step or 1)
            dim += 1
        elif isinstance(part, Tensor):
            x = aten.index(x, [None] * dim + [part])
            dim += 1
        else:
            x = aten.select(x, dim, part)
    return x


def _tensors(content: Any) -> list[Tensor]:
    return [x for x in tree_flatten(content)[0] if isinstance(x, Tensor)]


def _is_cast(given: Tensor, made: Tensor) -> bool:
    """Whether numbers change their precision."""
    return given.dtype != made.dtype and given.is_floating_point() and made.is_floating_point()


def _line() -> str:
    """The package's innermost line that is being run."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        _, _, file = frame.f_code.co_filename.partition("/stmem_ros/")
        if file:
            return f"{file}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"
