"""MAR: memory-augmented refinement, attention to a memory of hard features and class prototypes.

Source: Zhuang, Wang and Li, arXiv 2301.03832, section on MAR. The plain form; see docs/method.md.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear_stack(channels: int) -> nn.Sequential:
    """The reference's projection: three linear maps without bias, C -> C -> C/2 -> C/2."""
    half = channels // 2
    return nn.Sequential(
        nn.Linear(channels, channels, bias=False),
        nn.Linear(channels, half, bias=False),
        nn.Linear(half, half, bias=False),
    )


class MemoryAugmentedRefinement(nn.Module):
    """Moves ambiguous features toward the prototype of the memory items they resemble.

    One head, no 1/sqrt(d). ``keys`` and ``values`` (M x C) hold the memory; they are trainable once
    built (stmem_ros.training.memory_builder).
    """

    def __init__(self, channels: int, items: int) -> None:
        super().__init__()
        half = channels // 2
        self.keys = nn.Parameter(torch.zeros(items, channels))
        self.values = nn.Parameter(torch.zeros(items, channels))
        self.to_query = linear_stack(channels)
        self.to_key = linear_stack(channels)
        self.to_value = linear_stack(channels)
        self.to_out = nn.Linear(half, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, half)
        self.linear2 = nn.Linear(half, channels)
        self.norm2 = nn.LayerNorm(channels)

    def attention(self, tokens: Tensor) -> Tensor:
        """Weights of the memory items for tokens ... x C: ... x M, summing to one."""
        return torch.softmax(self.to_query(tokens) @ self.to_key(self.keys).T, dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Features N x C x h x w in and out."""
        tokens = x.movedim(1, -1)
        recalled = self.to_out(self.attention(tokens) @ self.to_value(self.values))
        z = self.norm1(tokens + recalled)
        return self.norm2(z + self.linear2(F.relu(self.linear1(z)))).movedim(-1, 1)
