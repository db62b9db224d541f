"""Building blocks shared by the backbones and heads."""

from __future__ import annotations

from torch import nn


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
        layers: list[nn.Module] = [
            nn.Conv2d(
                inputs, outputs, kernel, stride, padding, dilation, groups=groups, bias=False
            ),
            nn.BatchNorm2d(outputs, eps=eps),
        ]
        if act is not None:
            layers.append(act(inplace=True))
        super().__init__(*layers)
