"""MAR of a stream: two small matrices instead of seven linear maps.

(x Wq)(K Wk)^T = x A and (a (V Wv)) Wo + b = a (B + b), as each a sums to one: A and B + b are
computed once a memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.streaming.kernels.parts import at_once

PIXELS = 4096  # refined at a time


def _product(layers: object) -> Tensor:
    """The matrix of a stack of linear maps without bias: rows x @ matrix."""
    product = None
    for layer in layers:  # type: ignore[attr-defined]
        product = layer.weight.T if product is None else product @ layer.weight.T
    assert product is not None
    return product


class FoldedRefinement:
    """A :class:`MemoryAugmentedRefinement` in evaluation mode; holds its memory as it is now."""

    def __init__(self, mar: MemoryAugmentedRefinement) -> None:
        self.mar = mar
        keys = mar.keys @ _product(mar.to_key)
        values = mar.values @ _product(mar.to_value)
        self.recall = (keys @ _product(mar.to_query).T).contiguous()  # A, items x C
        answer = mar.to_out.weight @ values.T + mar.to_out.bias[:, None]
        self.answer = answer.contiguous()  # B + b, C x items

    def __call__(self, features: Tensor) -> Tensor:
        """Features N x C x h x w in and out."""
        tokens = features.movedim(1, -1)
        x = tokens.flatten(0, -2)
        parts = x.split(at_once(x, len(x), PIXELS))
        refined = torch.cat([self._refined(part) for part in parts])
        return refined.view(tokens.shape).movedim(-1, 1)

    def _refined(self, x: Tensor) -> Tensor:
        """Of pixels x C."""
        mar = self.mar
        attention = F.linear(x, self.recall).softmax(dim=-1)
        z = mar.norm1(torch.addmm(x, attention, self.answer.T))
        hidden = F.relu_(mar.linear1(z))
        refined = torch.addmm(z, hidden, mar.linear2.weight.T).add_(mar.linear2.bias)
        return mar.norm2(refined)
