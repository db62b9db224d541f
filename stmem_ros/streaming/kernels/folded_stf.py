"""STF in a stream: the answer of the plain form (stmem_ros.model.stf), nothing computed twice.

What is folded, none of it changing the result but for rounding:

- (x + p) W = x W + p W: what a frame contributes to the encoder's queries, keys and values is kept
  with it in the ring; what positions contribute is computed once per feature size;
- q (x Wk)^T = (q Wk^T) x^T and a (x Wv) = (a x) Wv: the decoder's one frame of queries takes the
  projections of the window's keys and values upon itself;
- the long attention's output projection goes into the short one's input projection: one product;
- tokens lie as block, frame, place in the block, channel: both attentions take them as views;
- what follows the long attention concerns each block alone: on a CPU a few blocks at a time, so
  that they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.stf import (
    FeedForward,
    InterlacedAttention,
    SpatialTemporalFusion,
    pad_to_blocks,
)
from stmem_ros.streaming.kernels.chunks import chunk_length, joined
from stmem_ros.streaming.kernels.product import Product

TOKENS = 1024  # tokens that are worked on at a time on a CPU


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
    """What positions add in one interlaced attention: blocks x frames x places x ...

    Attributes:
        query, key: of the long attention, as it compares them, biases included.
        short: of the short one's queries and keys, 2C channels.
    """

    query: Tensor
    key: Tensor
    short: Tensor

    def at(self, places: slice) -> AttentionPositions:
        """Those of some places, for the long attention."""
        return AttentionPositions(self.query[:, :, places], self.key[:, :, places], self.short)


@dataclass(frozen=True)
class Positions:
    """All that depends on the feature size alone.

    ``token_mask`` is blocks x places, False for padding; None where there is none.
    """

    encoder: AttentionPositions
    decoder: AttentionPositions
    cross: AttentionPositions
    token_mask: Tensor | None


class FoldedFusion:
    """A :class:`SpatialTemporalFusion` in evaluation mode, for all streams of a model.

    ``cpu_kernels`` as of :class:`StreamingCore`.
    """

    def __init__(self, stf: SpatialTemporalFusion, cpu_kernels: bool) -> None:
        self.stf = stf
        self.window = stf.window_position.shape[2]  # frames
        self._encoder_attention = FoldedSelfAttention(stf.encoder.attention, cpu_kernels)
        self._self_attention = FoldedSelfAttention(stf.decoder.self_attention, cpu_kernels)
        self._cross_attention = FoldedCrossAttention(stf.decoder.cross_attention, cpu_kernels)
        self._encoder_feed_forward = FoldedFeedForward(stf.encoder.feed_forward, cpu_kernels)
        self._decoder_feed_forward = FoldedFeedForward(stf.decoder.feed_forward, cpu_kernels)
        self._positions: WeakValueDictionary[tuple[int, int], Positions] = WeakValueDictionary()

    def project(self, features: Tensor) -> FrameTokens:
        """A new frame's features, 1 x C x h x w."""
        tokens = self._tokens(pad_to_blocks(features[:, :, None], self.stf.block)[0])
        size = (features.shape[-2], features.shape[-1])
        return FrameTokens(size, tokens, self._encoder_attention.project(tokens))

    def fuse(self, window: list[FrameTokens], positions: Positions) -> Tensor:
        """Fused features 1 x C x h x w of the window's target frame."""
        memory = self._encode(window, positions)
        target = self._attend_to_itself(window[self.stf.target].tokens, positions)
        return self._features(self._attend_to(memory, target, positions), window[0].size)

    def _encode(self, window: list[FrameTokens], positions: Positions) -> Tensor:
        """The encoder: tokens of the window, blocks x frames x places x C."""
        layer, attention, mask = self.stf.encoder, self._encoder_attention, positions.token_mask

        def attend(places: slice) -> Tensor:
            projected = (frame.projected[:, :, places].chunk(3, dim=-1) for frame in window)
            q, k, v = (torch.cat(frames, dim=1) for frames in zip(*projected, strict=True))
            return attention.long(q, k, v, positions.encoder.at(places), _at_places(mask, places))

        def encode(blocks: slice) -> Tensor:
            z = torch.cat([frame.tokens[blocks] for frame in window], dim=1)
            position = positions.encoder.short[blocks]
            z = z + attention.short(attended[blocks], position, _at_blocks(mask, blocks))
            z = _normalise(layer.norm1, z)
            return _normalise(layer.norm2, z + self._encoder_feed_forward(z))

        attended = _in_chunks(attend, positions.encoder.query, 2)
        return _in_chunks(encode, attended, 0)

    def _attend_to_itself(self, target: Tensor, positions: Positions) -> Tensor:
        """The decoder's self-attention: tokens of the target frame, blocks x 1 x places x C."""
        norm, attention, mask = self.stf.decoder.norm1, self._self_attention, positions.token_mask

        def attend(places: slice) -> Tensor:
            q, k, v = attention.project(target[:, :, places]).chunk(3, dim=-1)
            return attention.long(q, k, v, positions.decoder.at(places), _at_places(mask, places))

        def add(blocks: slice) -> Tensor:
            position = positions.decoder.short[blocks]
            z = attention.short(attended[blocks], position, _at_blocks(mask, blocks))
            return _normalise(norm, target[blocks] + z)

        attended = _in_chunks(attend, target, 2)
        return _in_chunks(add, target, 0)

    def _attend_to(self, memory: Tensor, target: Tensor, positions: Positions) -> Tensor:
        """The rest of the decoder: the target frame's tokens attend to the encoded window's."""
        decoder, attention, mask = self.stf.decoder, self._cross_attention, positions.token_mask

        def attend(places: slice) -> Tensor:
            q, tokens = attention.project(target[:, :, places]), memory[:, :, places]
            return attention.long(q, tokens, positions.cross.at(places), _at_places(mask, places))

        def decode(blocks: slice) -> Tensor:
            position = positions.cross.short[blocks]
            z = attention.short(attended[blocks], position, _at_blocks(mask, blocks))
            z = _normalise(decoder.norm2, target[blocks] + z)
            return _normalise(decoder.norm3, z + self._decoder_feed_forward(z))

        attended = _in_chunks(attend, target, 2)
        return _in_chunks(decode, target, 0)

    def positions(self, size: tuple[int, int]) -> Positions:
        """Of features of ``size`` rows and columns; computed anew unless a stream holds them."""
        positions = self._positions.get(size)
        if positions is None:
            _, mask = pad_to_blocks(
                self.stf.window_position.new_empty(1, 1, 1, *size), self.stf.block
            )
            window, target = (self._tokens(position) for position in self.stf.positions(size))
            positions = self._positions[size] = Positions(
                self._encoder_attention.positions(window),
                self._self_attention.positions(target),
                self._cross_attention.positions(target, window),
                None if mask is None else self._tokens(mask[None, None, None])[:, 0, :, 0],
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
        x = x.permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)
        return x[None, : size[0], : size[1]].permute(0, 3, 1, 2)


