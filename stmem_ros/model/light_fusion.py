"""Light temporal fusion: what of STF an on-board computer can afford at every frame.

The encoder's interlaced attention over the window (stmem_ros.model.stf), asked for the target frame
alone, narrower than the features, and added to the target's features instead of replacing them:
training begins at the frame network and only learns what earlier frames can add. Ours; STF itself
is of Zhuang, Wang and Li, arXiv 2301.03832.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stmem_ros.model.stf import Block, FeedForward, InterlacedAttention, padded, resized


class LightFusion(nn.Module):
    """Fuses the features of a window into those of its target frame.

    Args:
        channels: C of the feature map.
        heads: attention heads.
        width: channels of queries, keys and values, over all heads.
        hidden: width of the feed-forward layer.
        block: rows and columns of an interlaced-attention block, in feature pixels.
        window: T, frames in the window.
        positions: rows and columns of the learned position table, resized to any feature size.
        target: index of the target frame in the window.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        width: int,
        hidden: int,
        block: Block,
        window: int,
        positions: tuple[int, int],
        target: int,
    ) -> None:
        super().__init__()
        self.block = block
        self.target = target
        self.window_position = nn.Parameter(torch.empty(1, channels, window, *positions))
        nn.init.trunc_normal_(self.window_position, std=0.02)
        self.attention = InterlacedAttention(channels, heads, block, width)
        self.feed_forward = FeedForward(channels, hidden)
        # An untrained fusion returns the target's features as they are.
        nn.init.zeros_(self.attention.short.out_proj.weight)
        nn.init.zeros_(self.feed_forward.linear2.weight)
        nn.init.zeros_(self.feed_forward.linear2.bias)

    def forward(self, window: Tensor) -> Tensor:
        """Features N x C x T x h x w in, fused features of the target frame N x C x h x w out."""
        height, width = window.shape[-2:]
        x, real = padded(window, self.block)
        position, _ = padded(resized(self.window_position, window.shape), self.block)
        target = x[:, :, self.target : self.target + 1]
        y = target + self.attention.of_target(x, position, self.target, real)
        return (y + self.feed_forward(y))[:, :, 0, :height, :width]
