"""Variants of a bundle share its frame network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from stmem_ros.model.ablation import VARIANTS, assemble, load_variants, of_whole
from stmem_ros.model.bundle import BundleError, load_bundle, save_bundle


def test_variants_of_an_assembled_bundle_are_those_of_the_run(
    small_run: Path, tmp_path: Path
) -> None:
    assemble(small_run, tmp_path / "bundle")
    variants = load_variants(tmp_path / "bundle", "cpu")
    assert list(variants) == list(VARIANTS)
    frames = torch.randn(1, 3, 3, 64, 96)
    with torch.no_grad():
        for name, model in variants.items():
            assert torch.equal(model(frames), load_bundle(small_run / name, "cpu")(frames)), name
    small = (tmp_path / "bundle" / "ablation.safetensors").stat().st_size
    assert small < 0.1 * (tmp_path / "bundle" / "weights.safetensors").stat().st_size


def test_a_run_without_mar_is_shipped_with_stf(small_run: Path, tmp_path: Path) -> None:
    for stage in ("mar", "frame_mar"):
        shutil.rmtree(small_run / stage)
    assemble(small_run, tmp_path / "bundle")
    variants = load_variants(tmp_path / "bundle", "cpu")
    assert list(variants) == ["frame", "stf"]
    assert of_whole(variants) is variants["stf"]
    frames = torch.randn(1, 3, 3, 64, 96)
    with torch.no_grad():
        for name, model in variants.items():
            assert torch.equal(model(frames), load_bundle(small_run / name, "cpu")(frames)), name


def test_a_bundle_without_variants_is_named(small_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"ablation\.safetensors"):
        load_variants(small_bundle)


def test_a_run_whose_stages_do_not_share_the_frame_network_is_refused(
    small_run: Path, tmp_path: Path
) -> None:
    model = load_bundle(small_run / "stf", "cpu")
    model.head.merge8[0].weight.data += 1
    save_bundle(small_run / "stf", model, model.info, None)
    with pytest.raises(BundleError, match=r"head\.merge8\.0\.weight"):
        assemble(small_run, tmp_path / "bundle")
