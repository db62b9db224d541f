"""Outputs are refused by name before work begins, and replace nothing unless asked to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.small import small_bank

from stmem_ros.commands.stmem import main
from stmem_ros.io.output_file import check_output_file, check_output_files
from stmem_ros.io.output_folder import MARKER, OutputError
from stmem_ros.model.bundle import load_bundle, save_bundle


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    taken = tmp_path / "taken.json"
    taken.write_text("{}")
    check_output_file(None)
    check_output_file(tmp_path / "new.json")
    check_output_file(taken, force=True)
    for path, force in (
        (taken, False),
        (tmp_path, True),
        (tmp_path / "none" / "new.json", True),
        (Path("/proc/new.json"), True),
        (Path("/dev/null"), True),
    ):
        with pytest.raises(OutputError, match=str(path)):
            check_output_file(path, force=force)
    with pytest.raises(OutputError, match="input"):
        check_output_file(taken, [taken], force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["taken.json"]


def test_a_folder_that_holds_files_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    check_output_files(out)
    out.mkdir()
    (out / MARKER).write_text("")
    check_output_files(out)
    (out / "thesis.txt").write_text("work of years")
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        check_output_files(out)
    check_output_files(out, force=True)
    with pytest.raises(OutputError, match="is a file"):
        check_output_files(out / "thesis.txt", force=True)
    with pytest.raises(OutputError, match="input"):
        check_output_files(out, [out / "thesis.txt"], force=True)


@pytest.fixture
def inputs(tmp_path: Path, small_run: Path, small_bundle: Path) -> Path:
    """A folder with what the commands read, and outputs that are there already."""
    (tmp_path / "published.pth").write_text("looked at after the output")
    bank = small_bank()
    np.save(tmp_path / "keys.npy", bank.keys.numpy())
    np.save(tmp_path / "values.npy", bank.values.numpy())
    architecture = yaml.safe_load((small_bundle / "model.yaml").read_text())["architecture"]
    config = {"name": "tiny", "dataset": "synthetic", "seed": 3, "architecture": architecture}
    stage = {"epochs": 1, "batch": 2, "learning_rate": 1e-3, "augmentation": {"crop": [96, 128]}}
    config |= dict.fromkeys(("frame", "stf", "mar"), stage)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    for name in ("out", "ours"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("work of years")
    (tmp_path / "out.json").write_text("work of years")
    (small_run / "mar.memory.safetensors").write_text("work of years")
    return tmp_path


def state(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("model convert published.pth out", "out"),
        ("model convert published.pth out.json", "out.json"),
        ("model convert published.pth . --force", "published.pth"),
        ("model convert missing.pth new", "missing.pth"),
        ("model assemble run out", "out"),
        ("model assemble run run/mar --force", "run/mar"),
        ("model assemble missing new", "missing"),
        ("model export BUNDLE --size 96x128 --out out.json", "out.json"),
        ("model export BUNDLE --size 96x128 --out none/new.onnx", "none"),
        ("model export run/mar --size 96x128 --out run/mar/model.yaml --force", "run/mar"),
        ("memory build mar --config tiny.yaml --run run", "mar.memory.safetensors"),
        ("memory import keys.npy values.npy out.json --classes 11", "out.json"),
        ("memory import keys.npy values.npy keys.npy --classes 11 --force", "keys.npy"),
        ("memory show mar --config tiny.yaml --run run --out out.json", "out.json"),
        ("train frame --config tiny.yaml --run run", "run/frame"),
        ("train frame --config tiny.yaml --run run --resume", "run/frame"),
        ("train stf --config tiny.yaml --run run --start run/stf --force", "run/stf"),
        ("bench core --model BUNDLE --json out.json", "out.json"),
        ("bench core --model BUNDLE --json ours --force", "ours"),
        ("bench core --model BUNDLE --json none/new.json", "none"),
        ("bench core --model BUNDLE --plot out.json", "out.json"),
        ("bench core --model BUNDLE --plot new.doc", "new.doc"),
        pytest.param(
            "bench node --model BUNDLE --json out.json", "out.json", marks=pytest.mark.ros
        ),
        ("bench costmap --json out.json", "out.json"),
        ("evaluate --dataset camvid --model BUNDLE --json out.json", "out.json"),
        ("evaluate drive --model BUNDLE --out new --json out.json", "out.json"),
        ("evaluate drive --model BUNDLE --out ours --json ours/metrics.json", "metrics.json"),
        ("bag create out --synthetic straight", "out"),
        ("bag create ours --images ours --force", "ours"),
        pytest.param("bag play drive --record out", "out", marks=pytest.mark.ros),
    ],
)
def test_commands_refuse_outputs_and_change_nothing(
    inputs: Path,
    small_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    command: str,
    named: str,
) -> None:
    monkeypatch.chdir(inputs)
    before = state(inputs)
    assert main(command.replace("BUNDLE", str(small_bundle)).split()) == 1
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
    assert state(inputs) == before


def test_force_replaces_a_bundle_and_keeps_what_else_is_there(
    inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inputs)
    assert main(["model", "assemble", "run", "out", "--force"]) == 0
    names = ["ablation.safetensors", "memory.safetensors", "model.yaml", "thesis.txt"]
    assert sorted(p.name for p in Path("out").iterdir()) == [*names, "weights.safetensors"]
    model = load_bundle("run/stf", "cpu")
    save_bundle(Path("out"), model, model.info, None)
    assert not Path("out/memory.safetensors").exists()
    assert not Path("out/ablation.safetensors").exists()
    assert Path("out/thesis.txt").read_text() == "work of years"


@pytest.mark.end_to_end
def test_force_replaces_files(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(inputs)
    arguments = "--model {} --size 96x128 --repeats 1 --device cpu --json out.json --force"
    bundle = inputs / "run" / "mar"
    assert main(["bench", "core", *arguments.format(bundle).split()]) == 0
    assert json.loads(Path("out.json").read_text())["streaming_ms"] > 0
    command = "memory import keys.npy values.npy run/mar.memory.safetensors --classes 11 --force"
    assert main(command.split()) == 0
