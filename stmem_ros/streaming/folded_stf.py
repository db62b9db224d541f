"""STF in a stream: the answer of the plain form (stmem_ros.model.stf), nothing computed twice.

What is folded, none of it changing the result but for rounding:

- (x + p) W = x W + p W: what a frame contributes to the encoder's queries, keys and values is kept
  with it in the ring; what positions contribute is computed once a feature size;
- the long attention's output projection goes into the short one's input projection: one product;
- tokens lie as block, frame, place in the block, channel: both attentions take them as views.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.stf import (
    FeedForward,
    InterlacedAttention,
    SpatialTemporalFusion,
    padded,
    resized,
)


@dataclass(frozen=True)
class FrameTokens:
    """What a frame contributes to every window it is part of.

    Attributes:
        size: rows and columns of its features.
        tokens: blocks x 1 x places x C.
        projected: blocks x 1 x places x 3C, for queries, keys and values of the encoder.
    """

    size: tuple[int, int]
    tokens: Tensor
    projected: Tensor


@dataclass(frozen=True)
class AttentionPositions:
    """What positions and biases add in one interlaced attention: blocks x frames x places x ...

    Attributes:
        query, key: of the long attention, C channels.
        short: of the short one's queries, keys and values, 3C channels.
    """

    query: Tensor
    key: Tensor
    short: Tensor


@dataclass(frozen=True)
class Positions:
    """All that depends on the feature size alone.

    ``real`` is blocks x places, False for padding; None where there is none.
    """

    encoder: AttentionPositions
    decoder: AttentionPositions
    cross: AttentionPositions
    real: Tensor | None


class FoldedFusion:
    """A :class:`SpatialTemporalFusion` in evaluation mode, for one stream."""

    def __init__(self, stf: SpatialTemporalFusion) -> None:
        self.stf = stf
        self.window = stf.window_position.shape[2]  # frames
        self.encoder = FoldedAttention(stf.encoder.attention)
        self.decoder = FoldedAttention(stf.decoder.self_attention)
        self.cross = FoldedAttention(stf.decoder.cross_attention)
        self._positions: WeakValueDictionary[tuple[int, int], Positions] = WeakValueDictionary()

    def project(self, features: Tensor) -> FrameTokens:
        """A new frame's features, 1 x C x h x w."""
        tokens = self._tokens(padded(features[:, :, None], self.stf.block)[0])
        size = (features.shape[-2], features.shape[-1])
        return FrameTokens(size, tokens, tokens @ self.encoder.weight.T)

    def fuse(self, window: list[FrameTokens]) -> Tensor:
        """Fused features 1 x C x h x w of the window's target frame."""
        p = self.positions(window[0].size)
        target = window[self.stf.target].tokens

        layer = self.stf.encoder
        x = torch.cat([frame.tokens for frame in window], dim=1)
        q, k, v = torch.cat([frame.projected for frame in window], dim=1).chunk(3, dim=-1)
        x = _normed(layer.norm1, x + self.encoder(q, k, v, p.encoder, p.real))
        x = _normed(layer.norm2, x + _fed_forward(layer.feed_forward, x))

        decoder = self.stf.decoder
        q, k, v = (target @ self.decoder.weight.T).chunk(3, dim=-1)
        y = _normed(decoder.norm1, target + self.decoder(q, k, v, p.decoder, p.real))
        channels = target.shape[-1]
        q = y @ self.cross.weight[:channels].T
        k, v = (x @ self.cross.weight[channels:].T).chunk(2, dim=-1)
        y = _normed(decoder.norm2, y + self.cross(q, k, v, p.cross, p.real))
        y = _normed(decoder.norm3, y + _fed_forward(decoder.feed_forward, y))
        return self._features(y, window[0].size)

    def positions(self, size: tuple[int, int]) -> Positions:
        """Computed when a stream begins, or its image size changes; kept while a stream has it."""
        positions = self._positions.get(size)
        if positions is None:
            stf = self.stf
            shape = torch.Size((1, stf.window_position.shape[1], 1, *size))
            window, real = padded(resized(stf.window_position, shape), stf.block)
            target, _ = padded(resized(stf.target_position, shape), stf.block)
            of_window, of_target = self._tokens(window), self._tokens(target)
            inside = None if real is None else self._tokens(real[None, None, None])[:, 0, :, 0]
            positions = self._positions[size] = Positions(
                self.encoder.positions(of_window, of_window),
                self.decoder.positions(of_target, of_target),
                self.cross.positions(of_target, of_window),
                inside,
            )
        return positions

    def _tokens(self, x: Tensor) -> Tensor:
        """1 x C x T x H x W, H and W multiples of the block, to blocks x T x places x C."""
        rows, columns = self.stf.block
        x = x[0].unflatten(3, (-1, columns)).unflatten(2, (-1, rows))  # C T | rows r | columns c
        return x.permute(2, 4, 1, 3, 5, 0).flatten(3, 4).flatten(0, 1)

    def _features(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        rows, columns = self.stf.block
        across = -(-size[1] // columns)
        x = tokens[:, 0].unflatten(1, (rows, columns)).unflatten(0, (-1, across))
        x = x.permute(4, 0, 2, 1, 3).flatten(3, 4).flatten(1, 2)
        return x[None, :, : size[0], : size[1]]


class FoldedAttention:
    """An :class:`InterlacedAttention` on tokens blocks x frames x places x C."""

    def __init__(self, attention: InterlacedAttention) -> None:
        long, short = attention.long, attention.short
        self.heads = long.heads
        self.out_proj = short.out_proj
        self.weight = long.in_proj_weight  # 3C x C
        self.bias = long.in_proj_bias
        self._short_weight = short.in_proj_weight
        self._short = short.in_proj_weight @ long.out_proj.weight
        # Attention weights sum to one: the long values' bias arrives in each result as it is.
        arrives = long.out_proj.weight @ self.bias[2 * len(self.bias) // 3 :] + long.out_proj.bias
        self._short_bias = short.in_proj_weight @ arrives + short.in_proj_bias

    def positions(self, query: Tensor, key: Tensor) -> AttentionPositions:
        """Of position terms blocks x frames x places x C; ``key`` is for the long attention."""
        (wq, wk, _), (bq, bk, _) = self.weight.chunk(3), self.bias.chunk(3)
        short_q, short_k, short_v = self._short_bias.chunk(3)
        sq, sk, _ = self._short_weight.chunk(3)
        parts = [query @ sq.T + short_q, query @ sk.T + short_k, short_v.expand(query.shape)]
        return AttentionPositions(query @ wq.T + bq, key @ wk.T + bk, torch.cat(parts, dim=-1))

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, p: AttentionPositions, real: Tensor | None
    ) -> Tensor:
        """Projected tokens, positions not yet added; blocks x Tq x places x C."""
        blocks, frames, places, channels = q.shape
        # LONG: one sequence a place, over blocks and frames.
        visible = None
        if real is not None:
            visible = real[:, None].expand(k.shape[:3]).flatten(0, 1).T[:, None, None]
        sequences = (z.flatten(0, 1).transpose(0, 1) for z in (q + p.query, k + p.key, v))
        x = self._attend(*sequences, visible=visible)
        x = x.transpose(0, 1).reshape(blocks, frames, places, channels)
        # SHORT: one sequence a block, over frames and places.
        if real is not None:
            visible = real[:, None].expand(blocks, frames, places).flatten(1, 2)[:, None, None]
        q, k, v = (x @ self._short.T + p.short).flatten(1, 2).chunk(3, dim=-1)
        return self.out_proj(self._attend(q, k, v, visible=visible)).unflatten(1, (frames, places))

    def _attend(self, *sequences: Tensor, visible: Tensor | None) -> Tensor:
        """Queries, keys and values B x L x C; ``visible`` B x 1 x 1 x S as in the plain form."""
        if visible is not None:  # sequences of padding alone are never read
            visible = visible | ~visible.any(dim=-1, keepdim=True)
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in sequences)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return x.transpose(1, 2).flatten(-2)


def _normed(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _fed_forward(layer: FeedForward, tokens: Tensor) -> Tensor:
    return layer.linear2(F.relu(layer.linear1(tokens)))
