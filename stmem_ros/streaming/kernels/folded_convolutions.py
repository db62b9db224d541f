"""Backbone and head of a stream, with fewer and cheaper steps.

Batch norms in the convolutions, joined pixels by a strided one, pooled grids never blown up: each
gives the plain form's answer but for rounding.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stmem_ros.model.layers import ConvNormAct
from stmem_ros.model.pyramid import FeaturePyramidHead, PyramidPoolingHead
from stmem_ros.streaming.kernels.cuda_graph import recorded

M = TypeVar("M", bound=nn.Module)


def fold_batch_norms(module: M) -> M:
    """A copy in evaluation mode, each batch norm part of the convolution before it."""
    module = copy.deepcopy(module).eval()
    for part in module.modules():
        if isinstance(part, ConvNormAct):
            convolution, norm = part[0], part[1]
            assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            part[0] = fuse_conv_bn_eval(convolution, norm)
            del part[1]
    return module


def fold_detail_projection(head: FeaturePyramidHead) -> None:
    """Have a 2x2 convolution of stride 2 join the pixels at 1/2 and project them, in place."""
    projection = head.detail[1]
    assert isinstance(projection, ConvNormAct) and isinstance(projection[0], nn.Conv2d)
    weight, bias = projection[0].weight.detach(), projection[0].bias
    projection[0] = _convolution(weight.view(len(weight), -1, 2, 2), bias, stride=2)
    head.detail = projection


class FoldedPyramidPoolingHead(nn.Module):
    """A :class:`PyramidPoolingHead` whose bottleneck takes the pooled grids as small as they are.

    Resizing a grid and convolving it with a 3x3 kernel are both linear, and the resizing acts on
    rows and columns apart. So the kernel's nine taps are applied to the grid, and then
    resized, each shifted by its tap: by one small matrix for the columns and one for the rows.
    """

    def __init__(self, head: PyramidPoolingHead) -> None:
        super().__init__()
        folded = fold_batch_norms(head)
        self.grids = folded.pooling.grids
        bottleneck = folded.bottleneck[0]
        assert isinstance(bottleneck, nn.Conv2d)
        channels = bottleneck.out_channels
        inputs = bottleneck.in_channels - len(self.grids) * channels
        weight = bottleneck.weight.detach()
        self.bottleneck = _convolution(weight[:, :inputs], bottleneck.bias, padding=1)
        self.taps = nn.ParameterList(  # C x (3 rows, 3 columns, C outputs)
            nn.Parameter(w.permute(1, 2, 3, 0).flatten(1), requires_grad=False)
            for w in weight[:, inputs:].split(channels, dim=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """N x inputs x h x w in, N x C x h x w out."""
        height, width = features.shape[-2:]
        rows, matrices = [], []
        for grid, taps in zip(self.grids, self.taps, strict=True):
            pooled = grid(features)
            bins = pooled.shape[-1]
            tapped = pooled.permute(0, 2, 3, 1) @ taps
            tapped = tapped.unflatten(-1, (3, 3, -1))  # N y x | row tap, column tap | C
            columns = _shifted_resize(bins, width, features)
            rows.append(torch.einsum("nyxkld,lwx->nkywd", tapped, columns).flatten(1, 2))
            resized_rows = _shifted_resize(bins, height, features)
            matrices.append(resized_rows.transpose(0, 1).flatten(1))
        context = torch.einsum("nrwd,hr->ndhw", torch.cat(rows, dim=1), torch.cat(matrices, dim=1))
        return self.bottleneck(features).add_(context).relu_()


def _convolution(
    weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """A convolution with a weight outputs x inputs x size x size, and a bias."""
    outputs, inputs, size, _ = weight.shape
    # On no device: else it would draw weights, from the random numbers of the process.
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding, device="meta")
    weight = weight.contiguous(memory_format=torch.channels_last)
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    convolution.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return convolution


def _shifted_resize(bins: int, size: int, like: Tensor) -> Tensor:
    """Bilinear resizing of ``bins`` values to ``size``, read one before, at, and one after.

    3 x size x bins; beyond the ends zero, as a convolution pads.
    """
    return recorded(_make_shifted_resize(bins, size, like.device, like.dtype))


@lru_cache(maxsize=128)  # some kB per size; a size of images has eight
def _make_shifted_resize(bins: int, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    identity = torch.eye(bins, device=device)[None]
    matrix = F.interpolate(identity, size=size, mode="linear", align_corners=False)[0].T
    padded = F.pad(matrix, (0, 0, 1, 1))
    return torch.stack([padded[tap : tap + size] for tap in range(3)]).to(dtype)
