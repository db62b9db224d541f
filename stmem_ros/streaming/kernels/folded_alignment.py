"""The light form's fusion in a stream: the answer of stmem_ros.model.aligned_fusion, its own way.

What differs, none of it changing the result but for rounding: pixels lie as row, column, channel.
Then

- similarities are products of small matrices: a few pixels of a row with all places around them;
- a frame is sampled by weighted sums of whole pixels, four each, not channel by channel;
- all paths go on from the same places, which are found once;
- some pixels are fused at a time.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.aligned_fusion import (
    DETAIL,
    DETAIL_SIZE,
    DIMENSIONS,
    LIKENESS_STEP,
    AlignedFusion,
    AlignedWindow,
    Descriptors,
    LocalMatching,
    agreement_gate,
)
from stmem_ros.model.layers import ConvNormAct
from stmem_ros.streaming.kernels.chunks import chunk_length, joined
from stmem_ros.streaming.kernels.cuda_graph import recorded
from stmem_ros.streaming.kernels.folded_convolutions import fold_batch_norms

TILE = 8  # pixels of a row that are compared in one product
PIXELS = 4096  # fused at a time


class FoldedAlignment:
    """An :class:`AlignedFusion` in evaluation mode, of one stream.

    Unlike there, the frames of an ``AlignedWindow`` are h x w x (C + D + K), its paths h x w x 3,
    its descriptors h/2 x w/2 x D and h x w x D.
    """

    def __init__(self, fusion: AlignedFusion) -> None:
        fusion = fold_batch_norms(fusion)
        self.window = fusion.window
        self._channels = fusion.channels
        self._first_class = fusion.channels + fusion.appearance  # in what is given
        self._coarse = FoldedMatching(fusion.matching.coarse, joined=2)
        self._fine = FoldedMatching(fusion.matching.fine, joined=1)
        self._compare = (fusion.compare.weight.flatten(1), fusion.compare.bias)
        self._scale = fusion.sharpness.exp()
        self._closeness = fusion.closeness
        self._agreement = fusion.agreement

    def extend(self, window: AlignedWindow | None, features: Tensor) -> AlignedWindow:
        """Take in the next frame, 1 x (C + A + K) x h x w; all paths now begin there."""
        pixels = features[0].permute(1, 2, 0)
        compared = F.normalize(F.linear(pixels[..., : self._first_class], *self._compare), dim=-1)
        probability = pixels[..., self._first_class :]
        frame = torch.cat([pixels[..., : self._channels], compared, probability], dim=-1)
        descriptors = self._describe(pixels[..., self._channels : self._first_class])
        if window is None:
            return AlignedWindow((frame,), (), descriptors)
        shift = self._match(descriptors, window.descriptors)
        corners = _corners(shift)
        before = window.frames[-1][..., self._channels + DIMENSIONS :]
        gate = agreement_gate(_likeness(probability, before, *corners), self._agreement)
        step = torch.cat([shift, gate * _inside_mask(shift)], dim=-1)
        frames, paths = window.newest(self.window - 1)
        paths = (*_extend_paths(step, *corners, paths), step)[: len(frames)]
        return AlignedWindow((*frames, frame), paths, descriptors)

    def fuse(self, window: AlignedWindow) -> tuple[Tensor, Tensor]:
        """Each pixel attends to itself and to its places in earlier frames.

        Returns:
            fused features 1 x C x h x w, and the mean share of the earlier frames in them, 1.
        """
        *earlier, newest = window.frames
        if not earlier:
            features = newest[None, ..., : self._channels].permute(0, 3, 1, 2)
            return features, features.new_zeros(1)
        paths = torch.stack(window.paths)
        pixels = newest.flatten(0, 1)
        length = chunk_length(pixels, len(pixels), PIXELS)
        chunks = zip(
            pixels.split(length),
            paths[..., 2].flatten(1).split(length, dim=1),
            *(x.flatten(1, 2).split(length, dim=1) for x in _corners(paths[..., :2])),
            strict=True,
        )
        earlier = [frame.flatten(0, 1) for frame in earlier]
        parts = [self._fuse_pixels(earlier, *chunk) for chunk in chunks]
        fused = joined([part for part, _ in parts]).unflatten(0, newest.shape[:2])
        own = torch.stack([share for _, share in parts]).sum(dim=0, keepdim=True)
        residual = newest[..., : self._channels] - fused
        area = _inverse_area(residual, DETAIL_SIZE)[..., None]
        detail = residual.addcmul(_box_sum(residual, DETAIL_SIZE, rows=0), area, value=-1)
        # In this order, several cameras' joined have their channels innermost too.
        fused = fused.add_(detail, alpha=DETAIL)[None].permute(0, 3, 1, 2)
        return fused, 1 - own / len(pixels)

    def _fuse_pixels(
        self,
        earlier: list[Tensor],
        pixels: Tensor,
        visibility: Tensor,
        index: Tensor,
        weight: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Some pixels x (C + D + K) of the newest frame fused with those their paths lead to.

        Args:
            earlier: frames, all pixels x (C + D + K) each.
            pixels: P x (C + D + K).
            visibility: frames x P, how far the place was seen all the way.
            index, weight: frames x P x 4, as of :func:`_corners`.

        Returns:
            P x C, and the sum of the pixels' own shares.
        """
        c = self._channels
        candidates = [
            _interpolate(*of_frame) for of_frame in zip(earlier, index, weight, strict=True)
        ]
        candidates.append(pixels)
        products = [pixels[:, c:] * frame[:, c:] for frame in candidates]
        scores = torch.stack([product[:, :DIMENSIONS].sum(dim=-1) for product in products])
        same_class = torch.stack([product[:, DIMENSIONS:].sum(dim=-1) for product in products])
        attention = (self._scale * scores + self._closeness[:, None]).softmax(dim=0)
        attention[:-1] *= visibility
        attention *= same_class
        attention = (attention / attention.sum(dim=0))[..., None]
        fused = attention[0] * candidates[0][:, :c]
        for share, frame in zip(attention[1:], candidates[1:], strict=True):
            fused.addcmul_(share, frame[:, :c])
        return fused, attention[-1].sum()

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

    def _match(self, query: Descriptors, key: Descriptors) -> Tensor:
        """Shifts (x, y) h x w x 2 from one frame to another, in pixels."""
        height, width = query.fine.shape[:2]
        shift = self._coarse(query.coarse, key.coarse)[None]
        shift = F.interpolate(shift, scale_factor=2, mode="bilinear", align_corners=False)[0]
        shift = 2 * shift[:, :height, :width].permute(1, 2, 0)
        fine = self._fine(query.fine, _sample(key.fine, shift))
        return shift + fine.permute(1, 2, 0)