class FoldedAttention:
    """An :class:`InterlacedAttention` on tokens blocks x frames x places x C: what all have."""

    def __init__(self, attention: InterlacedAttention, cpu_kernels: bool) -> None:
        long, short = attention.long, attention.short
        self.heads = long.heads
        self._scale = (long.out_proj.in_features // long.heads) ** -0.5
        self._short_out = Product(short.out_proj.weight, short.out_proj.bias, cpu_kernels)
        self._short_weight = short.in_proj_weight
        # Attention weights sum to one: the long values' bias arrives in each result as it is.
        arrives = long.out_proj.weight @ long.in_proj_bias.chunk(3)[2] + long.out_proj.bias
        self._short_in = Product(
            short.in_proj_weight @ long.out_proj.weight,
            short.in_proj_weight @ arrives + short.in_proj_bias,
            cpu_kernels,
        )

    def short(self, x: Tensor, positions: Tensor, token_mask: Tensor | None) -> Tensor:
        """SHORT, on LONG's result of some blocks: a sequence per block, over frames and places."""
        key_mask = None
        if token_mask is not None:
            key_mask = _key_mask(token_mask[:, None].expand(x.shape[:3]).flatten(1, 2))
        projected = self._short_in(x)
        projected[..., : positions.shape[-1]] += positions
        q, k, v = projected.flatten(1, 2).chunk(3, dim=-1)
        q, k, v = (self._by_head(z) for z in (q, k, v))
        attended = self._attend(q, k, v, key_mask)
        return self._short_out(attended.flatten(-2)).unflatten(1, x.shape[1:3])

    def _short_positions(self, query: Tensor) -> Tensor:
        return F.linear(query, self._short_weight[: 2 * query.shape[-1]])

    def _by_head(self, sequences: Tensor) -> Tensor:
        """B x L x (heads ...) to B x heads x L x ..."""
        return sequences.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None) -> Tensor:
        """B x heads x L x ... to B x L x heads x ..."""
        k, v = k.to(q.dtype), v.to(q.dtype)  # as newer autocasts do themselves
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=key_mask, scale=self._scale)
        return x.transpose(1, 2)


class FoldedSelfAttention(FoldedAttention):
    """Of frames with themselves."""

    def __init__(self, attention: InterlacedAttention, cpu_kernels: bool) -> None:
        super().__init__(attention, cpu_kernels)
        self._weight = attention.long.in_proj_weight
        self._bias = attention.long.in_proj_bias
        self._long_in = Product(self._weight, None, cpu_kernels)

    def project(self, tokens: Tensor) -> Tensor:
        """Queries, keys and values of LONG, 3C channels, without positions."""
        return self._long_in(tokens)

    def positions(self, position: Tensor) -> AttentionPositions:
        """Of position terms blocks x frames x places x C."""
        (wq, wk, _), (bq, bk, _) = self._weight.chunk(3), self._bias.chunk(3)
        return AttentionPositions(
            F.linear(position, wq, bq), F.linear(position, wk, bk), self._short_positions(position)
        )

    def long(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        positions: AttentionPositions,
        token_mask: Tensor | None,
    ) -> Tensor:
        """LONG: a sequence per place, over blocks and frames; in and out blocks x T x places x C.

        Queries, keys and values are what ``project`` gives; ``token_mask`` is blocks x places.
        """
        key_mask, shape = _long_key_mask(token_mask, k), q.shape
        inputs = (q + positions.query, k + positions.key, v)
        q, k, v = (self._by_head(_long_sequences(z)) for z in inputs)
        return _from_long_sequences(self._attend(q, k, v, key_mask).flatten(-2), shape)


