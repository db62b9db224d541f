"""Each fold of the stream gives what the plain form gives."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stmem_ros.model.efficientnet import EfficientNetLite
from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.model.pyramid import FeaturePyramidHead, PyramidPoolingHead
from stmem_ros.model.stf import SpatialTemporalFusion
from stmem_ros.streaming.decode import decode
from stmem_ros.streaming.folded_convolutions import FoldedPyramidPoolingHead, without_batch_norm
from stmem_ros.streaming.folded_mar import FoldedRefinement
from stmem_ros.streaming.folded_stf import FoldedFusion
from stmem_ros.streaming.winograd import WinogradConv2d


def random_weights(module: nn.Module) -> nn.Module:
    """Weights and statistics everywhere, so that a fold that forgets one is found."""
    torch.manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            scale = 0.4 if tensor.ndim < 2 else (2 / max(1, tensor[0].numel())) ** 0.5
            tensor.copy_(scale * torch.randn_like(tensor))
            if name.endswith("running_var"):
                tensor.copy_(tensor.abs() + 0.5)
    return module.eval()


@pytest.mark.parametrize("target", [1, 2])
@pytest.mark.parametrize("size", [(8, 10), (7, 9), (13, 16)])
@torch.inference_mode()
def test_stf(target: int, size: tuple[int, int]) -> None:
    stf = SpatialTemporalFusion(16, 2, 24, (4, 5), 3, (6, 8), target)
    random_weights(stf)
    window = torch.randn(1, 16, 3, *size)
    folded = FoldedFusion(stf)
    frames = [folded.project(window[:, :, t]) for t in range(3)]
    found = folded.fuse(frames, folded.positions(size))
    torch.testing.assert_close(found, stf(window), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("norms", [True, False])
@torch.inference_mode()
def test_mar(norms: bool) -> None:
    mar = MemoryAugmentedRefinement(16, 20, norms)
    random_weights(mar)
    x = torch.randn(2, 16, 7, 9)
    torch.testing.assert_close(FoldedRefinement(mar)(x), mar(x), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_batch_norms() -> None:
    backbone = random_weights(EfficientNetLite("efficientnet_lite0"))
    head = random_weights(FeaturePyramidHead(EfficientNetLite.channels, 16))
    folded = [without_batch_norm(part) for part in (backbone, head)]
    assert not any(isinstance(m, nn.BatchNorm2d) for part in folded for m in part.modules())
    image = torch.randn(2, 3, 65, 97)
    wanted, found = head(backbone(image)), folded[1](folded[0](image))
    torch.testing.assert_close(found, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("size", [(16, 24), (13, 9)])
@torch.inference_mode()
def test_pyramid_pooling(size: tuple[int, int]) -> None:
    head = PyramidPoolingHead(24, 8)
    random_weights(head)
    x = torch.randn(2, 24, *size)
    torch.testing.assert_close(FoldedPyramidPoolingHead(head)(x), head(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stride", [4, 8, 2.5])
@torch.inference_mode()
def test_decoding(stride: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 12, 14)
    height, width = int(12 * stride) - 3, int(14 * stride) - 1
    full = F.interpolate(logits, scale_factor=stride, mode="bilinear", align_corners=False)
    best, label = full[..., :height, :width].softmax(dim=1).max(dim=1)
    found, sure = decode(logits, stride, height, width)
    assert (found == label).float().mean() > 0.9999
    torch.testing.assert_close(sure, best, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("size", [(32, 48), (17, 30), (3, 5)])
@torch.inference_mode()
def test_winograd(dilation: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(24, 16, 3, padding=dilation, dilation=dilation)
    x = torch.randn(2, 24, *size)
    wanted = convolution(x)
    torch.testing.assert_close(WinogradConv2d(convolution)(x), wanted, atol=1e-5, rtol=1e-4)


def test_winograd_takes_only_what_it_can_do() -> None:
    assert WinogradConv2d.takes(nn.Conv2d(256, 256, 3, padding=2, dilation=2))
    for other in (
        nn.Conv2d(128, 256, 3, padding=1),
        nn.Conv2d(256, 256, 3),
        nn.Conv2d(256, 256, 3, stride=2, padding=1),
        nn.Conv2d(256, 256, 1),
        nn.Conv2d(256, 256, 3, padding=1, groups=256),
    ):
        assert not WinogradConv2d.takes(other)
