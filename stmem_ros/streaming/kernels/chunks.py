"""Work done a chunk at a time on a CPU, so that what lies between its steps stays in the cache."""

from __future__ import annotations

import torch
from torch import Tensor

from stmem_ros.streaming.kernels.compilation import is_compiling


def joined(parts: list[Tensor], dim: int = 0) -> Tensor:
    """Parts in a row; one part alone is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def chunk_length(x: Tensor, count: int, longest: int) -> int:
    """How many of ``count`` are worked on together: ``longest`` at most on a CPU.

    All of them on a GPU, where each chunk costs launches, and in what is compiled or exported.
    """
    if x.device.type != "cpu" or is_compiling():
        return count
    return min(count, max(1, longest))
