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

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.pooling = PyramidPooling(inputs, channels)
        self.bottleneck = ConvNormAct(inputs + 4 * channels, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        return self.bottleneck(self.pooling(features))


class FeaturePyramidHead(nn.Module):
    """Small head for on-board backbones: context at 1/32, merged upwards to 1/8.

    Takes the features at 1/4, 1/8, 1/16 and 1/32, returns N x ``channels`` x H/8 x W/8. Pyramid
    pooling at the coarsest level, lateral 1x1 convolutions (Lin et al., FPN, CVPR 2017), one 3x3
    at 1/8. With ``detail`` the four pixels at 1/4 of each pixel at 1/8 join as channels.
    """

    def __init__(self, inputs: tuple[int, int, int, int], channels: int, detail: bool) -> None:
        super().__init__()
        self.detail = (
            nn.Sequential(nn.PixelUnshuffle(2), ConvNormAct(4 * inputs[0], channels, act=None))
            if detail
            else None
        )
        self.context = nn.Sequential(
            PyramidPooling(inputs[3], channels // 2),
            ConvNormAct(inputs[3] + 4 * (channels // 2), channels),
        )
        self.lateral8 = ConvNormAct(inputs[1], channels, act=None)
        self.lateral16 = ConvNormAct(inputs[2], channels, act=None)
        self.merge16 = nn.Sequential(
            ConvNormAct(channels, channels, 5, groups=channels, act=None),
            ConvNormAct(channels, channels),
        )
        self.merge8 = ConvNormAct(channels, channels, 3)

    def forward(self, features: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        finest, fine, middle, coarse = features
        x = self.context(coarse)
        x = self.lateral16(middle) + resize(x, middle.shape[-2:])
        x = self.merge16(F.relu(x))
        x = self.lateral8(fine) + resize(x, fine.shape[-2:])
        if self.detail is not None:
            # An odd number of rows or columns at 1/4 lacks half a pixel at 1/8.
            x = x + self.detail(F.pad(finest, (0, finest.shape[-1] % 2, 0, finest.shape[-2] % 2)))
        return self.merge8(F.relu(x))
