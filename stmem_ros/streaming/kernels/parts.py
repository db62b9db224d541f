"""Work done a part at a time on a CPU, so that what lies between its steps stays in the cache."""

from __future__ import annotations

import torch
from torch import Tensor


def at_once(x: Tensor, count: int, most: int) -> int:
    """How many of ``count`` are worked on together: ``most`` on a CPU.

    All of them on a GPU, where each part costs launches, and in what is compiled or exported.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return count
    return min(count, max(1, most))
