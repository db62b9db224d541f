"""Aligned fusion: what of STF an on-board computer can afford at every frame.

Attention in two steps, without optical flow. Each pixel first attends to the neighbourhood of its
place in the frame before, by appearance; the expected place is where its things were. These places,
followed from frame to frame, lead to its features in all of them; to those and to itself it attends
in the second step, which weighs them by how well they fit. What fits may still be another thing,
the more so the farther frames lie apart; so each, and the pixel itself, is also weighed by the
probability that it is of the pixel's class. Where two frames show little of the same, as at a cut
or in a fast turn, the one does not look into the other. Looking up between pixels blurs: of its own
detail a pixel keeps a part. Ours; STF itself is of Zhuang, Wang and Li, arXiv 2301.03832, attention
along trajectories of Patrick et al., NeurIPS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.layers import ConvNormAct

DIMENSIONS = 16  # of what is compared, in either step
LIKENESS_STEP = 2  # pixels from one that is compared to the next; enough for a mean
DETAIL = 0.5  # part of its own detail that a pixel keeps
DETAIL_SIZE = 5  # pixels per side; detail is what differs from their mean


class LocalMatching(nn.Module):
    """Where the things of one map were in another, by attention to a local window.

    Args:
        inputs: channels of the maps.
        reach: farthest displacement that is found, in pixels.
        neighbourhood: pixels per side whose similarity is averaged: one alone is ambiguous.
        smoothing: pixels per side that agree on a motion.
    """

    def __init__(self, inputs: int, reach: int, neighbourhood: int, smoothing: int) -> None:
        super().__init__()
        self.reach, self.neighbourhood, self.smoothing = reach, neighbourhood, smoothing
        self.project = ConvNormAct(inputs, DIMENSIONS, act=None)
        self.sharpness = nn.Parameter(torch.tensor(4.0))  # log of the softmax's scale
        # Where a network is made without memory, torch would load its compiler for this: 90 MB.
        steps = torch.arange(-reach, reach + 1.0, device="cpu")
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"))
        self.register_buffer("offsets", offsets.flatten(1), persistent=False)  # (x, y) x places

    def describe(self, x: Tensor) -> Tensor:
        """Descriptors of length one, N x D x h x w."""
        return F.normalize(self.project(x), dim=1)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Shifts (x, y) N x 2 x h x w from one map to another, of their descriptors."""
        similarity = _box_mean(_local_similarity(query, key, self.reach), self.neighbourhood)
        attention = (similarity * self.sharpness.exp()).softmax(dim=1)
        shift = torch.einsum("nkhw,dk->ndhw", attention, self.offsets)
        # Pixels of high certainty decide for their neighbours: bare road and sky look alike
        # everywhere.
        certainty = attention.square().sum(dim=1, keepdim=True)
        return _box_mean(certainty * shift, self.smoothing) / _box_mean(certainty, self.smoothing)


@dataclass(frozen=True)
class Descriptors:
    """What of a frame is compared with the next: N x D x h/2 x w/2, and N x D x h x w."""

    coarse: Tensor
    fine: Tensor


class Matching(nn.Module):
    """Where the things of one frame were in another: coarsely at half resolution, then finely.

    Args:
        appearance: A, channels of the low-level features that are compared.
        reach: farthest displacement that is found, in pairs of pixels.
    """

    def __init__(self, appearance: int, reach: int) -> None:
        super().__init__()
        self.coarse = LocalMatching(4 * appearance, reach, neighbourhood=5, smoothing=7)
        self.fine = LocalMatching(appearance, reach=1, neighbourhood=3, smoothing=5)

    def describe(self, appearance: Tensor) -> Descriptors:
        """Of N x A x h x w."""
        height, width = appearance.shape[-2:]
        whole = F.pad(appearance, (0, width % 2, 0, height % 2), mode="replicate")
        return Descriptors(
            self.coarse.describe(F.pixel_unshuffle(whole, 2)), self.fine.describe(appearance)
        )

    def forward(self, query: Descriptors, key: Descriptors) -> Tensor:
        """Shifts (x, y) N x 2 x h x w from one frame to another, in pixels."""
        height, width = query.fine.shape[-2:]
        shift = self.coarse(query.coarse, key.coarse)
        shift = F.interpolate(shift, scale_factor=2, mode="bilinear", align_corners=False)
        shift = 2 * shift[..., :height, :width]
        return shift + self.fine(query.fine, _sample(key.fine, shift))


