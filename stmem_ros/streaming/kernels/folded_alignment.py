"""The light form's fusion in a stream: the answer of stmem_ros.model.aligned_fusion, its own way.

What differs, none of it changing the result but for rounding: pixels lie as row, column, channel.
Then

- likenesses are products of small matrices: a few pixels of a row with all places around them;
- a frame is looked up by weighted sums of whole pixels, four each, not channel by channel;
- all paths go on from the same places, which are found once;
- some pixels are fused at a time.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.aligned_fusion import (
    DETAIL,
    DETAIL_SIZE,
    DIMENSIONS,
    AlignedFusion,
    Descriptors,
    Followed,
    LocalMatching,
)
from stmem_ros.model.layers import ConvNormAct
from stmem_ros.streaming.kernels.folded_convolutions import without_batch_norm
from stmem_ros.streaming.kernels.parts import at_once

TILE = 16  # pixels of a row that are compared in one product
PIXELS = 4096  # fused at a time


class FoldedAlignment:
    """An :class:`AlignedFusion` in evaluation mode, of one stream.

    Unlike there, in what is ``Followed`` the frames are h x w x (C + D + K), the paths h x w x 3,
    the descriptors h/2 x w/2 x D and h x w x D.
    """

    def __init__(self, fusion: AlignedFusion) -> None:
        fusion = without_batch_norm(fusion)
        self.window = fusion.window
        self._channels = fusion.channels
        self._first_class = fusion.channels + fusion.appearance  # in what is given
        self._coarse = FoldedMatching(fusion.matching.coarse, joined=2)
        self._fine = FoldedMatching(fusion.matching.fine, joined=1)
        self._compare = (fusion.compare.weight.flatten(1), fusion.compare.bias)
        self._scale = fusion.sharpness.exp()
        self._closeness = fusion.closeness

    def follow(self, followed: Followed | None, features: Tensor) -> Followed:
        """Take in the next frame, 1 x (C + A + K) x h x w; all paths now begin there."""
        pixels = features[0].permute(1, 2, 0)
        compared = F.normalize(F.linear(pixels[..., : self._first_class], *self._compare), dim=-1)
        probability = pixels[..., self._first_class :]
        own = torch.cat([pixels[..., : self._channels], compared, probability], dim=-1)
        descriptors = self._describe(pixels[..., self._channels : self._first_class])
        if followed is None:
            return Followed((own,), (), descriptors)
        shift = self._shift(descriptors, followed.descriptors)
        step = torch.cat([shift, _inside(shift)], dim=-1)
        frames, paths = followed.kept(self.window - 1)
        paths = (*_continued(step, paths), step)[: len(frames)]
        return Followed((*frames, own), paths, descriptors)

    def fuse(self, followed: Followed) -> Tensor:
        """Each pixel attends to itself and to its places in earlier frames: 1 x C x h x w."""
        *earlier, own = followed.frames
        if not earlier:
            return own[None, ..., : self._channels].permute(0, 3, 1, 2)
        paths = torch.stack(followed.paths)
        pixels = own.flatten(0, 1)
        some = at_once(pixels, len(pixels), PIXELS)
        parts = zip(
            pixels.split(some),
            paths[..., 2].flatten(1).split(some, dim=1),
            *(x.flatten(1, 2).split(some, dim=1) for x in _corners(paths[..., :2])),
            strict=True,
        )
        earlier = [frame.flatten(0, 1) for frame in earlier]
        fused = torch.cat([self._fused(earlier, *part) for part in parts])
        fused = fused.unflatten(0, own.shape[:2])
        lost = own[..., : self._channels] - fused
        share = _share(*own.shape[:2], DETAIL_SIZE, own.device)[..., None]
        detail = lost.addcmul(_summed(lost, DETAIL_SIZE, rows=0), share, value=-1)
        # In this order, several cameras' joined have their channels innermost too.
        return fused.add_(detail, alpha=DETAIL)[None].permute(0, 3, 1, 2)

    def _fused(
        self, earlier: list[Tensor], own: Tensor, seen: Tensor, index: Tensor, weight: Tensor
    ) -> Tensor:
        """Some pixels x (C + D + K) of the newest frame fused with those their paths lead to.

        Args:
            earlier: frames, all pixels x (C + D + K) each.
            own: P x (C + D + K).
            seen: frames x P, how far the place was seen all the way.
            index, weight: frames x P x 4, as of :func:`_corners`.
        """
        c, k = self._channels, self._channels + DIMENSIONS
        found = [_interpolated(*of_frame) for of_frame in zip(earlier, index, weight, strict=True)]
        found.append(own)
        query = self._scale * own[:, c:k]
        scores = torch.stack([(query * frame[:, c:k]).sum(dim=-1) for frame in found])
        attention = (scores + self._closeness[:, None]).softmax(dim=0)
        same_class = [(own[:, k:] * frame[:, k:]).sum(dim=-1) for frame in found[:-1]]
        attention[:-1] *= seen * torch.stack(same_class)
        attention = (attention / attention.sum(dim=0))[..., None]
        fused = attention[0] * found[0][:, :c]
        for attended, frame in zip(attention[1:], found[1:], strict=True):
            fused.addcmul_(attended, frame[:, :c])
        return fused

    def _describe(self, appearance: Tensor) -> Descriptors:
        """Of h x w x A."""
        height, width = appearance.shape[:2]
        # The last row and column once more where they are odd.
        rows = torch.arange(height + height % 2, device=appearance.device).clamp(max=height - 1)
        columns = torch.arange(width + width % 2, device=appearance.device).clamp(max=width - 1)
        whole = appearance if len(rows) == height else appearance[rows]
        whole = whole if len(columns) == width else whole[:, columns]
        pairs = whole.unflatten(1, (-1, 2)).unflatten(0, (-1, 2)).transpose(1, 2)
        return Descriptors(self._coarse.describe(pairs.flatten(2)), self._fine.describe(appearance))

    def _shift(self, here: Descriptors, there: Descriptors) -> Tensor:
        """Shifts (x, y) h x w x 2 from here to there, in pixels."""
        height, width = here.fine.shape[:2]
        shift = self._coarse(here.coarse, there.coarse)[None]
        shift = F.interpolate(shift, scale_factor=2, mode="bilinear", align_corners=False)[0]
        shift = 2 * shift[:, :height, :width].permute(1, 2, 0)
        fine = self._fine(here.fine, _looked_up(there.fine, shift))
        return shift + fine.permute(1, 2, 0)


class FoldedMatching:
    """A :class:`LocalMatching`; its maps are h x w x (row, column, channel) of joined pixels.

    Args:
        joined: pixels a side that are one of its pixels.
    """

    def __init__(self, matching: LocalMatching, joined: int) -> None:
        self._reach = matching.reach
        self._neighbourhood = matching.neighbourhood
        self._smoothing = matching.smoothing
        self._offsets = matching.offsets
        assert isinstance(matching.project, ConvNormAct)
        convolution = matching.project[0]
        assert isinstance(convolution, nn.Conv2d)
        # nn.PixelUnshuffle joins as channel, row, column.
        weight = convolution.weight.unflatten(1, (-1, joined * joined)).transpose(1, 2)
        self._weight, self._bias = weight.flatten(1), convolution.bias
        self._scale = matching.sharpness.exp()

    def describe(self, x: Tensor) -> Tensor:
        """Descriptors of length one, h x w x D."""
        return F.normalize(F.linear(x, self._weight, self._bias), dim=-1)

    def __call__(self, here: Tensor, there: Tensor) -> Tensor:
        """Shifts (x, y) 2 x h x w from here to there, of the descriptors of two maps."""
        likeness = _summed(_likeness(self._scale * here, there, self._reach), self._neighbourhood)
        attention = (likeness * _share(*here.shape[:2], self._neighbourhood, here.device)).softmax(
            0
        )
        shift = torch.tensordot(self._offsets, attention, dims=1)
        sure = attention.square().sum(dim=0, keepdim=True)
        smooth = _summed(torch.cat([sure * shift, sure]), self._smoothing)
        return smooth[:2] / smooth[2:]


def _likeness(query: Tensor, key: Tensor, reach: int) -> Tensor:
    """Products of each query with the keys around its place: places x h x w, row by row."""
    height, width = query.shape[:2]
    side = 2 * reach + 1
    missing = -width % TILE
    tiles = F.pad(query, (0, 0, 0, missing)).unflatten(1, (-1, TILE))  # h x tiles x TILE x D
    around = F.pad(key, (0, 0, reach, reach + missing, reach, reach))
    around = around.unfold(1, TILE + 2 * reach, TILE).unfold(0, side, 1)
    around = around.permute(0, 1, 4, 3, 2).flatten(2, 3)  # h x tiles x (row, column) x D
    products = tiles @ around.transpose(2, 3)
    # Of the columns around the tile, those around pixel x begin at x.
    rows, of_tile, of_pixel, _ = products.stride()
    near = products.as_strided(
        (side, side, height, tiles.shape[1], TILE),
        (TILE + 2 * reach, 1, rows, of_tile, of_pixel + 1),
    )
    return near.flatten(3).flatten(0, 1)[..., :width]


def _summed(x: Tensor, size: int, rows: int = 1) -> Tensor:
    """Sum over size x size pixels, zero beyond the image.

    Args:
        rows: dimension of the image's rows; its columns are the next one.
    """
    columns = rows + 1
    lengths = x.shape[rows], x.shape[columns]
    x = F.pad(x, (0, 0) * (x.ndim - 1 - columns) + (size // 2,) * 4)
    for dimension, length in zip((rows, columns), lengths, strict=True):
        total = x.narrow(dimension, 0, length).clone()
        for i in range(1, size):
            total += x.narrow(dimension, i, length)
        x = total
    return x


@cache  # some kB a size, kept: CUDA graphs go on using them
def _share(height: int, width: int, size: int, device: torch.device) -> Tensor:
    """One over the number of size x size pixels that are inside the image; h x w."""
    return _summed(torch.ones(1, height, width, device=device), size)[0].reciprocal()


def _continued(step: Tensor, paths: tuple[Tensor, ...]) -> list[Tensor]:
    """A step into the frame before, and from there along each path."""
    if not paths:
        return []
    further = _looked_up(torch.cat(paths, dim=-1), step[..., :2])
    further = further.unflatten(-1, (-1, 3)).movedim(2, 0)
    shifts = step[..., :2] + further[..., :2]
    seen = step[..., 2:] * further[..., 2:] * _inside(shifts)
    return list(torch.cat([shifts, seen], dim=-1))


def _places(shift: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row ... x h x w where each pixel is with its shift (x, y), ... x h x w x 2."""
    height, width = shift.shape[-3:-1]
    columns = torch.arange(width, device=shift.device, dtype=shift.dtype)
    rows = torch.arange(height, device=shift.device, dtype=shift.dtype)
    return columns + shift[..., 0], rows[:, None] + shift[..., 1]


