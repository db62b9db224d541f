"""STF and MAR give the numbers of the published code (test/golden/golden_modules.npz)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.model.stf import SpatialTemporalFusion

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "golden_modules.npz")
TOLERANCE = 3e-5

STF_NAMES = (
    ("pe_enc", "window_position"),
    ("pe_dec", "target_position"),
    ("encoder.layers.0.self_attn.", "encoder.attention."),
    ("decoder.layers.0.self_attn.", "decoder.self_attention."),
    ("decoder.layers.0.multihead_attn.", "decoder.cross_attention."),
    ("encoder.layers.0.", "encoder."),
    ("decoder.layers.0.", "decoder."),
    ("self_attn_long", "long"),
    ("self_attn_short", "short"),
    ("linear", "feed_forward.linear"),
)
MAR_NAMES = (
    ("memory_key", "keys"),
    ("memory_value", "values"),
    ("HEdecoder.", ""),
    ("attn.to_q", "to_query"),
    ("attn.to_k", "to_key"),
    ("attn.to_v", "to_value"),
    ("attn.to_out.0", "to_out"),
)


def weights(prefix: str, names: tuple[tuple[str, str], ...]) -> dict[str, torch.Tensor]:
    state = {}
    for key in GOLDEN:
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            for theirs, ours in names:
                name = name.replace(theirs, ours)
            value = torch.from_numpy(GOLDEN[key])
            state[name] = value[0] if name in ("keys", "values") else value
    return state


def run_stf(case: int, target: int) -> np.ndarray:
    block = tuple(int(b) for b in GOLDEN[f"stf/{case}/block"])
    stf = SpatialTemporalFusion(32, 2, 16, block, 3, (16, 32), target).eval()
    stf.load_state_dict(weights("stf/w/", STF_NAMES))
    with torch.no_grad():
        return stf(torch.from_numpy(GOLDEN[f"stf/{case}/x"].astype(np.float32))).numpy()


@pytest.mark.parametrize("case", range(5))
def test_stf_equals_the_published_code(case: int) -> None:
    assert np.abs(run_stf(case, target=1) - GOLDEN[f"stf/{case}/y"]).max() < TOLERANCE


def test_causal_stf_equals_the_published_modules_with_the_newest_frame_as_target() -> None:
    assert np.abs(run_stf(0, target=2) - GOLDEN["stf/0/y_last"]).max() < TOLERANCE


def test_the_target_slot_matters() -> None:
    assert np.abs(run_stf(0, target=0) - GOLDEN["stf/0/y"]).max() > 0.1


@pytest.mark.parametrize("case", range(2))
def test_mar_equals_the_published_code(case: int) -> None:
    mar = MemoryAugmentedRefinement(32, 20).eval()
    mar.load_state_dict(weights("mar/w/", MAR_NAMES))
    x = torch.from_numpy(GOLDEN[f"mar/{case}/x"].astype(np.float32))
    with torch.no_grad():
        attention = mar.attention(x.movedim(1, -1)).flatten(1, 2).numpy()
        assert np.abs(mar(x).numpy() - GOLDEN[f"mar/{case}/y"]).max() < TOLERANCE
    assert np.abs(attention - GOLDEN[f"mar/{case}/attn"]).max() < TOLERANCE
