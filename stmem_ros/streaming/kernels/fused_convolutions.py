"""Convolutions on a CPU that clip, or add to what is there, as they write: by oneDNN.

Clipping and adding apart would read and write maps that are too large for the cache.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stmem_ros.model.efficientnet import InvertedResidual
from stmem_ros.model.layers import ConvNormAct
from stmem_ros.model.resnet import Bottleneck
from stmem_ros.streaming.kernels import onednn

# activation: oneDNN's name of it, and its limits
ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
KEPT_USES = 8  # numbers and sizes of images, as of cameras due together and alone

Use = tuple[int, torch.Size]  # threads that compute, shape of the inputs


class FusedConv2d(nn.Module):
    """A convolution and the activation after it, in inference."""

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self._geometry: onednn.Geometry = (
            convolution.padding,
            convolution.stride,
            convolution.dilation,
            convolution.groups,
        )
        self._activation = ACTIVATIONS[type(activation)]
        self.bias = convolution.bias
        # The weight, in oneDNN's order for each of the last uses that came twice; till then as it
        # is. Threads share this: it is replaced as a whole.
        self._weights: dict[Use | None, Tensor] = {None: convolution.weight.detach()}
        self._first_uses: tuple[Use, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution and the activation."""
        weight = self._weight_for(x.shape)
        return onednn.convolve(x, weight, self.bias, self._geometry, *self._activation)

    def add_onto(self, base: Tensor, x: Tensor, activation: str | None = None) -> Tensor:
        """The convolution added to ``base``, in its memory; then clipped (``relu``)."""
        weight = self._weight_for(x.shape)
        return onednn.convolve_onto(base, x, weight, self.bias, self._geometry, activation)

    def _weight_for(self, shape: torch.Size) -> Tensor:
        """The weight in oneDNN's own order for inputs of this shape, once they come again.

        Else oneDNN puts it in that order at each call.
        """
        use = torch.get_num_threads(), shape
        weight = self._weights.get(use)
        if weight is not None:
            return weight
        weight = next(iter(self._weights.values()))
        if use in self._first_uses:
            ordered = onednn.order_convolution_weight(weight, self._geometry, shape)
            kept = [(u, w) for u, w in self._weights.items() if u is not None]
            # Most uses have one order: all weights anew for each would be 16 MB of `onboard`.
            weight = next((w for _, w in kept if onednn.same_order(w, ordered)), ordered)
            self._weights = dict([*kept[1 - KEPT_USES :], (use, weight)])
        else:
            self._first_uses = (*self._first_uses[1 - KEPT_USES :], use)
        return weight


class FusedBottleneck(nn.Module):
    """A :class:`Bottleneck` of fused convolutions; may overwrite what it is given."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.branch = nn.Sequential(block.reduce, block.spatial)
        assert isinstance(block.expand, FusedConv2d)
        self.expand, self.shortcut = block.expand, block.shortcut

    def forward(self, x: Tensor) -> Tensor:
        """As the plain form's."""
        branch = self.branch(x)
        return self.expand.add_onto(self.shortcut(x), branch, "relu")


class FusedInvertedResidual(nn.Module):
    """An :class:`InvertedResidual` with a residual; overwrites what it is given."""

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        self.branch = nn.Sequential(block.expand, block.depthwise)
        assert isinstance(block.project, FusedConv2d)
        self.project = block.project

    def forward(self, x: Tensor) -> Tensor:
        """As the plain form's."""
        return self.project.add_onto(x, self.branch(x))


def fuse_convolutions(module: nn.Module) -> None:
    """Replace convolutions without batch norm and the blocks they are in, in place.

    Where oneDNN's convolutions do not work, nothing is replaced.
    """
    if not onednn.convolutions_work():
        return
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, ConvNormAct) and isinstance(child[0], nn.Conv2d):
                activation = child[1] if len(child) > 1 else nn.Identity()
                setattr(part, name, FusedConv2d(child[0], activation))
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, Bottleneck):
                setattr(part, name, FusedBottleneck(child))
            elif isinstance(child, InvertedResidual) and child.residual:
                setattr(part, name, FusedInvertedResidual(child))
