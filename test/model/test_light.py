"""The light form: what it keeps of the frame network, and what earlier frames do in it."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.small import SMALL
from torch import Tensor

from stmem_ros.model.aligned_fusion import AlignedFusion, Matching, agreement_gate
from stmem_ros.model.segmenter import Architecture, Segmenter

A, C, K = 8, 16, 3  # appearance and fused channels, classes
AGREEMENT = (0.93, 0.975)
PATCH = np.s_[..., 13:19, 17:23]  # 3 % of the pixels
WITHIN = np.s_[15:17, 19:21]  # its middle, of which all detail is the patch's


def matching(reach: int = 3) -> Matching:
    torch.manual_seed(0)
    return Matching(A, reach).eval()


def fusion(window: int = 3) -> AlignedFusion:
    torch.manual_seed(0)
    return AlignedFusion(C, A, window, reach=3, agreement=AGREEMENT).eval()


def texture(height: int, width: int, channels: int) -> Tensor:
    """Smooth noise, 1 x channels x height x width."""
    torch.manual_seed(3)
    coarse = torch.randn(1, channels, height // 3, width // 3)
    return F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)


def of_one_class(window: Tensor, index: int = 0) -> Tensor:
    """A window 1 x (C + A) x T x h x w with class probabilities: everything is surely one class."""
    probability = F.one_hot(torch.tensor(index), K).float()[None, :, None, None, None]
    return torch.cat([window, probability.expand(-1, -1, *window.shape[2:])], dim=1)


def moving(frames: int, dx: int, dy: int) -> Tensor:
    """Things of one class that move by (dx, dy) feature pixels per frame.

    A window 1 x (C + A + K) x T x 32 x 40.
    """
    scene = texture(96, 120, C + A)
    views = [
        scene[..., 30 - dy * t : 62 - dy * t, 40 - dx * t : 80 - dx * t] for t in range(frames)
    ]
    return of_one_class(torch.stack(views, dim=2))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, 0), (-3, 2), (1, -5)])
def test_matching_finds_a_motion(dx: int, dy: int) -> None:
    appearance = moving(2, dx, dy)[:, C : C + A]
    describe = matching().describe
    found = matching()(describe(appearance[:, :, 1]), describe(appearance[:, :, 0]))
    inside = found[0, :, 8:-8, 8:-8].flatten(1).median(dim=1).values
    torch.testing.assert_close(inside, torch.tensor([-dx, -dy]).float(), atol=0.3, rtol=0)


def test_untrained_it_averages_what_was_aligned() -> None:
    window = moving(3, 2, 0)
    fused = fusion()(window)[..., 8:-8, 8:-8]
    own = window[:, :C, 2, 8:-8, 8:-8]
    unaligned = window[:, :C, :, 8:-8, 8:-8].mean(dim=2)
    assert (fused - own).abs().mean() < 0.3 * (unaligned - own).abs().mean()


@pytest.mark.parametrize(("wide", "kept"), [(1, True), (16, False)])
def test_a_pixel_keeps_of_its_own_what_is_fine(wide: int, kept: bool) -> None:
    """Stripes that the newest frame alone shows, some pixels wide."""
    window = of_one_class(texture(32, 40, C + A)[:, :, None].repeat(1, 1, 3, 1, 1))
    stripes = 1.0 - 2 * (torch.arange(40) // wide % 2)
    window[:, :C] = 0
    window[:, :C, 2] = stripes
    module = fusion()
    torch.nn.init.constant_(module.sharpness, -9)  # all frames are weighed alike
    share = (module(window) * stripes)[..., 8:-8, 8:-8].median()
    assert bool(share > 0.5) is kept


def test_it_takes_any_size_and_returns_it() -> None:
    assert fusion()(torch.randn(2, C + A + K, 3, 13, 17)).shape == (2, C, 13, 17)


def test_frame_by_frame_it_gives_what_the_window_gives() -> None:
    frames, module = moving(5, 2, 1), fusion()
    window = None
    for t in range(5):
        window = module.extend(window, frames[:, :, t])
    torch.testing.assert_close(module.fuse(window)[0], module(frames[:, :, 2:]))


def test_paths_add_up_over_the_frames() -> None:
    frames, module = moving(4, 2, -1), fusion(4)
    window = None
    for t in range(4):
        window = module.extend(window, frames[:, :, t])
    assert window is not None
    for path, steps in zip(window.paths, (3, 2, 1), strict=True):
        inside = path[0, :2, 12:-12, 12:-12].flatten(1).median(dim=1).values
        wanted = torch.tensor([-2.0, 1.0]) * steps
        torch.testing.assert_close(inside, wanted, atol=0.3 * steps, rtol=0)
    assert window.paths[0][0, 2, :, :4].max() < 1e-3  # what entered since was not there yet
    assert window.paths[0][0, 2, 12:-12, 12:-12].min() > 0.999


def test_a_still_window_is_returned_as_it_is() -> None:
    window = moving(1, 0, 0).expand(-1, -1, 3, -1, -1)
    assert (fusion()(window) - window[:, :C, 2]).abs().mean() < 5e-3


def test_earlier_frames_change_the_result() -> None:
    window = moving(3, 1, 1)
    earlier = window.clone()
    earlier[:, :C, 0] += 1
    assert (fusion()(window) - fusion()(earlier)).abs().max() > 1e-2


def still_window(patch: Tensor) -> Tensor:
    """A still scene of one class; the newest frame has other probabilities in a small patch."""
    window = of_one_class(texture(32, 40, C + A)[:, :, None].repeat(1, 1, 3, 1, 1))
    window[:, -K:, 2][PATCH] = patch[None, :, None, None]
    window[:, :C, :2] += 1  # what earlier frames say differs
    return window


def looked_back(window: Tensor) -> Tensor:
    """How far the fused features are from the newest frame's, h x w."""
    return (fusion()(window) - window[:, :C, 2]).abs().mean(dim=1)[0].detach()


