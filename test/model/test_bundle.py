"""Bundles: what is saved comes back; damage is named."""

import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from support.small import small_bank

from stmem_ros.classes import CAMVID
from stmem_ros.model.bundle import (
    BundleError,
    load_bundle,
    load_memory,
    save_bundle,
    shipped_bundles,
)
from stmem_ros.model.memory import MemoryBank


def named_classes(first: str) -> list[dict[str, object]]:
    """CamVid's classes, the first of another name."""
    names = [first, *(c.name for c in CAMVID[1:])]
    return [{"id": i, "name": name, "colour": [i, i, i]} for i, name in enumerate(names)]


def test_a_saved_model_gives_the_same_logits_when_loaded_twice(small_bundle: Path) -> None:
    frames = torch.randn(1, 3, 3, 64, 96)
    with torch.no_grad():
        a, b = (load_bundle(small_bundle, "cpu")(frames) for _ in range(2))
    assert a.shape == (1, 11, 64, 96)
    assert torch.equal(a, b)


def test_files_get_the_permissions_that_the_system_gives_new_ones(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        small_bank().save(tmp_path / "bank.safetensors")
    finally:
        os.umask(before)
    assert [(p.name, oct(p.stat().st_mode)) for p in tmp_path.iterdir()] == [
        ("bank.safetensors", "0o100644")
    ]


def test_every_shipped_bundle_loads_and_is_ready() -> None:
    assert "onboard" in shipped_bundles()
    for name in shipped_bundles():
        model = load_bundle(name, "cpu")
        assert not model.training
        assert [c.id for c in model.info.classes] == list(range(model.architecture.classes))


def test_onboard_is_small_enough_for_a_vehicle() -> None:
    assert sum(p.numel() for p in load_bundle("onboard", "cpu").parameters()) < 8e6


def test_an_unknown_bundle_is_named_beside_the_known_ones() -> None:
    with pytest.raises(BundleError, match=r"'nonesuch'.*onboard"):
        load_bundle("nonesuch")


def test_an_unknown_device_is_refused(small_bundle: Path) -> None:
    with pytest.raises(ValueError, match=r"'warp'.*cpu"):
        load_bundle(small_bundle, "warp")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(small_bundle: Path) -> None:
    with pytest.raises(ValueError, match="'cuda'"):
        load_bundle(small_bundle, "cuda")


@pytest.mark.parametrize("name", ["weights.safetensors", "memory.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_file_is_named(
    small_bundle: Path, tmp_path: Path, name: str, damage: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(small_bundle, folder)
    file = folder / name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: 100 if damage == "cut" else 0])
    with pytest.raises(BundleError, match=name):
        load_bundle(folder, "cpu")


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("architecture", {"classes": 11, "backbone": "vgg"}, "vgg"),
        ("architecture", {"clases": 11}, "architecture.clases"),
        ("architecture", {"classes": 11, "window": 2.5}, "architecture.window is 2.5"),
        ("architecture", {"classes": 11, "reach": -1}, "architecture.reach is -1"),
        ("architecture", {"classes": 11, "channels": -4}, "architecture.channels is -4"),
        ("architecture", {"classes": 11, "heads": 3}, "architecture: heads is 3"),
        ("architecture", {"classes": True}, "architecture.classes is True"),
        ("classes", [], "classes"),
        ("name", "", "name is ''"),
        ("name", "two\nlines", "name is"),
        ("name", "\x1b[31mred", "name is"),
        ("name", "long" * 50, "name is 'longlong"),
        ("classes", named_classes("a\tb"), "name is"),
        ("classes", named_classes("car"), "two classes have the name 'car'"),
        ("classes", [{"id": 0, "name": "a", "colour": [300, 0, 0]}], r"classes\[0\].colour"),
        ("classes", [{"id": 0, "name": "a", "colour": "red"}], r"classes\[0\].colour is 'red'"),
        ("input", {}, "input.height"),
        ("input", {"height": 0, "mean": [0, 0, 0], "std": [1, 1, 1]}, "input.height is 0"),
        ("input", {"height": 9, "mean": [0, 0], "std": [1, 1, 1]}, "input.mean"),
        ("input", {"height": 9, "mean": [0, 0, 0], "std": [0, 0, 0]}, "input.std"),
    ],
)
def test_a_wrong_description_is_named(
    small_bundle: Path, tmp_path: Path, key: str, value: object, named: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(small_bundle, folder)
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {key: value}))
    with pytest.raises(BundleError, match=named) as caught:
        load_bundle(folder, "cpu")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_network_is_not_made_before_its_weights_are_looked_at(
    small_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(small_bundle, folder)
    path = folder / "model.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["architecture"] |= {"channels": 4096, "hidden": 4096, "positions": [4096, 4096]}
    path.write_text(yaml.safe_dump(raw))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError, match=r"weights\.safetensors.*model\.yaml") as caught:
        load_bundle(folder, "cpu")
    assert len(str(caught.value)) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_weights_of_another_architecture_are_refused(small_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(small_bundle, folder)
    path = folder / "model.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["architecture"]["hidden"] = 48
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(BundleError, match="feed_forward"):
        load_bundle(folder, "cpu")


def test_a_memory_bank_of_another_size_is_refused(small_model, tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    classes = torch.zeros(4, dtype=torch.long)
    MemoryBank(torch.zeros(4, 32), torch.zeros(4, 32), classes, "boundary").save(path)
    assert MemoryBank.load(path).rule == "boundary"
    with pytest.raises(BundleError, match=r"\(4, 32\).*\(110, 32\)"):
        load_memory(path, small_model)


def test_a_memory_bank_with_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="keys"):
        MemoryBank(
            torch.full((2, 4), float("nan")),
            torch.zeros(2, 4),
            torch.zeros(2, dtype=torch.long),
            "confidence",
        )


@pytest.mark.parametrize(("weight", "kind"), [(float("nan"), "float16"), (1e6, "float16")])
def test_weights_that_are_no_numbers_are_not_saved(
    small_bundle: Path, tmp_path: Path, weight: float, kind: str
) -> None:
    model = load_bundle(small_bundle, "cpu")
    bank = load_memory(small_bundle / "memory.safetensors", model)
    with torch.no_grad():
        next(p for p in model.parameters() if p.ndim > 1).fill_(weight)
    with pytest.raises(ValueError, match=f"not written: .*not finite as {kind}"):
        save_bundle(tmp_path / "bundle", model, model.info, bank)
    assert not (tmp_path / "bundle").exists()
