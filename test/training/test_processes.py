"""Training in several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import make_scene

SCRIPT = Path(__file__).parent.parent / "support" / "gradients.py"
CONFIG = """
name: tiny
dataset: camvid
seed: 3
architecture: {classes: 11, channels: 32, hidden: 32, block: [4, 5], positions: [6, 8], mar: false}
frame: {epochs: 1, batch: 5, learning_rate: 1.0e-3}
stf: {epochs: 1, batch: 5, learning_rate: 1.0e-3, augmentation: {crop: [96, 128]}}
mar: {epochs: 1, batch: 5, learning_rate: 1.0e-3}
"""


def test_two_processes_give_the_gradients_of_one_with_the_same_global_batch(
    tmp_path: Path,
) -> None:
    """Five windows with unequal numbers of labelled pixels: the shares differ."""
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

    found = {}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, launcher in (("one", []), ("two", torchrun)):
        out = tmp_path / f"{name}.pt"
        command = [sys.executable, *launcher, str(SCRIPT), str(tmp_path / "config.yaml")]
        done = subprocess.run(
            [*command, str(tmp_path), str(out)],
            capture_output=True,
            text=True,
            timeout=240,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        found[name] = torch.load(out, weights_only=True)
    assert (found["one"]["processes"], found["two"]["processes"]) == (1, 2)
    one, two = found["one"]["gradients"], found["two"]["gradients"]
    assert one.keys() == two.keys() and len(one) > 30
    for key, gradient in one.items():
        scale = float(gradient.abs().max())
        assert (two[key] - gradient).abs().max() <= 1e-4 * scale + 1e-7, key