@dataclass(frozen=True)
class AlignedWindow:
    """A window's frames, and where the things of the newest one are in the others.

    Attributes:
        frames: oldest first, each N x (C + D + K) x h x w: features, what they are compared by, and
            class probabilities.
        paths: into each but the newest, N x 3 x h x w: shifts (x, y) in pixels, and how far the
            place was seen all the way, in frames that agree, 0 to 1.
        descriptors: of the newest frame, for the matching.
    """

    frames: tuple[Tensor, ...]
    paths: tuple[Tensor, ...]
    descriptors: Descriptors

    def newest(self, count: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The newest ``count`` frames, or all there are, and the paths into those."""
        first = max(0, len(self.frames) - count)
        return self.frames[first:], self.paths[first:]


class AlignedFusion(nn.Module):
    """Fuses the features of a window into those of its newest frame.

    Beside the C fused channels it is given A low-level ones and the K class probabilities of each
    frame alone: compared, not fused.

    Args:
        channels: C, fused channels.
        appearance: A, low-level channels.
        window: T, frames in the window.
        reach: farthest motion between two frames that is found, in pairs of feature pixels.
        agreement: likeness of two frames' classes along the motion, mean over the image: the one
            does not look into the other below the first, in full above the second.
    """

    def __init__(
        self,
        channels: int,
        appearance: int,
        window: int,
        reach: int,
        agreement: tuple[float, float],
    ) -> None:
        super().__init__()
        self.channels = channels
        self.appearance = appearance
        self.window = window
        self.agreement = agreement
        self.matching = Matching(appearance, reach)
        self.compare = nn.Conv2d(channels + appearance, DIMENSIONS, 1)
        self.sharpness = nn.Parameter(torch.tensor(2.5))  # log of the softmax's scale
        self.closeness = nn.Parameter(torch.zeros(window))  # of each frame, whatever it shows

    def forward(self, window: Tensor) -> Tensor:
        """N x (C + A + K) x T x h x w in, fused features of the newest frame N x C x h x w out."""
        aligned_window = None
        for features in window.unbind(dim=2):
            aligned_window = self.extend(aligned_window, features)
        assert aligned_window is not None
        return self.fuse(aligned_window)[0]

    def extend(self, window: AlignedWindow | None, features: Tensor) -> AlignedWindow:
        """Take in the next frame, N x (C + A + K) x h x w; all paths now begin there."""
        first_class = self.channels + self.appearance
        compared = F.normalize(self.compare(features[:, :first_class]), dim=1)
        probability = features[:, first_class:]
        frame = torch.cat([features[:, : self.channels], compared, probability], dim=1)
        descriptors = self.matching.describe(features[:, self.channels : first_class])
        if window is None:
            return AlignedWindow((frame,), (), descriptors)
        shift = self.matching(descriptors, window.descriptors)
        before = _sample(window.frames[-1][:, self.channels + DIMENSIONS :], shift)
        likeness = F.cosine_similarity(probability, before, dim=1)
        likeness = likeness[:, ::LIKENESS_STEP, ::LIKENESS_STEP]
        gate = agreement_gate(likeness.mean(dim=(1, 2)), self.agreement)[:, None, None, None]
        step = torch.cat([shift, gate * _inside_mask(shift)], dim=1)
        frames, paths = window.newest(self.window - 1)
        paths = (*(_extend_path(step, path) for path in paths), step)[: len(frames)]
        return AlignedWindow((*frames, frame), paths, descriptors)

    def fuse(self, window: AlignedWindow) -> tuple[Tensor, Tensor]:
        """Each pixel attends to itself and to its places in earlier frames.

        Returns:
            fused features N x C x h x w, and the mean share of the earlier frames in them, N.
        """
        *earlier, newest = window.frames
        sampled = [
            _sample(frame, path[:, :2]) for frame, path in zip(earlier, window.paths, strict=True)
        ]
        sizes = self.channels, DIMENSIONS, newest.shape[1] - self.channels - DIMENSIONS
        values, keys, probabilities = zip(
            *(frame.split(sizes, 1) for frame in (*sampled, newest)), strict=True
        )
        scale = self.sharpness.exp()
        scores = [
            (keys[-1] * key).sum(dim=1, keepdim=True) * scale + bias
            for key, bias in zip(keys, self.closeness, strict=True)
        ]
        weights = torch.cat(scores, dim=1).softmax(dim=1)
        same_class = [(probabilities[-1] * p).sum(dim=1, keepdim=True) for p in probabilities]
        visibility = [path[:, 2:] for path in window.paths]
        weights = weights * torch.cat([*visibility, torch.ones_like(scores[-1])], dim=1)
        weights = weights * torch.cat(same_class, dim=1)
        weights = weights / weights.sum(dim=1, keepdim=True)
        weighted = [w * v for w, v in zip(weights.split(1, 1), values, strict=True)]
        fused = torch.stack(weighted).sum(0)
        residual = values[-1] - fused
        fused = fused + DETAIL * (residual - _box_mean(residual, DETAIL_SIZE))
        return fused, 1 - weights[:, -1].mean(dim=(1, 2))


def agreement_gate(likeness: Tensor, agreement: tuple[float, float]) -> Tensor:
    """How far a frame looks into the one before, 0 to 1, by the mean likeness of their classes."""
    low, high = agreement
    return ((likeness - low) / (high - low)).clamp(0, 1).detach()


def _local_similarity(query: Tensor, key: Tensor, reach: int) -> Tensor:
    """Products of each query with the keys around its place: N x places x h x w, row by row."""
    height, width = query.shape[-2:]
    around = F.pad(key, (reach,) * 4)
    side = range(2 * reach + 1)
    return torch.stack(
        [
            (query * around[..., y : y + height, x : x + width]).sum(dim=1)
            for y in side
            for x in side
        ],
        dim=1,
    )


def _box_mean(x: Tensor, size: int) -> Tensor:
    """Mean over size x size pixels, of those inside the image."""
    x = F.avg_pool2d(x, (size, 1), 1, (size // 2, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, size), 1, (0, size // 2), count_include_pad=False)


def _extend_path(step: Tensor, path: Tensor) -> Tensor:
    """A step into the frame before, and from there along a path: N x 3 x h x w."""
    rest = _sample(path, step[:, :2])
    shift = step[:, :2] + rest[:, :2]
    return torch.cat([shift, step[:, 2:] * rest[:, 2:] * _inside_mask(shift)], dim=1)


def _shifted_coordinates(shift: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row N x h x w where each pixel is with its shift (x, y)."""
    height, width = shift.shape[-2:]
    columns = torch.arange(width, device=shift.device, dtype=shift.dtype)
    rows = torch.arange(height, device=shift.device, dtype=shift.dtype)
    return columns + shift[:, 0], rows[:, None] + shift[:, 1]


def _inside_mask(shift: Tensor) -> Tensor:
    """Whether a shift stays in the image, N x 1 x h x w: 1, or 0."""
    height, width = shift.shape[-2:]
    x, y = _shifted_coordinates(shift)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return inside.to(shift.dtype)[:, None]


def _sample(x: Tensor, shift: Tensor) -> Tensor:
    """A map where each pixel is with its shift: bilinear; beyond the image what its border is."""
    height, width = shift.shape[-2:]
    columns, rows = _shifted_coordinates(shift)
    grid = torch.stack([(columns + 0.5) * (2 / width) - 1, (rows + 0.5) * (2 / height) - 1], dim=-1)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
