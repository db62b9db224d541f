"""Training in several processes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import gradients
from support.forks import Fork

from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import make_scene

pytestmark = pytest.mark.end_to_end

CONFIG = """
name: tiny
dataset: camvid
seed: 3
architecture: {classes: 11, channels: 32, hidden: 32, block: [4, 5], positions: [6, 8], mar: false}
frame: {epochs: 1, batch: 5, learning_rate: 1.0e-3}
stf: {epochs: 1, batch: 5, learning_rate: 1.0e-3, augmentation: {crop: [96, 128]}}
mar: {epochs: 1, batch: 5, learning_rate: 1.0e-3}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_two_processes_give_the_gradients_of_one_with_the_same_global_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They find each other by the environment that torchrun gives them.

    Five windows with unequal numbers of labelled pixels: the shares differ.
    """
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    names = [f"f{i}" for i in range(5)]
    for i, frame in enumerate(drive(make_scene("straight", 8), 5, rate=1.0)):
        label = frame.view.label.copy()
        label[: 60 * i] = 255
        Image.fromarray(frame.view.rgb).save(tmp_path / "images" / f"f{i}.jpg")
        Image.fromarray(label).save(tmp_path / "labels" / f"f{i}.png")
    clip = {"split": "train", "sequence": "s", "rate_hz": 1.0, "names": names}
    (tmp_path / "clips.json").write_text(json.dumps([clip]))
    (tmp_path / "config.yaml").write_text(CONFIG)

    monkeypatch.setenv("MASTER_ADDR", "localhost")
    port = str(free_port())
    monkeypatch.setenv("MASTER_PORT", port)
    found = {}
    for count in (1, 2):
        monkeypatch.setenv("WORLD_SIZE", str(count))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(count))
        out = tmp_path / f"{count}.pt"
        words = ["gradients", str(tmp_path / "config.yaml"), str(tmp_path), str(out)]
        processes = []
        for rank in range(count):
            monkeypatch.setenv("RANK", str(rank))
            processes.append(Fork(gradients.main, words, tmp_path / f"{count}_{rank}.log"))
        for process in processes:
            assert process.exit_code(timeout=240) == 0, process.text()
        found[count] = torch.load(out, weights_only=True)
    assert (found[1]["processes"], found[2]["processes"]) == (1, 2)
    # The meeting point is torchrun's; here it is the first process's.
    assert [a for a in found[2]["open"] if not a.endswith(f":{port}")] == []
    one, two = found[1]["gradients"], found[2]["gradients"]
    assert one.keys() == two.keys() and len(one) > 30
    for key, gradient in one.items():
        scale = float(gradient.abs().max())
        assert (two[key] - gradient).abs().max() <= 1e-4 * scale + 1e-7, key
