"""Long bags: they are read as they are replayed, never held."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.bags import PERIOD, START

from stmem_ros.io.bags import BAG_MESSAGES, RAW, BagWriter

FRAMES = 1000
SIZE = (480, 640)  # 0.9 MB an image


def peak_mb(bag: Path, bundle: Path, out: Path, *more: str) -> float:
    """Peak memory of a process that replays a bag."""
    words = ["evaluate", str(bag), "--model", str(bundle), "--out", str(out), "--device", "cpu"]
    command = [sys.executable, "-m", "stmem_ros.commands.stmem", *words, *more]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["models"]["small"]["totals"]["labelled"] > 10
    return metrics["timing"]["small"]["totals"]["device_memory_mb"]


@pytest.mark.slow
def test_memory_stays_flat_however_long_the_bag_is(tmp_path: Path, small_bundle: Path) -> None:
    random = np.random.default_rng(0)
    with BagWriter(tmp_path / "long") as bag:
        for i in range(FRAMES):
            image = random.integers(0, 256, (*SIZE, 3), np.uint8)
            stamp = START + i * PERIOD
            header = BAG_MESSAGES.header(stamp, "camera")
            bag.write("/image_raw", RAW, BAG_MESSAGES.image(image, header), stamp)
            bag.write("/label", RAW, BAG_MESSAGES.image(image[..., 0] % 11, header), stamp)
    whole = FRAMES * SIZE[0] * SIZE[1] * 4 / 2**20
    # Most images are lost on the way: what counts here is that all are read.
    short = peak_mb(
        tmp_path / "long", small_bundle, tmp_path / "a", "--drop", "0.9", "--duration", "20"
    )
    long = peak_mb(tmp_path / "long", small_bundle, tmp_path / "b", "--drop", "0.9")
    assert whole > 1000
    assert long - short < 30
