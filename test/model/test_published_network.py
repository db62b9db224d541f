"""psp50 with STF and MAR gives the numbers of the published code, converted from a checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.reference_weights import GOLDEN, frames, published_state

from stmem_ros.commands.stmem import main
from stmem_ros.model.bundle import load_bundle
from stmem_ros.model.convert import CheckpointError, convert_checkpoint, import_memory
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.segmenter import StreamingSegmenter

FIGURES = np.load(GOLDEN / "golden_full_128x256.npz")


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return published_state()


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "published.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory):
    """Through the documented command and back from the bundle."""
    out = tmp_path_factory.mktemp("bundle") / "psp50"
    assert main(["model", "convert", str(checkpoint), str(out)]) == 0
    return load_bundle(out, "cpu")


def figure(name: str) -> np.ndarray:
    return FIGURES[f"128x256/{name}"]


def difference(found: torch.Tensor, name: str) -> float:
    return float(np.abs(found.numpy() - figure(name)).max())


def test_the_rule_for_weights_gives_the_published_sums(state) -> None:
    sums = json.loads((GOLDEN / "golden_stats.json").read_text())["weight_sha256_16"]
    exact = [k for k in sums if state[k].ndim != 4]  # 4-D rows subtract a mean: last bit may differ
    assert exact
    for key in exact:
        assert hashlib.sha256(state[key].numpy().tobytes()).hexdigest()[:16] == sums[key]


def test_every_stage_equals_the_published_code(model) -> None:
    a = model.architecture
    assert (a.backbone, a.causal, a.window, a.block) == ("resnet50", False, 3, (16, 16))
    rgb = torch.from_numpy(np.stack(frames(128, 256)))
    with torch.no_grad():
        features = model.features(normalise(rgb, model.info.mean, model.info.std))
        assert difference(features[:, ::16], "feat_ch16") < 3e-4
        window = features.transpose(0, 1)[None]
        fused = model.fuse(window)
        assert difference(fused[0, ::16], "stf_ch16") < 1e-4
        refined = model.refine(fused)
        assert difference(refined[0, ::16], "mar_ch16") < 1e-4
        logits = model.classify(refined)
        assert difference(logits[0], "logits_low") < 2e-4
        full = model.upsample(logits, 128, 256)[0]
        assert difference(full[:, 3::8, 5::8], "logits_full_s8") < 2e-4
        model.stf.target = 2
        newest = model.classify(model.refine(model.fuse(window)))
        model.stf.target = 1
        assert difference(newest[0], "logits_low_last") < 2e-4
    unsure = np.unpackbits(figure("unsure"))[: 128 * 256].reshape(128, 256).astype(bool)
    assert np.array_equal(full.argmax(0).numpy()[~unsure], figure("argmax")[~unsure])


def test_a_centred_stream_labels_the_frame_before_with_the_published_labels(model) -> None:
    stream = StreamingSegmenter(model)
    for i, rgb in enumerate(frames(128, 256)):
        result = stream.push(rgb, i / 10)
    assert result.stamp == pytest.approx(0.1)
    unsure = np.unpackbits(figure("unsure"))[: 128 * 256].reshape(128, 256).astype(bool)
    assert np.array_equal(result.label[~unsure], figure("argmax")[~unsure])


def save(state: dict[str, torch.Tensor], path: Path) -> Path:
    """A checkpoint with the keys and shapes of a state; its zeros take no room."""
    zero = torch.zeros(())
    torch.save(
        {k: zero.expand(v.shape) if torch.is_tensor(v) else v for k, v in state.items()}, path
    )
    return path


def test_checkpoints_of_other_stages_and_sources_convert(state, tmp_path: Path) -> None:
    stf_only = {k: v for k, v in state.items() if not k.startswith("MAR.")}
    model, bank = convert_checkpoint(save(stf_only, tmp_path / "stf.pth"), "stf", 1024)
    assert model.mar is None and model.stf is not None and bank is None
    frame = {
        k.removeprefix("pspnet."): v for k, v in state.items() if k.startswith("pspnet.")
    }  # as mmsegmentation names it
    model, _ = convert_checkpoint(save(frame, tmp_path / "mmseg.pth"), "frame", 1024)
    assert model.stf is None and next(c.name for c in model.info.classes) == "road"


def test_every_wrong_key_is_named(state, tmp_path: Path) -> None:
    wrong = dict(state)
    del wrong["STF.decoder.layers.0.norm3.bias"]
    wrong["STF.extra"] = torch.zeros(1)
    wrong["MAR.HEdecoder.norm1.weight"] = torch.zeros(7)
    with pytest.raises(CheckpointError) as error:
        convert_checkpoint(save(wrong, tmp_path / "wrong.pth"), "x", 1024)
    for named in ("stf.decoder.norm3.bias", "STF.extra", "mar.norm1.weight", "(7,)", "(512,)"):
        assert named in str(error.value)


def test_what_is_no_checkpoint_is_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.pth").write_bytes(b"nothing")
    assert main(["model", "convert", str(tmp_path / "a.pth"), str(tmp_path / "o")]) == 1
    assert "a.pth" in capsys.readouterr().err
    save({"epoch": 3}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="epoch"):
        convert_checkpoint(tmp_path / "b.pth", "x", 1024)
    save({"a": torch.zeros(1)}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="missing classifier"):
        convert_checkpoint(tmp_path / "c.pth", "x", 1024)
    save({"decode_head.conv_seg.weight": torch.zeros(4, 5)}, tmp_path / "d.pth")
    with pytest.raises(CheckpointError, match=r"classifier's weight is \(4, 5\)"):
        convert_checkpoint(tmp_path / "d.pth", "x", 1024)


def test_nothing_is_unpickled_but_weights(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self):
            return Path.touch, (tmp_path / "attacked",)

    torch.save({"state_dict": Attack()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        convert_checkpoint(tmp_path / "evil.pth", "x", 1024)
    assert not (tmp_path / "attacked").exists()


def test_memory_files_of_the_published_code_are_imported(tmp_path: Path, capsys) -> None:
    keys = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    np.save(tmp_path / "key.npy", keys)
    np.save(tmp_path / "value.npy", keys.reshape(1, 6, 4))
    bank = import_memory(tmp_path / "key.npy", tmp_path / "value.npy", classes=3)
    assert bank.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(bank.keys, bank.values)
    arguments = [str(tmp_path / n) for n in ("key.npy", "value.npy", "bank.safetensors")]
    assert main(["memory", "import", *arguments, "--classes", "3"]) == 0
    assert main(["memory", "import", *arguments, "--classes", "5", "--force"]) == 1
    error = capsys.readouterr().err
    assert "6 items" in error and "5 classes" in error


@pytest.mark.parametrize("array", [np.array([{}]), np.zeros((6, 4), complex), None])
def test_memory_files_that_hold_no_numbers_are_named(tmp_path: Path, array) -> None:
    path = tmp_path / "key.npy"
    if array is None:
        np.savez(tmp_path / "key", a=np.zeros(3))
        (tmp_path / "key.npz").rename(path)
    else:
        np.save(path, array)
    with pytest.raises(CheckpointError, match=r"key\.npy.*array of numbers"):
        import_memory(path, path, classes=3)


@pytest.mark.parametrize("classes", [0, -3])
def test_a_memory_of_no_classes_is_refused(tmp_path: Path, classes: int) -> None:
    np.save(tmp_path / "key.npy", np.zeros((6, 4)))
    with pytest.raises(CheckpointError, match=f"classes is {classes};"):
        import_memory(tmp_path / "key.npy", tmp_path / "key.npy", classes)
