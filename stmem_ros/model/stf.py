"""STF: spatial-temporal fusion, attention over the features of the frames in a window.

Source: Zhuang, Wang and Li, arXiv 2301.03832, section on STF; interlaced attention: Huang et al.,
arXiv 1907.12273. This is the plain form, written to be read beside docs/method.md. Feature maps are
N x C x T x H x W; a *token* is one feature pixel of one frame.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Block = tuple[int, int]


class MultiHeadAttention(nn.Module):
    """Multi-head attention with packed query, key and value projections, scaled by 1/sqrt(d).

    Args of ``forward``: query B x L x C, key and value B x S x C, ``key_mask`` a bool tensor that
    broadcasts to B x heads x L x S, False where a key must not be attended to. Returns B x L x C.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None = None
    ) -> Tensor:
        q, k, v = (
            F.linear(x, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, weight, bias in zip(
                (query, key, value),
                self.in_proj_weight.chunk(3),
                self.in_proj_bias.chunk(3),
                strict=True,
            )
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=key_mask)
        return self.out_proj(attended.transpose(1, 2).flatten(-2))


class InterlacedAttention(nn.Module):
    """LONG attention across blocks and frames, then SHORT attention within each block.

    H and W must be multiples of ``block``. LONG: tokens with the same offset inside their block,
    over all blocks and frames. SHORT: on LONG's result, tokens of one block over the query's
    frames. Positions go to queries and keys, never to values.
    """

    def __init__(self, channels: int, heads: int, block: Block) -> None:
        super().__init__()
        self.block = block
        self.long = MultiHeadAttention(channels, heads)
        self.short = MultiHeadAttention(channels, heads)

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        query_position: Tensor,
        memory_position: Tensor,
        token_mask: Tensor | None,
    ) -> Tensor:
        """Query N x C x Tq x H x W attends to memory N x C x T x H x W.

        Args:
            token_mask: H x W, False for padding; None where there is none.
        """
        shape = query.shape
        x = self.long(
            self._long_sequences(query + query_position),
            self._long_sequences(memory + memory_position),
            self._long_sequences(memory),
            self._key_mask(token_mask, self._long_sequences, shape[0], memory.shape[2]),
        )
        x = self._from_long_sequences(x, shape)
        keys = self._short_sequences(x + query_position)
        x = self.short(
            keys,
            keys,
            self._short_sequences(x),
            self._key_mask(token_mask, self._short_sequences, shape[0], shape[2]),
        )
        return self._from_short_sequences(x, shape)

    def _split(self, x: Tensor) -> Tensor:
        """N C T H W -> N C T rows row columns column (block index and offset inside it)."""
        height, width = self.block
        return x.unflatten(4, (-1, width)).unflatten(3, (-1, height))

    def _long_sequences(self, x: Tensor) -> Tensor:
        x = self._split(x).permute(0, 4, 6, 2, 3, 5, 1)  # N row column | T rows columns | C
        return x.flatten(3, 5).flatten(0, 2)

    def _from_long_sequences(self, tokens: Tensor, shape: torch.Size) -> Tensor:
        n, c, t, h, w = shape
        bh, bw = self.block
        x = tokens.reshape(n, bh, bw, t, h // bh, w // bw, c)
        return x.permute(0, 6, 3, 4, 1, 5, 2).reshape(shape)

    def _short_sequences(self, x: Tensor) -> Tensor:
        x = self._split(x).permute(0, 3, 5, 2, 4, 6, 1)  # N rows columns | T row column | C
        return x.flatten(3, 5).flatten(0, 2)

    def _from_short_sequences(self, tokens: Tensor, shape: torch.Size) -> Tensor:
        n, c, t, h, w = shape
        bh, bw = self.block
        x = tokens.reshape(n, h // bh, w // bw, t, bh, bw, c)
        return x.permute(0, 6, 3, 1, 4, 2, 5).reshape(shape)

    def _key_mask(
        self,
        token_mask: Tensor | None,
        sequences: Callable[[Tensor], Tensor],
        batch: int,
        frames: int,
    ) -> Tensor | None:
        """Mask that keeps padding tokens from taking attention from real ones, B x 1 x 1 x S."""
        if token_mask is None:
            return None
        mask = sequences(token_mask.expand(batch, 1, frames, *token_mask.shape))[..., 0]
        # Sequences made of padding alone are never read; unmasked they stay free of NaN.
        return (mask | ~mask.any(dim=1, keepdim=True))[:, None, None]


class FeedForward(nn.Module):
    """Two linear maps with a ReLU between them, on the channel axis of N x C x T x H x W."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(F.relu(self.linear1(x.movedim(1, -1)))).movedim(-1, 1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of N x C x T x H x W."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class EncoderLayer(nn.Module):
    """Self-attention of the whole window, post-norm."""

    def __init__(self, channels: int, heads: int, hidden: int, block: Block) -> None:
        super().__init__()
        self.attention = InterlacedAttention(channels, heads, block)
        self.norm1 = ChannelNorm(channels)
        self.feed_forward = FeedForward(channels, hidden)
        self.norm2 = ChannelNorm(channels)

    def forward(self, x: Tensor, position: Tensor, token_mask: Tensor | None) -> Tensor:
        x = self.norm1(x + self.attention(x, x, position, position, token_mask))
        return self.norm2(x + self.feed_forward(x))


class DecoderLayer(nn.Module):
    """One target frame queries the encoded window, post-norm."""

    def __init__(self, channels: int, heads: int, hidden: int, block: Block) -> None:
        super().__init__()
        self.self_attention = InterlacedAttention(channels, heads, block)
        self.norm1 = ChannelNorm(channels)
        self.cross_attention = InterlacedAttention(channels, heads, block)
        self.norm2 = ChannelNorm(channels)
        self.feed_forward = FeedForward(channels, hidden)
        self.norm3 = ChannelNorm(channels)

    def forward(
        self,
        y: Tensor,
        window: Tensor,
        position: Tensor,
        window_position: Tensor,
        token_mask: Tensor | None,
    ) -> Tensor:
        y = self.norm1(y + self.self_attention(y, y, position, position, token_mask))
        y = self.norm2(y + self.cross_attention(y, window, position, window_position, token_mask))
        return self.norm3(y + self.feed_forward(y))


class SpatialTemporalFusion(nn.Module):
    """Fuses the features of a window into those of its target frame.

    Args:
        channels: C of the feature map.
        heads: attention heads.
        hidden: width of the feed-forward layers.
        block: rows and columns of an interlaced-attention block, in feature pixels.
        window: T, frames in the window.
        positions: rows and columns of the learned position tables, resized to any feature size.
        target: index of the target frame in the window (T - 1 causal, T // 2 centred).
    """

    def __init__(
        self,
        channels: int,
        heads: int,
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
        self.target_position = nn.Parameter(torch.empty(1, channels, 1, *positions))
        nn.init.trunc_normal_(self.window_position, std=0.02)
        nn.init.trunc_normal_(self.target_position, std=0.02)
        self.encoder = EncoderLayer(channels, heads, hidden, block)
        self.decoder = DecoderLayer(channels, heads, hidden, block)

    def forward(self, window: Tensor) -> Tensor:
        """Features N x C x T x h x w in, fused features of the target frame N x C x h x w out."""
        return self.fuse(window, *self.positions((window.shape[-2], window.shape[-1])))

    def positions(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The tables at a feature size, in whole blocks: of the window, and of the target."""
        window, target = (
            pad_to_blocks(resize_position(position, size), self.block)[0]
            for position in (self.window_position, self.target_position)
        )
        return window, target

    def fuse(self, window: Tensor, window_position: Tensor, target_position: Tensor) -> Tensor:
        """As ``forward``, with the ``positions`` of the features' size."""
        height, width = window.shape[-2:]
        x, token_mask = pad_to_blocks(window, self.block)
        encoded = self.encoder(x, window_position, token_mask)
        target = x[:, :, self.target : self.target + 1]
        fused = self.decoder(target, encoded, target_position, window_position, token_mask)
        return fused[:, :, 0, :height, :width]


def resize_position(position: Tensor, size: tuple[int, int]) -> Tensor:
    """A position table 1 x C x T x H0 x W0 at a feature size, 1 x C x T x h x w."""
    whole = (position.shape[2], *size)
    return F.interpolate(position, size=whole, mode="trilinear", align_corners=False)


def pad_to_blocks(x: Tensor, block: Block) -> tuple[Tensor, Tensor | None]:
    """Padded to whole blocks; also the H x W mask, False for padding, None where there is none."""
    height, width = x.shape[-2:]
    bottom, right = -height % block[0], -width % block[1]
    if not bottom and not right:
        return x, None
    token_mask = torch.ones(height, width, dtype=torch.bool, device=x.device)
    return F.pad(x, (0, right, 0, bottom)), F.pad(token_mask, (0, right, 0, bottom))