class FoldedMatching:
    """A :class:`LocalMatching`; its maps are h x w x (row, column, channel) of joined pixels.

    Args:
        joined: pixels per side that are one of its pixels.
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

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Shifts (x, y) 2 x h x w from one map to another, of their descriptors."""
        similarity = _local_similarity(self._scale * query, key, self._reach)
        area = _inverse_area(query, self._neighbourhood)
        attention = (_box_sum(similarity, self._neighbourhood) * area).softmax(0)
        shift = torch.tensordot(self._offsets, attention, dims=1)
        certainty = attention.square().sum(dim=0, keepdim=True)
        smooth = _box_sum(torch.cat([certainty * shift, certainty]), self._smoothing)
        return smooth[:2] / smooth[2:]


def _local_similarity(query: Tensor, key: Tensor, reach: int) -> Tensor:
    """Products of each query with the keys around its place: places x h x w, row by row."""
    height, width = query.shape[:2]
    side = 2 * reach + 1
    padding = -width % TILE
    tiles = F.pad(query, (0, 0, 0, padding)).unflatten(1, (-1, TILE))  # h x tiles x TILE x D
    around = F.pad(key, (0, 0, reach, reach + padding, reach, reach))
    around = around.unfold(1, TILE + 2 * reach, TILE).unfold(0, side, 1)
    around = around.permute(0, 1, 4, 3, 2).flatten(2, 3)  # h x tiles x (row, column) x D
    products = tiles @ around.transpose(2, 3)
    # Of the columns around the tile, those around pixel x begin at x.
    row, tile, pixel, _ = products.stride()
    similarity = products.as_strided(
        (side, side, height, tiles.shape[1], TILE),
        (TILE + 2 * reach, 1, row, tile, pixel + 1),
    )
    return similarity.flatten(3).flatten(0, 1)[..., :width]


