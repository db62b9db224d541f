"""The light form: what it keeps of the frame network, and what earlier frames do in it."""

import torch

from stmem_ros.model.light_fusion import LightFusion
from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.model.stf import EncoderLayer


def make(block: tuple[int, int] = (4, 5)) -> LightFusion:
    torch.manual_seed(0)
    return LightFusion(16, 2, 8, 16, block, 3, (6, 8), target=2).eval()


def trained() -> LightFusion:
    """With weights everywhere, as after training."""
    fusion = make()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return fusion


def test_untrained_it_returns_the_target_as_it_is() -> None:
    window = torch.randn(2, 16, 3, 7, 9)
    assert torch.equal(make()(window), window[:, :, 2])
    mar = MemoryAugmentedRefinement(16, 4, norms=False)
    assert torch.equal(mar(window[:, :, 2]), window[:, :, 2])


def test_earlier_frames_change_the_result() -> None:
    fusion, window = trained(), torch.randn(1, 16, 3, 8, 10)
    earlier = window.clone()
    earlier[:, :, 0] += 1
    assert (fusion(window) - fusion(earlier)).abs().max() > 1e-3


def test_padding_tokens_take_no_attention_from_real_ones() -> None:
    torch.manual_seed(0)
    attention = EncoderLayer(16, 2, 16, (4, 4)).attention
    real = torch.zeros(8, 12, dtype=torch.bool)
    real[:7, :10] = True
    x, position = torch.randn(1, 16, 3, 8, 12), torch.randn(1, 16, 3, 8, 12)
    noisy = torch.where(real, x, 100 * torch.randn_like(x))
    a, b = (attention.of_target(window, position, 2, real) for window in (x, noisy))
    assert torch.allclose(a[..., :7, :10], b[..., :7, :10], atol=1e-5)
    assert trained()(x[..., :6, :8]).shape == (1, 16, 6, 8)


def test_its_attention_is_the_encoders_at_the_target() -> None:
    torch.manual_seed(1)
    attention = EncoderLayer(16, 2, 16, (4, 5)).attention
    window, position = torch.randn(1, 16, 3, 8, 10), torch.randn(1, 16, 3, 8, 10)
    whole = attention(window, window, position, position, None)
    one = attention.of_target(window, position, 1, None)
    torch.testing.assert_close(one, whole[:, :, 1:2])