def _inside(shift: Tensor) -> Tensor:
    """Whether a shift stays in the image, ... x h x w x 1: 1, or 0."""
    height, width = shift.shape[-3:-1]
    x, y = _places(shift)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return inside.to(shift.dtype)[..., None]


def _looked_up(x: Tensor, shift: Tensor) -> Tensor:
    """A map h x w x channels where each pixel is with its shift (x, y), h x w x 2.

    Bilinear: a weighted sum of four whole pixels; beyond the image what is at its border.
    """
    index, weight = (corners.flatten(0, 1) for corners in _corners(shift))
    return _interpolated(x.flatten(0, 1), index, weight).unflatten(0, shift.shape[:2])


def _corners(shift: Tensor) -> tuple[Tensor, Tensor]:
    """The four pixels around each place, ... x h x w x 4: their numbers in a map, and weights."""
    height, width = shift.shape[-3:-1]
    columns, rows = _places(shift)
    columns, rows = columns.clamp(0, width - 1), rows.clamp(0, height - 1)
    left, top = columns.floor(), rows.floor()
    x1, y1 = columns - left, rows - top  # how far on the way to the next column and row
    x0, y0 = 1 - x1, 1 - y1
    left, top = left.long(), top.long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    top, bottom = top * width, bottom * width
    index = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=-1)
    weight = torch.stack([y0 * x0, y0 * x1, y1 * x0, y1 * x1], dim=-1)
    return index, weight


def _interpolated(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """P x channels, four pixels each of a map, pixels x channels; as of :func:`_corners`."""
    return F.embedding_bag(index, x, per_sample_weights=weight, mode="sum")
