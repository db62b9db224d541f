"""Checkpoints as people have them: the weights are found, or it is said what the file is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stmem_ros.model.bundle import BundleError, read_weights
from stmem_ros.model.checkpoint_file import CheckpointError, read_state
from stmem_ros.model.convert import convert_checkpoint

STATE = {"decode_head.conv_seg.weight": torch.zeros(19, 8, 1, 1),
         "decode_head.conv_seg.bias": torch.zeros(19)}  # fmt: skip


class History:
    """Some class of a training framework."""


def named(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "meta": {"epoch": 1}},
        {"model": STATE},
        {"ema_state_dict": STATE, "epoch": 3},
        {"ema": {"module": STATE}},
        {"model": {"state_dict": STATE}},
        named("module."),
        named("module.module."),
        named("model."),
        named("_orig_mod.module."),
        {"state_dict": named("ema.")},
        {"model": named("student.")},
        {"n_averaged": torch.tensor(3), **named("module.")},
    ],
)
def test_weights_are_found_under_keys_and_prefixes_of_frameworks(tmp_path, content) -> None:
    torch.save(content, tmp_path / "a.pth")
    assert set(read_state(tmp_path / "a.pth")) == set(STATE)


def test_what_a_name_begins_with_stays_where_others_begin_otherwise(tmp_path) -> None:
    state = {f"{part}.{i}.weight": torch.zeros(2) for part in ("model", "head") for i in range(3)}
    torch.save(state, tmp_path / "a.pth")
    assert set(read_state(tmp_path / "a.pth")) == set(state)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(named("model."), tmp_path / "a.safetensors")
    assert set(read_state(tmp_path / "a.safetensors")) == set(STATE)


def test_safetensors_are_known_by_their_bytes(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.pth")
    assert set(read_state(tmp_path / "a.pth")) == set(STATE)


@pytest.mark.parametrize("content", [{}, [STATE], torch.zeros(3), torch.nn.Linear(2, 2)])
def test_what_holds_no_weights_says_how_to_save_them(tmp_path, content, recwarn) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth.*model\.state_dict\(\)"):
        read_state(tmp_path / "a.pth")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"LFS.*git lfs pull"),
        (b"\n<!DOCTYPE html><html></html>", "web page"),
        (b'{"error": "not found"}', "JSON"),
        (b"", "empty"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"PK\x03\x04 a/data.pkl, cut off", "cut off"),
        (b"PK\x03\x04 a.pth", "ZIP archive"),
        (b"PK\x03\x04 a.npy", "numpy"),
    ],
)
def test_what_is_no_checkpoint_is_named_with_what_to_do(tmp_path, content, words) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"a\.pth.*{words}") as error:
        read_state(path)
    assert "\n" not in str(error.value) and "weights_only" not in str(error.value)


def test_a_bundles_weights_that_are_a_pointer_are_named(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(BundleError, match="git lfs pull"):
        read_weights(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("beside", "words"), [(np.float64(0.5), "numpy scalar"), (History(), "History")]
)
def test_an_object_beside_the_weights_is_named(tmp_path, beside, words) -> None:
    torch.save({"state_dict": STATE, "beside": beside}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=rf"{words}.*state_dict") as error:
        read_state(tmp_path / "a.pth")
    assert "weights_only" not in str(error.value) and "\x1b" not in str(error.value)


def test_a_checkpoint_that_is_cut_off_is_named(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cut off"):
        read_state(tmp_path / "a.pth")


def test_weights_of_another_network_are_told_by_their_first_keys(tmp_path: Path) -> None:
    torch.save(named("module."), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"more.*decode_head\.conv_seg\.weight") as error:
        convert_checkpoint(tmp_path / "a.pth", "x", 1024)
    assert len(str(error.value)) < 600
