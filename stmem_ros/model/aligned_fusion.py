"""Aligned fusion: what of STF an on-board computer can afford at every frame.

Attention in two steps, without optical flow. Each pixel first attends to the neighbourhood of its
place in the frame before, by appearance; the expected place is where its things were. Features are
carried along these places, frame by frame, to the target; there each pixel attends to itself and to
what was carried, which weighs them by how well they fit. Ours; STF itself is of Zhuang, Wang and
Li, arXiv 2301.03832, attention along trajectories of Patrick et al., NeurIPS 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.layers import ConvNormAct

DIMENSIONS = 16  # of what is compared, in either step
NEIGHBOURHOOD = 5  # pixels at half resolution whose likeness is averaged: one alone is ambiguous
SMOOTHING = 7  # pixels at half resolution that agree on a motion
FAR = -1e4  # the score of a place beyond the image


class Matching(nn.Module):
    """Where the things of one frame were in another, by attention to a local window.

    Works at half the resolution of the appearance it is given.

    Args:
        appearance: channels of the low-level features that are compared.
        reach: farthest displacement that is found, in pixels at half resolution.
    """

    def __init__(self, appearance: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.describe = nn.Sequential(
            nn.PixelUnshuffle(2), ConvNormAct(4 * appearance, DIMENSIONS, act=None)
        )
        self.sharpness = nn.Parameter(torch.tensor(4.0))  # log of the softmax's scale
        steps = torch.arange(-reach, reach + 1.0)
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"))
        self.register_buffer("offsets", offsets.flatten(1), persistent=False)  # (x, y) x places

    def forward(self, here: Tensor, there: Tensor) -> Tensor:
        """Appearances N x A x h x w; returns N x 2 x h x w, shifts (x, y) from here to there."""
        height, width = here.shape[-2:]
        query, key = self.descriptors(here), self.descriptors(there)
        likeness = _averaged(_likeness(query, key, self.reach), NEIGHBOURHOOD)
        attention = (likeness * self.sharpness.exp()).softmax(dim=1)
        shift = torch.einsum("nkhw,dk->ndhw", attention, self.offsets)
        # Sure pixels decide for their neighbours: bare road and sky look alike everywhere.
        sure = attention.square().sum(dim=1, keepdim=True)
        shift = _averaged(sure * shift, SMOOTHING) / _averaged(sure, SMOOTHING)
        fine = F.interpolate(shift, scale_factor=2, mode="bilinear", align_corners=False)
        return 2 * fine[..., :height, :width]

    def descriptors(self, appearance: Tensor) -> Tensor:
        """Unit vectors N x D x h/2 x w/2."""
        height, width = appearance.shape[-2:]
        whole = F.pad(appearance, (0, width % 2, 0, height % 2), mode="replicate")
        return F.normalize(self.describe(whole), dim=1)


class AlignedFusion(nn.Module):
    """Fuses the features of a window into those of its target frame.

    The features' last ``appearance`` channels are low-level ones: they are compared, not fused.

    Args:
        channels: C, fused channels.
        appearance: A, low-level channels.
        window: T, frames in the window.
        target: index of the target frame in the window.
        reach: farthest motion between two frames that is found, in pairs of feature pixels.
    """

    def __init__(
        self, channels: int, appearance: int, window: int, target: int, reach: int
    ) -> None:
        super().__init__()
        self.channels = channels
        self.target = target
        self.matching = Matching(appearance, reach)
        self.compare = nn.Conv2d(channels + appearance, DIMENSIONS, 1)
        self.closeness = nn.Parameter(torch.zeros(window))  # of each frame, whatever it shows

    def forward(self, window: Tensor) -> Tensor:
        """N x (C + A) x T x h x w in, fused features of the target frame N x C x h x w out."""
        features, appearance = window[:, : self.channels], window[:, self.channels :]
        frames = range(window.shape[2])
        carried = [
            torch.cat([features[:, :, t], self.compare(window[:, :, t])], dim=1) for t in frames
        ]
        seen = [torch.zeros_like(window[:, :1, 0]) for _ in frames]  # 0, or FAR
        # From both ends of the window towards its target, each step carries all that came so far.
        for step, ends in ((1, frames[: self.target]), (-1, frames[: self.target : -1])):
            for end in ends:
                there, here = end, end + step
                shift = self.matching(appearance[:, :, here], appearance[:, :, there])
                place, outside = _places(shift)
                for t in range(frames[0] if step > 0 else frames[-1], here, step):
                    carried[t] = _looked_up(carried[t], place)
                    seen[t] = _looked_up(seen[t], place) + outside * FAR
        query = carried[self.target][:, self.channels :]
        scores = [
            (query * c[:, self.channels :]).sum(dim=1, keepdim=True) / DIMENSIONS**0.5 + s + bias
            for c, s, bias in zip(carried, seen, self.closeness, strict=True)
        ]
        weights = torch.cat(scores, dim=1).softmax(dim=1)
        return sum(weights[:, t : t + 1] * carried[t][:, : self.channels] for t in frames)  # type: ignore[return-value]


def _likeness(query: Tensor, key: Tensor, reach: int) -> Tensor:
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


def _averaged(x: Tensor, size: int) -> Tensor:
    """Mean over size x size pixels, of those inside the image."""
    x = F.avg_pool2d(x, (size, 1), 1, (size // 2, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, size), 1, (0, size // 2), count_include_pad=False)


def _places(shift: Tensor) -> tuple[Tensor, Tensor]:
    """The sampling grid N x h x w x 2 of a shift in pixels, and where it leaves the image (1)."""
    height, width = shift.shape[-2:]
    y = torch.arange(height, device=shift.device, dtype=shift.dtype)
    x = torch.arange(width, device=shift.device, dtype=shift.dtype)
    grid = torch.stack(
        [
            (x + shift[:, 0] + 0.5) * (2 / width) - 1,
            (y[:, None] + shift[:, 1] + 0.5) * (2 / height) - 1,
        ],
        dim=-1,
    )
    return grid, (grid.abs().amax(dim=-1) > 1).to(shift.dtype)[:, None]


def _looked_up(x: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
