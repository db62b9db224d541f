"""Fixtures shared by all tests: small models, and ROS domains of their own."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small import SMALL, small_bank

from stmem_ros.classes import CAMVID
from stmem_ros.model.ablation import VARIANTS
from stmem_ros.model.bundle import ModelInfo, load_bundle, save_bundle
from stmem_ros.model.segmenter import Segmenter


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings that are not part of the repository (README.md)."""
    if "STMEM_TEST_DATA" not in os.environ:
        pytest.skip("STMEM_TEST_DATA does not name a folder of real recordings")
    return Path(os.environ["STMEM_TEST_DATA"])


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle with a small random network of all parts."""
    torch.manual_seed(1)
    model = Segmenter(SMALL).eval()
    bank = small_bank()
    model.mar.keys.data.copy_(bank.keys)
    model.mar.values.data.copy_(bank.values)
    folder = tmp_path_factory.mktemp("bundles") / "small"
    save_bundle(folder, model, ModelInfo("small", SMALL, CAMVID, height=96), bank)
    return folder


@pytest.fixture
def small_model(small_bundle: Path):
    return load_bundle(small_bundle, "cpu")


@pytest.fixture
def frames() -> list[np.ndarray]:
    """Six RGB images of 96 x 128 that scroll, with structure at several scales."""
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (12, 22, 3)).repeat(8, 0).repeat(8, 1)
    fine = random.integers(-20, 21, (96, 176, 3))
    scene = np.clip(coarse + fine, 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(scene[:, 4 * i : 4 * i + 128]) for i in range(6)]


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
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