def test_what_is_of_another_class_has_no_weight_however_well_it_fits() -> None:
    changed = looked_back(still_window(F.one_hot(torch.tensor(1), K).float()))
    assert changed[WITHIN].max() < 1e-4
    assert changed[:8].mean() > 0.1


def test_earlier_frames_that_are_sure_help_one_that_is_not() -> None:
    half_sure, sure = (
        looked_back(still_window(torch.tensor(p)))[WITHIN].mean()
        for p in ([0.5, 0.5, 0], [0.01, 0.99, 0])
    )
    assert half_sure > 3 * sure


def test_what_shows_another_place_is_not_looked_up() -> None:
    """After a cut nothing of before counts, and what follows counts as ever."""
    window = moving(3, 1, 1)
    other = F.one_hot(torch.tensor([1, 2]), K).float().T[None, :, None, None, :]
    window[:, -K:, 0] = other.repeat_interleave(20, dim=-1)[:, :, 0]
    module, cut = fusion(), None
    for t in range(3):
        cut = module.extend(cut, window[:, :, t])
    assert cut is not None
    assert cut.paths[0][:, 2].max() == 0 and cut.paths[1][:, 2].mean() > 0.8
    earlier = window.clone()
    earlier[:, :C, 0] += 1
    torch.testing.assert_close(module(window), module(earlier))


def test_frames_that_nearly_agree_are_looked_up_in_part() -> None:
    low, high = AGREEMENT
    gates = agreement_gate(torch.tensor([low - 0.1, (low + high) / 2, high + 0.01]), AGREEMENT)
    torch.testing.assert_close(gates, torch.tensor([0.0, 0.5, 1.0]))


def test_what_lies_beyond_the_image_has_no_weight() -> None:
    """Things enter at the left: there is nothing to average them with."""
    window = moving(2, 6, 0)
    fused = fusion(2)(window)
    new = fused[..., 8:-8, :4] - window[:, :C, 1, 8:-8, :4]
    assert new.abs().mean() < 0.05


def test_a_light_form_of_another_backbone_or_centred_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'light'.*'resnet50'"):
        Architecture(classes=11, backbone="resnet50", form="light")
    with pytest.raises(ValueError, match="causal False"):
        Architecture(classes=11, causal=False, form="light")


@pytest.mark.parametrize("size", [(96, 128), (97, 131)])
@torch.inference_mode()
def test_an_enlarging_network_labels_like_one_given_enlarged_images(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = Segmenter(dataclasses.replace(SMALL, form="light", window=1)).eval()
    zoomed = Segmenter(dataclasses.replace(plain.architecture, zoom=1.25)).eval()
    zoomed.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, *size)
    large = F.interpolate(images, scale_factor=1.25, mode="bilinear", align_corners=False)
    found, wanted = zoomed.features(images), plain.features(large)
    height, width = min(found.shape[2], wanted.shape[2]), min(found.shape[3], wanted.shape[3])
    inner = (..., slice(0, height - 9), slice(0, width - 9))  # the sizes are rounded apart
    torch.testing.assert_close(found[inner], wanted[inner], atol=0.1, rtol=0.1)
    assert zoomed(images[:, None]).shape[-2:] == size
