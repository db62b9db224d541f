"""Fixtures shared by all tests: small models, ROS domains of their own, nodes and commands."""

from __future__ import annotations

import dataclasses
import gc
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.forks import Fork
from support.small import SMALL, small_bank

from stmem_ros.classes import CAMVID
from stmem_ros.commands import stmem
from stmem_ros.model.ablation import VARIANTS
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo, load_bundle, save_bundle
from stmem_ros.model.segmenter import Segmenter
from stmem_ros.online.middleware import fast_dds_profile
from stmem_ros.resources import resource

if TYPE_CHECKING:
    from support.ros import Peer

INNER_LOOP = "not ros"  # value of -m
ROS_FOLDERS = ("node", "online", "faults")  # whose tests start nodes
collect_ignore = [] if find_spec("rclpy") else list(ROS_FOLDERS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need ROS; leave out those run by hand, unless ``-m`` asks for them.

    The inner loop leaves out the tests of whole commands too.
    """
    for item in items:
        if item.path.parent.name in ROS_FOLDERS or "ros_domain" in item.fixturenames:
            item.add_marker("ros")
    expression = config.option.markexpr
    names = [name for name in ("slow", "faults") if name not in expression]
    if expression == INNER_LOOP:
        names.append("end_to_end")
    for name in names:
        left_out = [item for item in items if item.get_closest_marker(name)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Spare the collector what all imports made: it looked through that again and again."""
    gc.freeze()


@pytest.fixture
def ros_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Environment of this process and its children: a domain of its own, this machine alone."""
    pytest.importorskip("rclpy")
    from domain_coordinator import domain_id

    with domain_id() as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros-log"))
        profile = resource("config", "fastdds_this_machine.xml")
        monkeypatch.setenv(fast_dds_profile(), str(profile))
        yield


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
def damaged_bundle(small_bundle: Path, tmp_path: Path) -> Path:
    """Its network computes nothing but values that are not finite."""
    folder = tmp_path / "damaged"
    shutil.copytree(small_bundle, folder)
    weights = load_file(folder / "weights.safetensors")
    weights["classifier.weight"][0] = torch.nan
    save_file(weights, folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def small_model(small_bundle: Path) -> BundledSegmenter:
    """For all tests of a file: none changes it."""
    return load_bundle(small_bundle, "cpu")


@pytest.fixture
def frames() -> list[np.ndarray]:
    """Six RGB images of 96 x 128 that scroll, with structure at several scales."""
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (12, 22, 3)).repeat(8, 0).repeat(8, 1)
    fine = random.integers(-20, 21, (96, 176, 3))
    scene = np.clip(coarse + fine, 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(scene[:, 4 * i : 4 * i + 128]) for i in range(6)]


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as training leaves it: one frame network, a classifier (and memory) a stage."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("made") / "run"
    full = Segmenter(SMALL).state_dict()
    for i, (name, (stf, mar)) in enumerate(VARIANTS.items()):
        architecture = dataclasses.replace(SMALL, stf=stf, mar=mar)
        model = Segmenter(architecture)
        parts = model.state_dict().keys()
        model.load_state_dict({name: full[name] for name in parts})
        model.classifier.weight.data += i
        bank = None
        if model.mar is not None:
            bank = small_bank(seed=i)
            model.mar.keys.data.copy_(bank.keys)
            model.mar.values.data.copy_(bank.values)
        info = ModelInfo("small", architecture, CAMVID, height=96)
        save_bundle(folder / name, model, info, bank)
    return folder


@pytest.fixture
def small_run(made_run: Path, tmp_path: Path) -> Path:
    """A run of the test's own."""
    return shutil.copytree(made_run, tmp_path / "run")


@pytest.fixture
def peer(ros_domain: None) -> Iterator[Peer]:
    from support.ros import Peer

    node = Peer()
    yield node
    node.close()


@pytest.fixture
def start_node(
    ros_domain: None, small_bundle: Path, tmp_path: Path
) -> Iterator[Callable[..., Fork]]:
    """A function that starts a node with more ROS arguments; it is ended after the test."""
    from support.ros import start_node

    started: list[Fork] = []

    def start(*arguments: str) -> Fork:
        started.append(start_node(small_bundle, tmp_path / f"node{len(started)}.log", *arguments))
        return started[-1]

    yield start
    for node in started:
        node.close()


@pytest.fixture
def start_stmem(tmp_path: Path) -> Iterator[Callable[..., Fork]]:
    """A function that starts ``stmem`` with some arguments; it is ended after the test."""
    started: list[Fork] = []

    def start(*arguments: object) -> Fork:
        log = tmp_path / f"stmem{len(started)}.log"
        started.append(Fork(stmem.run, ["stmem", *map(str, arguments)], log))
        return started[-1]

    yield start
    for process in started:
        process.close()
