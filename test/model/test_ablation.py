"""Variants of a bundle share its frame network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from support.small import SMALL, small_bank

from stmem_ros.data.classes import CAMVID
from stmem_ros.model.ablation import VARIANTS, assemble, load_variants
from stmem_ros.model.bundle import BundleError, ModelInfo, load_bundle, save_bundle
from stmem_ros.model.segmenter import Segmenter


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run as training leaves it: one frame network, a classifier (and memory) a stage."""
    torch.manual_seed(0)
    full = Segmenter(SMALL).state_dict()
    for i, (name, (stf, mar)) in enumerate(VARIANTS.items()):
        architecture = dataclasses.replace(SMALL, stf=stf, mar=mar)
        model = Segmenter(architecture)
        model.load_state_dict({k: v for k, v in full.items() if k in model.state_dict()})
        model.classifier.weight.data += i
        bank = None
        if model.mar is not None:
            bank = small_bank(seed=i)
            model.mar.keys.data.copy_(bank.keys)
            model.mar.values.data.copy_(bank.values)
        info = ModelInfo("small", architecture, CAMVID, height=96)
        save_bundle(tmp_path / "run" / name, model, info, bank)
    return tmp_path / "run"


def test_variants_of_an_assembled_bundle_are_those_of_the_run(run: Path, tmp_path: Path) -> None:
    assemble(run, tmp_path / "bundle")
    variants = load_variants(tmp_path / "bundle", "cpu")
    assert list(variants) == list(VARIANTS)
    frames = torch.randn(1, 3, 3, 64, 96)
    with torch.no_grad():
        for name, model in variants.items():
            assert torch.equal(model(frames), load_bundle(run / name, "cpu")(frames)), name
    small = (tmp_path / "bundle" / "ablation.safetensors").stat().st_size
    assert small < 0.1 * (tmp_path / "bundle" / "weights.safetensors").stat().st_size


def test_a_bundle_without_variants_is_named(small_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"has no ablation.safetensors.*stmem model assemble"):
        load_variants(small_bundle)


def test_a_run_whose_stages_do_not_share_the_frame_network_is_refused(
    run: Path, tmp_path: Path
) -> None:
    model = load_bundle(run / "stf", "cpu")
    model.head.merge8[0].weight.data += 1
    save_bundle(run / "stf", model, model.info, None)
    with pytest.raises(BundleError, match=r"differ in head.merge8.0.weight"):
        assemble(run, tmp_path / "bundle")
