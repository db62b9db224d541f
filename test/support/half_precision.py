"""Half precision as a GPU computes it, on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

HALF = (torch.float16, torch.bfloat16)


class GpuHalfPrecision(TorchDispatchMode):
    """Each operator computes in float32 and rounds what it gives: sums are not kept in half.

    A CPU's own operators for float16 add in float16 here and there, and take minutes.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        halves = {x.dtype for x in inputs if x.is_floating_point()}
        is_copy = func._schema.name in COPIES or func.is_view
        if is_copy or len(halves) != 1 or not halves <= set(HALF) or func._schema.is_mutable:
            return func(*args, **kwargs)
        (dtype,) = halves

        def widen(x: Any) -> Any:
            return x.float() if isinstance(x, Tensor) and x.dtype in HALF else x

        def narrow(x: Any) -> Any:
            is_float = isinstance(x, Tensor) and x.dtype == torch.float32
            return x.to(dtype) if is_float and kwargs.get("dtype") is None else x

        return tree_map(narrow, func(*tree_map(widen, args), **tree_map(widen, kwargs)))


COPIES = ("aten::to", "aten::_to_copy", "aten::clone", "aten::cat", "aten::stack", "aten::copy_")