def _box_sum(x: Tensor, size: int, rows: int = 1) -> Tensor:
    """Sum over size x size pixels, zero beyond the image.

    Args:
        rows: dimension of the image's rows; its columns are the next one.
    """
    columns = rows + 1
    lengths = x.shape[rows], x.shape[columns]
    x = F.pad(x, (0, 0) * (x.ndim - 1 - columns) + (size // 2,) * 4)
    for dimension, length in zip((rows, columns), lengths, strict=True):
        x = _running_sum(x, size, dimension, length)
    return x


def _running_sum(x: Tensor, size: int, dimension: int, length: int) -> Tensor:
    """Sums of ``size`` neighbours each, odd: of one, and of twice as many again and again."""
    total, neighbours, summed = x.narrow(dimension, 0, length), x, 1
    for count in (2**i for i in range(1, size.bit_length())):  # neighbours in a sum
        whole = neighbours.shape[dimension] - count // 2
        neighbours = neighbours.narrow(dimension, 0, whole) + neighbours.narrow(
            dimension, count // 2, whole
        )
        if size & count:
            total = total + neighbours.narrow(dimension, summed, length)
            summed += count
    return total


def _inverse_area(like: Tensor, size: int) -> Tensor:
    """One over the number of size x size pixels that are inside a map h x w x channels; h x w."""
    return recorded(_make_inverse_area(like.shape[0], like.shape[1], size, like.device))


@lru_cache(maxsize=64)  # some ten kB per size; a size of images has three
def _make_inverse_area(height: int, width: int, size: int, device: torch.device) -> Tensor:
    return _box_sum(torch.ones(1, height, width, device=device), size)[0].reciprocal()


def _likeness(probability: Tensor, before: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Mean cosine of a frame's class probabilities and those of their places before, scalar.

    Args:
        probability, before: h x w x K.
        index, weight: h x w x 4, as of :func:`_corners`.
    """
    here = (slice(None, None, LIKENESS_STEP),) * 2
    index, weight = index[here].flatten(0, 1), weight[here].flatten(0, 1)
    moved = _interpolate(before.flatten(0, 1), index, weight)
    return F.cosine_similarity(probability[here].flatten(0, 1), moved, dim=-1).mean()


def _extend_paths(
    step: Tensor, index: Tensor, weight: Tensor, paths: tuple[Tensor, ...]
) -> list[Tensor]:
    """A step into the frame before, to the corners there, and from there along each path."""
    if not paths:
        return []
    whole = torch.cat(paths, dim=-1).flatten(0, 1)
    rest = _interpolate(whole, index.flatten(0, 1), weight.flatten(0, 1))
    rest = rest.unflatten(0, step.shape[:2]).unflatten(-1, (-1, 3)).movedim(2, 0)
    shifts = step[..., :2] + rest[..., :2]
    visibility = step[..., 2:] * rest[..., 2:] * _inside_mask(shifts)
    return list(torch.cat([shifts, visibility], dim=-1))


def _shifted_coordinates(shift: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row ... x h x w where each pixel is with its shift (x, y), ... x h x w x 2."""
    height, width = shift.shape[-3:-1]
    columns = torch.arange(width, device=shift.device, dtype=shift.dtype)
    rows = torch.arange(height, device=shift.device, dtype=shift.dtype)
    return columns + shift[..., 0], rows[:, None] + shift[..., 1]


def _inside_mask(shift: Tensor) -> Tensor:
    """Whether a shift stays in the image, ... x h x w x 1: 1, or 0."""
    height, width = shift.shape[-3:-1]
    x, y = _shifted_coordinates(shift)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return inside.to(shift.dtype)[..., None]


def _sample(x: Tensor, shift: Tensor) -> Tensor:
    """A map h x w x channels where each pixel is with its shift (x, y), h x w x 2.

    Bilinear: a weighted sum of four whole pixels; beyond the image what is at its border.
    """
    index, weight = (corners.flatten(0, 1) for corners in _corners(shift))
    return _interpolate(x.flatten(0, 1), index, weight).unflatten(0, shift.shape[:2])


def _corners(shift: Tensor) -> tuple[Tensor, Tensor]:
    """The four pixels around each place, ... x h x w x 4: their numbers in a map, and weights."""
    height, width = shift.shape[-3:-1]
    columns, rows = _shifted_coordinates(shift)
    columns, rows = columns.clamp(0, width - 1), rows.clamp(0, height - 1)
    # Clamped once more: what is not finite is no number of a pixel, and kills a GPU's context.
    left = columns.int().clamp(0, max(0, width - 2))
    top = rows.int().clamp(0, max(0, height - 2))
    x1, y1 = columns - left, rows - top  # how far on the way to the next column and row
    x0, y0 = 1 - x1, 1 - y1
    first = top * width + left
    right, below = min(1, width - 1), min(1, height - 1) * width
    index = torch.stack([first, first + right, first + below, first + (below + right)], dim=-1)
    weight = torch.stack([y0 * x0, y0 * x1, y1 * x0, y1 * x1], dim=-1)
    return index, weight


def _interpolate(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """P x channels, four pixels each of a map, pixels x channels; as of :func:`_corners`."""
    return F.embedding_bag(index, x, per_sample_weights=weight, mode="sum")
