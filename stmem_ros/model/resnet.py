"""ResNet-50 and -101 in the V1c variant with output stride 8: the paper's backbone.

Source: He et al., CVPR 2016; V1c (three 3x3 convolutions as stem) as in He et al., "Bag of Tricks",
CVPR 2019; dilated stages as in the PSPNet set-up of Zhuang et al., arXiv 2301.03832.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.layers import ConvNormAct

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)
STRIDES = (1, 2, 1, 1)
DILATIONS = (1, 1, 2, 4)
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride and dilation), 1x1, and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.reduce = ConvNormAct(inputs, width)
        self.spatial = ConvNormAct(width, width, 3, stride, dilation)
        self.expand = ConvNormAct(width, outputs, act=None)
        self.shortcut = (
            ConvNormAct(inputs, outputs, stride=stride, act=None)
            if stride > 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.expand(self.spatial(self.reduce(x))))


class ResNetV1c(nn.Module):
    """Images N x 3 x H x W (normalised) to features N x 2048 x H/8 x W/8."""

    channels = WIDTHS[-1] * EXPANSION

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNormAct(3, 32, 3, stride=2), ConvNormAct(32, 32, 3), ConvNormAct(32, 64, 3)
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages: list[nn.Module] = []
        inputs = 64
        for blocks, width, stride, dilation in zip(
            BLOCKS[depth], WIDTHS, STRIDES, DILATIONS, strict=True
        ):
            stage: list[nn.Module] = []
            for i in range(blocks):
                # The first block of a dilated stage keeps the dilation of the stage before.
                block_dilation = max(1, dilation // 2) if i == 0 else dilation
                stage.append(Bottleneck(inputs, width, stride if i == 0 else 1, block_dilation))
                inputs = width * EXPANSION
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(self.pool(self.stem(images)))
