"""Pyramid heads: backbone features to the per-frame feature map the temporal modules work on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.layers import ConvNormAct


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize of N x C x h x w to ``size``, pixel centres aligned by area."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def upsample_twofold(x: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge a level by two, cut to the ``size`` of the finer one.

    Odd levels are halved to half a pixel more: stretched to the finer one's size, what they hold
    would lie up to a coarse pixel beside its place.
    """
    larger = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return larger[..., : size[0], : size[1]]


class PyramidPooling(nn.Module):
    """Context of several grid sizes beside the input (Zhao et al., PSPNet, CVPR 2017).

    The input N x C x h x w is averaged to ``bins`` x ``bins`` grids, each projected to ``outputs``
    channels and resized back. Returns the input and the grids, concatenated.
    """

    def __init__(self, inputs: int, outputs: int, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.grids = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(b), ConvNormAct(inputs, outputs)) for b in bins
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, *(resize(grid(x), x.shape[-2:]) for grid in self.grids)], dim=1)


class PyramidPoolingHead(nn.Module):
    """The paper's head: pyramid pooling at 1/8, then a 3x3 bottleneck to ``channels``."""

    stride = 8

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.pooling = PyramidPooling(inputs, channels)
        self.bottleneck = ConvNormAct(inputs + 4 * channels, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        return self.bottleneck(self.pooling(features))


class FeaturePyramidHead(nn.Module):
    """Small head for on-board backbones: context at 1/32, merged upwards to 1/4.

    Takes the features at 1/2 to 1/32, returns N x ``channels`` x H/4 x W/4. Pyramid pooling at the
    coarsest level, lateral 1x1 convolutions on the way up (Lin et al., FPN, CVPR 2017), a 3x3 at
    1/8 and at 1/4. The four pixels at 1/2 of each pixel at 1/4 join as channels: thin things need
    them.
    """

    stride = 4
    width = 96  # channels of the levels below 1/4

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, coarsest = inputs
        width = self.width
        self.context = nn.Sequential(
            PyramidPooling(coarsest, width // 2),
            ConvNormAct(coarsest + 4 * (width // 2), width),
        )
        self.lateral16 = ConvNormAct(sixteenth, width, act=None)
        self.merge16 = nn.Sequential(
            ConvNormAct(width, width, 5, groups=width, act=None),
            ConvNormAct(width, width),
        )
        self.lateral8 = ConvNormAct(eighth, width, act=None)
        self.merge8 = ConvNormAct(width, channels, 3)
        self.lateral4 = ConvNormAct(quarter, channels, act=None)
        self.detail = nn.Sequential(nn.PixelUnshuffle(2), ConvNormAct(4 * half, channels, act=None))
        self.merge4 = ConvNormAct(channels, channels, 3)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        half, quarter, eighth, sixteenth, coarsest = features
        x = self.context(coarsest)
        x = self.lateral16(sixteenth) + upsample_twofold(x, sixteenth.shape[-2:])
        x = self.merge16(F.relu(x))
        x = self.lateral8(eighth) + upsample_twofold(x, eighth.shape[-2:])
        x = self.merge8(F.relu(x))
        x = self.lateral4(quarter) + upsample_twofold(x, quarter.shape[-2:])
        # An odd number of rows or columns at 1/2 lacks half a pixel at 1/4.
        x = x + self.detail(F.pad(half, (0, half.shape[-1] % 2, 0, half.shape[-2] % 2)))
        return self.merge4(F.relu(x))
