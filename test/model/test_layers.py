"""Layers under autocast, with each way in which torch tells of it."""

from typing import Any

import pytest
import torch

from stmem_ros.model import layers


class TorchBefore24:
    """torch, whose ``is_autocast_enabled`` takes no device."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def is_autocast_enabled(self) -> bool:
        return False


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("release", [torch, TorchBefore24()])
@torch.no_grad()
def test_depthwise_convolutions_stay_float32_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, release: Any
) -> None:
    monkeypatch.setattr(layers, "torch", release)
    torch.manual_seed(0)
    layer = layers.DepthwiseConv2d(8, 8, 3, groups=8)
    x = torch.randn(1, 8, 9, 9)
    wanted = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), wanted)
