"""MAR of a stream: two small matrices instead of seven linear maps.

(x Wq)(K Wk)^T = x A and (a (V Wv)) Wo + b = a (B + b), as each a sums to one: A and B + b are
computed once per memory.
"""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.streaming.kernels.chunks import chunk_length, joined

PIXELS = 4096  # refined at a time


def _stack_matrix(layers: nn.Sequential) -> Tensor:
    """The matrix of a stack of linear maps without bias: rows x @ matrix."""
    return reduce(
        torch.matmul, [layer.weight.T for layer in layers if isinstance(layer, nn.Linear)]
    )


class FoldedRefinement:
    """A :class:`MemoryAugmentedRefinement` in evaluation mode; holds its memory as it is now."""

    def __init__(self, mar: MemoryAugmentedRefinement) -> None:
        self.mar = mar
        keys = mar.keys @ _stack_matrix(mar.to_key)
        values = mar.values @ _stack_matrix(mar.to_value)
        self.recall = (keys @ _stack_matrix(mar.to_query).T).contiguous()  # A, items x C
        answer = mar.to_out.weight @ values.T + mar.to_out.bias[:, None]
        self.answer = answer.contiguous()  # B + b, C x items

    def __call__(self, features: Tensor) -> Tensor:
        """Features N x C x h x w in and out."""
        tokens = features.movedim(1, -1)
        pixels = tokens.flatten(0, -2)
        chunks = pixels.split(chunk_length(pixels, len(pixels), PIXELS))
        refined = joined([self._refine(chunk) for chunk in chunks])
        return refined.view(tokens.shape).movedim(-1, 1)

    def _refine(self, pixels: Tensor) -> Tensor:
        """Of pixels x C."""
        mar = self.mar
        attention = F.linear(pixels, self.recall).softmax(dim=-1)
        z = mar.norm1(torch.addmm(pixels, attention, self.answer.T))
        hidden = F.relu_(mar.linear1(z))
        refined = torch.addmm(z, hidden, mar.linear2.weight.T).add_(mar.linear2.bias)
        return mar.norm2(refined)
