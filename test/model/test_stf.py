"""Padding of STF to whole blocks."""

import pytest
import torch

from stmem_ros.model.stf import InterlacedAttention, SpatialTemporalFusion


def make(block: tuple[int, int]) -> SpatialTemporalFusion:
    torch.manual_seed(0)
    stf = SpatialTemporalFusion(16, 2, 16, block, 3, (8, 8), 2).eval()
    torch.nn.init.normal_(stf.window_position)
    torch.nn.init.normal_(stf.target_position)
    return stf


@pytest.mark.parametrize("size", [(9, 11), (3, 5), (8, 5), (4, 4), (1, 1)])
def test_any_feature_size_gives_finite_features_of_that_size(size: tuple[int, int]) -> None:
    with torch.no_grad():
        fused = make((4, 4))(torch.randn(2, 16, 3, *size))
    assert fused.shape == (2, 16, *size)
    assert torch.isfinite(fused).all()


def test_padding_tokens_take_no_attention_from_real_ones() -> None:
    """What stands in the padding cannot be told from the result."""
    torch.manual_seed(0)
    attention = InterlacedAttention(16, 2, (4, 4)).eval()
    real = torch.zeros(8, 12, dtype=torch.bool)
    real[:7, :10] = True
    x = torch.randn(1, 16, 3, 8, 12)
    noisy = torch.where(real, x, 100 * torch.randn_like(x))
    position = torch.randn(1, 16, 3, 8, 12)
    with torch.no_grad():
        a = attention(x, x, position, position, real)
        b = attention(noisy, noisy, position, position, real)
    assert torch.allclose(a[..., :7, :10], b[..., :7, :10], atol=1e-5)


def test_a_mask_without_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    attention = InterlacedAttention(16, 2, (4, 4)).eval()
    x, position = torch.randn(1, 16, 3, 8, 8), torch.randn(1, 16, 3, 8, 8)
    everywhere = torch.ones(8, 8, dtype=torch.bool)
    with torch.no_grad():
        masked = attention(x, x, position, position, everywhere)
        plain = attention(x, x, position, position, None)
    assert torch.allclose(masked, plain, atol=1e-5)


def test_earlier_frames_change_the_result() -> None:
    stf = make((4, 4))
    window = torch.randn(1, 16, 3, 8, 8)
    other = window.clone()
    other[:, :, 0] += 1
    with torch.no_grad():
        assert (stf(window) - stf(other)).abs().max() > 1e-3
