"""Backbone and head of a stream, with fewer and cheaper steps.

Batch norms in the convolutions, joined pixels by a strided one, pooled grids never blown up: each
gives the plain form's answer but for rounding.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stmem_ros.model.layers import ConvNormAct
from stmem_ros.model.pyramid import FeaturePyramidHead, PyramidPoolingHead

M = TypeVar("M", bound=nn.Module)


def without_batch_norm(module: M) -> M:
    """A copy in evaluation mode, each batch norm part of the convolution before it."""
    module = copy.deepcopy(module).eval()
    for part in module.modules():
        if isinstance(part, ConvNormAct):
            convolution, norm = part[0], part[1]
            assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            part[0] = fuse_conv_bn_eval(convolution, norm)
            del part[1]
    return module


def with_strided_detail(head: FeaturePyramidHead) -> None:
    """Have a 2x2 convolution of stride 2 do what joins the pixels at 1/2 and projects them."""
    projection = head.detail[1]
    assert isinstance(projection, ConvNormAct) and isinstance(projection[0], nn.Conv2d)
    weight, bias = projection[0].weight.detach(), projection[0].bias
    strided = nn.Conv2d(weight.shape[1] // 4, len(weight), 2, 2)
    weight = weight.view(len(weight), -1, 2, 2)
    strided.weight.data = weight.contiguous(memory_format=torch.channels_last)
    strided.bias = bias
    projection[0] = strided
    head.detail = projection


class FoldedPyramidPoolingHead(nn.Module):
    """A :class:`PyramidPoolingHead` whose bottleneck takes the pooled grids as small as they are.

    Resizing a grid and convolving it with a 3x3 kernel are both linear, and the resizing acts on
    rows and columns apart. So the kernel's nine taps are applied to the grid, and then
    resized, each shifted by its tap: by one small matrix for the columns and one for the rows.
    """

    def __init__(self, head: PyramidPoolingHead) -> None:
        super().__init__()
        folded = without_batch_norm(head)
        self.grids = folded.pooling.grids
        bottleneck = folded.bottleneck[0]
        assert isinstance(bottleneck, nn.Conv2d)
        channels = bottleneck.out_channels
        inputs = bottleneck.in_channels - len(self.grids) * channels
        self.bottleneck = nn.Conv2d(inputs, channels, 3, padding=1)
        weight = bottleneck.weight.detach()
        self.bottleneck.weight.data = weight[:, :inputs].contiguous(
            memory_format=torch.channels_last
        )
        assert bottleneck.bias is not None
        self.bottleneck.bias = bottleneck.bias
        self.taps = [  # C x (3 rows, 3 columns, C outputs)
            w.permute(1, 2, 3, 0).flatten(1) for w in weight[:, inputs:].split(channels, dim=1)
        ]

    def forward(self, features: Tensor) -> Tensor:
        """N x inputs x h x w in, N x C x h x w out."""
        height, width = features.shape[-2:]
        rows, matrices = [], []
        for grid, taps in zip(self.grids, self.taps, strict=True):
            pooled = grid(features)
            bins = pooled.shape[-1]
            tapped = pooled.permute(0, 2, 3, 1) @ taps
            tapped = tapped.unflatten(-1, (3, 3, -1))  # N y x | row tap, column tap | C
            columns = _shifted_resize(bins, width, features.device)
            rows.append(torch.einsum("nyxkld,lwx->nkywd", tapped, columns).flatten(1, 2))
            matrices.append(
                _shifted_resize(bins, height, features.device).transpose(0, 1).flatten(1)
            )
        context = torch.einsum("nrwd,hr->ndhw", torch.cat(rows, dim=1), torch.cat(matrices, dim=1))
        return self.bottleneck(features).add_(context).relu_()


@cache  # some kB a size, kept: CUDA graphs go on using them
def _shifted_resize(bins: int, size: int, device: torch.device) -> Tensor:
    """Bilinear resizing of ``bins`` values to ``size``, read one before, at, and one after.

    3 x size x bins; beyond the ends zero, as a convolution pads.
    """
    identity = torch.eye(bins, device=device)[None]
    matrix = F.interpolate(identity, size=size, mode="linear", align_corners=False)[0].T
    padded = F.pad(matrix, (0, 0, 1, 1))
    return torch.stack([padded[tap : tap + size] for tap in range(3)])
