"""Wide 3x3 convolutions on a CPU by Winograd's minimal filtering: a quarter of the products.

F(4x4, 3x3) of Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016: tiles
of 6 x 6 inputs give 4 x 4 outputs by 36 products per channel pair instead of 144. A dilated
convolution is a plain one on each of its dilation^2 phases. Libraries have this for dilation 1, if
at all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.streaming.kernels.product import Product

WIDE = 256  # channels from which the products outweigh the transforms
# What is worked on at a time, so that it stays in the cache and the memory is used again.
TILES = 128
CHANNELS = 512

INPUT = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
KERNEL = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
OUTPUT = torch.tensor(
    [
        [1.0, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ]
)


class WinogradConv2d(nn.Module):
    """A :class:`torch.nn.Conv2d` with a 3x3 kernel, stride 1 and padding equal to its dilation."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.dilation = int(convolution.dilation[0])
        self.bias = convolution.bias
        weight = convolution.weight.detach()  # outputs x inputs x 3 x 3
        self.outputs = convolution.out_channels
        spread = torch.einsum("ai,bj,oqij->aboq", KERNEL, KERNEL, weight).flatten(0, 1)
        # For each part of the inputs 36 products, to all outputs.
        self.products = [
            [Product(matrix, None, ordered=True) for matrix in part]
            for part in spread.split(CHANNELS, dim=-1)
        ]
        self.to_tiles = torch.kron(INPUT, INPUT)  # 36 x 36
        self.from_tiles = torch.kron(OUTPUT, OUTPUT)  # 16 x 36

    @staticmethod
    def takes(convolution: nn.Conv2d) -> bool:
        """Whether this does what the convolution does, and faster."""
        return (
            convolution.kernel_size == (3, 3)
            and convolution.stride == (1, 1)
            and convolution.groups == 1
            and convolution.padding == convolution.dilation
            and min(convolution.in_channels, convolution.out_channels) >= WIDE
        )

    def forward(self, x: Tensor) -> Tensor:
        """N x inputs x h x w in, N x outputs x h x w out, channels innermost in memory."""
        n, channels, height, width = x.shape
        d = self.dilation
        down, across = -(-height // (4 * d)), -(-width // (4 * d))  # tiles of a phase
        bottom, right = 4 * d * down + d - height, 4 * d * across + d - width
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, d, right, d, bottom)).contiguous()
        image, row, column, _ = padded.stride()
        # Row 4 d t + d i + p of the image is row i of tile t of phase p; columns likewise.
        tiles = padded.as_strided(
            (6, 6, n, down, d, across, d, channels),
            (d * row, d * column, image, 4 * d * row, row, 4 * d * column, column, 1),
        )
        y = x.new_empty((n, down, 4, d, across, 4, d, self.outputs))
        tiles_out = y.permute(2, 5, 0, 1, 3, 4, 6, 7)  # 4 x 4 x as above
        rows = max(1, TILES // (n * d * across * d))
        for band in (slice(i, i + rows) for i in range(0, down, rows)):
            tiles_out[:, :, :, band] = self._convolve(tiles[:, :, :, band])
        return y.flatten(4, 6).flatten(1, 3)[:, :height, :width].permute(0, 3, 1, 2)

    def _convolve(self, tiles: Tensor) -> Tensor:
        """Of tiles 6 x 6 x ... x inputs the outputs 4 x 4 x ... x outputs."""
        count = tiles[0, 0, ..., 0].numel()
        transformed = tiles.new_zeros((36, count, self.outputs))
        for part, products in zip(tiles.split(CHANNELS, dim=-1), self.products, strict=True):
            spread = (self.to_tiles @ part.reshape(36, -1)).view(36, count, -1)
            for total, x, product in zip(transformed, spread, products, strict=True):
                total += product(x)
        if self.bias is not None:
            transformed[7] += self.bias  # the one that goes into each output with the factor 1
        return (self.from_tiles @ transformed.flatten(1)).view(4, 4, *tiles.shape[2:-1], -1)


def use_winograd(module: nn.Module) -> None:
    """Replace the convolutions that :class:`WinogradConv2d` takes, in place."""
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.Conv2d) and WinogradConv2d.takes(child):
                setattr(part, name, WinogradConv2d(child))
