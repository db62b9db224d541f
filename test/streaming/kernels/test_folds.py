"""Each fold of the stream gives what the plain form gives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.efficientnet import EfficientNetLite
from stmem_ros.model.layers import ConvNormAct
from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.model.pyramid import FeaturePyramidHead, PyramidPoolingHead
from stmem_ros.model.resnet import ResNetV1c
from stmem_ros.model.stf import SpatialTemporalFusion
from stmem_ros.streaming.fusion import TokenFusion
from stmem_ros.streaming.kernels.decode import decode
from stmem_ros.streaming.kernels.folded_alignment import FoldedAlignment
from stmem_ros.streaming.kernels.folded_convolutions import (
    FoldedPyramidPoolingHead,
    fold_batch_norms,
    fold_detail_projection,
)
from stmem_ros.streaming.kernels.folded_mar import FoldedRefinement
from stmem_ros.streaming.kernels.folded_stf import FoldedFusion
from stmem_ros.streaming.kernels.fused_convolutions import (
    KEPT_USES,
    FusedBottleneck,
    FusedConv2d,
    FusedInvertedResidual,
    fuse_convolutions,
)
from stmem_ros.streaming.kernels.winograd import WinogradConv2d


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


@pytest.mark.parametrize("cpu_kernels", [True, False])
@pytest.mark.parametrize("target", [1, 2])
@pytest.mark.parametrize("size", [(8, 10), (7, 9), (13, 16)])
@torch.inference_mode()
def test_stf(target: int, size: tuple[int, int], cpu_kernels: bool) -> None:
    stf = SpatialTemporalFusion(16, 2, 24, (4, 5), 3, (6, 8), target)
    random_weights(stf)
    window = torch.randn(1, 16, 3, *size)
    folded = FoldedFusion(stf, cpu_kernels)
    frames = [folded.project(window[:, :, t]) for t in range(3)]
    found = folded.fuse(frames, folded.positions(size))
    torch.testing.assert_close(found, stf(window), atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_mar() -> None:
    mar = MemoryAugmentedRefinement(16, 20)
    random_weights(mar)
    x = torch.randn(2, 16, 7, 9)
    torch.testing.assert_close(FoldedRefinement(mar)(x), mar(x), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_batch_norms() -> None:
    backbone = random_weights(EfficientNetLite("efficientnet_lite0"))
    head = random_weights(FeaturePyramidHead(EfficientNetLite.channels, 16))
    folded = [fold_batch_norms(part) for part in (backbone, head)]
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


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("size", [(24, 40), (17, 21), (9, 16), (1, 7), (1, 1)])
@torch.inference_mode()
def test_alignment(size: tuple[int, int], window: int) -> None:
    fusion = AlignedFusion(8, 6, window, reach=4, agreement=(0.0, 1.0))
    random_weights(fusion)
    for scale in (fusion.matching.coarse, fusion.matching.fine, fusion):
        scale.sharpness.fill_(2.5)
    torch.manual_seed(1)
    scene = F.avg_pool2d(torch.randn(1, 14, size[0] + 12, size[1] + 12), 3, 1, 1)
    frames = [scene[:, :, 3 * i : 3 * i + size[0], 2 * i : 2 * i + size[1]] for i in range(5)]
    frames = [torch.cat([x, (4 * x[:, :3]).softmax(dim=1)], dim=1) for x in frames]
    folded, plain_window, folded_window = FoldedAlignment(fusion), None, None
    for features in frames:
        plain_window = fusion.extend(plain_window, features)
        pixels = features.contiguous(memory_format=torch.channels_last)
        folded_window = folded.extend(folded_window, pixels)
    for found, wanted in zip(folded.fuse(folded_window), fusion.fuse(plain_window), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_few_pixels_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stmem_ros.streaming.kernels.folded_alignment.PIXELS", 50)
    monkeypatch.setattr("stmem_ros.streaming.kernels.folded_mar.PIXELS", 50)
    monkeypatch.setattr("stmem_ros.streaming.kernels.decode.ON_CPU", 2000)
    test_alignment((17, 21), 3)
    test_mar()
    test_decoding(2.5)


@pytest.mark.parametrize("groups", [1, 12])
@pytest.mark.parametrize("act", [None, nn.ReLU, nn.ReLU6])
@torch.inference_mode()
def test_fused_convolutions(act: type[nn.Module] | None, groups: int) -> None:
    outputs = 24 if groups == 1 else 12
    layer = ConvNormAct(12, outputs, 3, stride=2, groups=groups, act=act)
    layer = fold_batch_norms(random_weights(layer))
    x = 5 * torch.randn(2, 12, 15, 18)
    part = nn.Sequential(layer)
    fuse_convolutions(part)
    assert isinstance(part[0], FusedConv2d)
    small = x[:1, :, :2, :3]
    for y in (x, x, x, small, small, small, x):  # in oneDNN's order, then in another
        torch.testing.assert_close(part(y), layer(y), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_weights_are_in_the_order_for_each_use_that_comes_again() -> None:
    """Also where uses alternate, as of two cameras that are due now together and now alone."""
    layer = fold_batch_norms(random_weights(ConvNormAct(12, 24, 3)))
    part = nn.Sequential(layer)
    fuse_convolutions(part)
    x = torch.randn(2, 12, 15, 18)

    def shapes(y: Tensor) -> list[tuple[int, ...]]:
        torch.testing.assert_close(part(y), layer(y), atol=1e-4, rtol=1e-4)
        return [tuple(use[1]) for use in part[0]._weights if use]

    two, one, small = x.shape, (1, 12, 15, 18), (1, 12, 2, 3)
    assert shapes(x) == shapes(x[:1]) == shapes(x[:1, :, :2, :3]) == []
    assert shapes(x) == [two]
    assert shapes(x[:1]) == [two, one]
    assert shapes(x[:1, :, :2, :3]) == [two, one, small] == shapes(x)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert shapes(x) == [two, one, small]
        assert shapes(x) == [two, one, small, two]
    finally:
        torch.set_num_threads(threads)
    for width in (*range(4, 12), *range(4, 12)):
        kept = shapes(x[..., :width])
    assert len(kept) == KEPT_USES


@torch.inference_mode()
def test_strided_detail() -> None:
    head = fold_batch_norms(random_weights(FeaturePyramidHead(EfficientNetLite.channels, 8)))
    half = torch.randn(2, EfficientNetLite.channels[0], 6, 10)
    wanted = head.detail(half)
    fold_detail_projection(head)
    assert isinstance(head.detail[0], nn.Conv2d)
    torch.testing.assert_close(head.detail(half), wanted)


@pytest.mark.parametrize(
    ("backbone", "fused"),
    [
        (EfficientNetLite("efficientnet_lite0"), FusedInvertedResidual),
        (ResNetV1c(50), FusedBottleneck),
    ],
)
@torch.inference_mode()
def test_fused_backbones(backbone: nn.Module, fused: type[nn.Module]) -> None:
    """No level of features is overwritten by a later block."""
    plain = fold_batch_norms(random_weights(backbone))
    image = torch.randn(1, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    before = image.clone()
    wanted = plain(image)
    folded = fold_batch_norms(backbone)
    fuse_convolutions(folded)
    assert any(isinstance(part, fused) for part in folded.modules())
    found = folded(image)
    assert torch.equal(image, before)
    if isinstance(wanted, Tensor):
        wanted, found = (wanted,), (found,)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()), rtol=1e-4)


@torch.inference_mode()
def test_positions_are_kept_for_each_size_in_use() -> None:
    stf = SpatialTemporalFusion(16, 2, 24, (4, 5), 3, (6, 8), 2)
    random_weights(stf)
    folded = FoldedFusion(stf, cpu_kernels=True)
    streams = {size: TokenFusion(folded) for size in ((8, 10), (7, 9))}
    held = {}
    for _ in range(2):
        for size, stream in streams.items():
            stream.push(torch.randn(1, 16, *size))
            assert held.setdefault(size, folded.positions(size)) is folded.positions(size)


@torch.inference_mode()
def test_winograd_in_bands_and_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stmem_ros.streaming.kernels.winograd.TILES", 8)
    monkeypatch.setattr("stmem_ros.streaming.kernels.winograd.CHANNELS", 10)
    torch.manual_seed(0)
    convolution = nn.Conv2d(24, 16, 3, padding=2, dilation=2)
    x = torch.randn(1, 24, 37, 30)
    wanted = convolution(x)
    torch.testing.assert_close(WinogradConv2d(convolution)(x), wanted, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_stf_a_few_tokens_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stmem_ros.streaming.kernels.folded_stf.TOKENS", 70)
    test_stf(1, (13, 16), cpu_kernels=True)
