"""Building blocks shared by the backbones and heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel alone; float32 on a CPU, even in bfloat16 autocast.

    There oneDNN takes four times as long for the bfloat16 gradient of a 5x5 kernel.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not _cpu_autocast_enabled():
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


def _cpu_autocast_enabled() -> bool:
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # torch before 2.4 has one function per device
        return torch.is_autocast_cpu_enabled()


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm and (unless ``act`` is None) an activation.

    Padding keeps the spatial size at stride 1 (``dilation * (kernel - 1) / 2`` on each side).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act: type[nn.Module] | None = nn.ReLU,
        eps: float = 1e-5,
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        convolution = DepthwiseConv2d if groups == inputs == outputs else nn.Conv2d
        layers: list[nn.Module] = [
            convolution(
                inputs, outputs, kernel, stride, padding, dilation, groups=groups, bias=False
            ),
            nn.BatchNorm2d(outputs, eps=eps),
        ]
        if act is not None:
            layers.append(act(inplace=True))
        super().__init__(*layers)


def resample(x: Tensor, size: tuple[int, int], scale: tuple[float, float]) -> Tensor:
    """Bilinear resizing of N x C x h x w by just ``scale`` (rows, columns), cut to ``size``.

    ``F.interpolate`` takes one of the two and stretches what is given to the whole size.
    """
    # Of few channels, as images and scores have, a CPU resizes rows three times as fast as pixels.
    return torch.ops.aten.upsample_bilinear2d(x.contiguous(), list(size), False, *scale)