class FoldedCrossAttention(FoldedAttention):
    """Of one frame with a window: its keys and values are the window's tokens as they are.

    A head's q (x Wk)^T is (q Wk^T) x^T, so its query has C channels; a (x Wv) is (a x) Wv.
    """

    def __init__(self, attention: InterlacedAttention, cpu_kernels: bool) -> None:
        super().__init__(attention, cpu_kernels)
        wq, wk, wv = (  # heads x C/heads x C
            weight.unflatten(0, (self.heads, -1))
            for weight in attention.long.in_proj_weight.chunk(3)
        )
        # A bias of the keys would add the same to all scores of a query.
        self._weight = (wk.transpose(1, 2) @ wq).flatten(0, 1)  # heads C x C
        bias = attention.long.in_proj_bias.chunk(3)[0].unflatten(0, (self.heads, 1, -1))
        self._bias = (bias @ wk).flatten()
        self._long_in = Product(self._weight, None, cpu_kernels)
        self._values = [Product(value, None, cpu_kernels) for value in wv.unbind(0)]

    def project(self, tokens: Tensor) -> Tensor:
        """Queries of LONG, heads C channels, without positions."""
        return self._long_in(tokens)

    def positions(self, query: Tensor, key: Tensor) -> AttentionPositions:
        """Of position terms blocks x frames x places x C; ``key`` is for the window's tokens."""
        projected = F.linear(query, self._weight, self._bias)
        return AttentionPositions(projected, key, self._short_positions(query))

    def long(
        self,
        q: Tensor,
        window: Tensor,
        positions: AttentionPositions,
        token_mask: Tensor | None,
    ) -> Tensor:
        """LONG: as of :class:`FoldedSelfAttention`, of what ``project`` gives with a window."""
        keys, values = (
            _long_sequences(z)[:, None].expand(-1, self.heads, -1, -1)
            for z in (window + positions.key, window)
        )
        queries = self._by_head(_long_sequences(q + positions.query))
        attended = self._attend(queries, keys, values, _long_key_mask(token_mask, window))
        heads = zip(attended.unbind(2), self._values, strict=True)
        return _from_long_sequences(torch.cat([value(a) for a, value in heads], dim=-1), q.shape)


class FoldedFeedForward:
    """A :class:`FeedForward` on tokens."""

    def __init__(self, layer: FeedForward, cpu_kernels: bool) -> None:
        self._in = Product(layer.linear1.weight, layer.linear1.bias, cpu_kernels)
        self._out = Product(layer.linear2.weight, layer.linear2.bias, cpu_kernels)

    def __call__(self, tokens: Tensor) -> Tensor:
        """As the layer."""
        return self._out(F.relu_(self._in(tokens)))


def _long_sequences(tokens: Tensor) -> Tensor:
    """Blocks x T x places x C to a sequence of each place: places x (blocks T) x C."""
    return tokens.flatten(0, 1).transpose(0, 1)


def _from_long_sequences(sequences: Tensor, shape: torch.Size) -> Tensor:
    """Places x (blocks T) x C to tokens of ``shape``, blocks x T x places x ..."""
    return sequences.transpose(0, 1).unflatten(0, shape[:2])


def _long_key_mask(token_mask: Tensor | None, keys: Tensor) -> Tensor | None:
    if token_mask is None:
        return None
    return _key_mask(_long_sequences(token_mask[:, None].expand(keys.shape[:3])))


def _key_mask(sequences: Tensor) -> Tensor:
    """Of masks of sequences, B x S, the keys that may be attended to, B x 1 x 1 x S."""
    # Sequences of padding alone are never read.
    return (sequences | ~sequences.any(dim=-1, keepdim=True))[:, None, None]


def _at_blocks(token_mask: Tensor | None, blocks: slice) -> Tensor | None:
    return None if token_mask is None else token_mask[blocks]


def _at_places(token_mask: Tensor | None, places: slice) -> Tensor | None:
    return None if token_mask is None else token_mask[:, places]


def _in_chunks(step: Callable[[slice], Tensor], like: Tensor, dim: int) -> Tensor:
    """What ``step`` makes of each block (dim 0) or place (dim 2); on a CPU, of few at a time."""
    count = like.shape[dim]
    length = chunk_length(like, count, TOKENS * count // like[..., 0].numel())
    chunks = [step(slice(start, start + length)) for start in range(0, count, length)]
    return joined(chunks, dim)


def _normalise(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
