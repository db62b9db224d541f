"""Weights and images of the golden figures, made by the rule their README gives.

Every tensor is drawn from its own key: normal numbers of a generator seeded with the key's CRC,
scaled by what kind of tensor it is. Images scroll, three pixels a frame.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent.parent / "golden"


def fill(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor of one key, float32 (int64 zeros for batch counters)."""
    random = np.random.RandomState(zlib.crc32(key.encode()))
    last = key.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    z = random.standard_normal(shape)
    fan_in = math.prod(shape[1:])
    if (plain := {"running_mean": 0.1, "pe_enc": 0.3, "pe_dec": 0.3, "memory_key": 0.1,
                  "memory_value": 1.0}.get(last)) is not None:  # fmt: skip
        z *= plain
    elif len(shape) == 1 and last == "weight":
        gains = {".bn3.weight": 0.3, ".downsample.1.weight": 0.7, ".bottleneck.bn.weight": 6.0}
        gain = next((g for suffix, g in gains.items() if key.endswith(suffix)), 1.0)
        z = gain * (1 + 0.1 * z)
    elif len(shape) == 1:
        z = 0.05 * z
    elif len(shape) == 4 and "conv_seg" in key:
        z *= 4 / math.sqrt(fan_in)
    elif len(shape) == 4:
        z *= math.sqrt(2 / fan_in)
        z -= z.mean(axis=(1, 2, 3), keepdims=True)
    else:
        z *= (1.25 if last == "in_proj_weight" else 1.0) / math.sqrt(fan_in)
    return z.astype(np.float32)


def published_state() -> dict[str, torch.Tensor]:
    """A made-up checkpoint with the keys and shapes of the published one."""
    schema = json.loads((GOLDEN / "state_dict_schema.json").read_text())
    state = {k: torch.from_numpy(fill(k, tuple(v["shape"]))) for k, v in schema.items()}
    overrides = json.loads((GOLDEN / "state_overrides.json").read_text())
    return state | {k: torch.tensor(v, dtype=torch.float32) for k, v in overrides.items()}


def frames(height: int, width: int, seed: int = 2301, shift: int = 3) -> list[np.ndarray]:
    """Three RGB uint8 images of a blocky texture of several scales, with a little noise."""
    random = np.random.RandomState(seed)
    wide = width + 2 * shift
    scene = np.zeros((height, wide, 3), np.int64)
    for cell, amplitude in ((64, 120), (32, 80), (16, 40), (4, 30)):
        grid = random.randint(0, amplitude + 1, (-(-height // cell), -(-wide // cell), 3))
        scene += np.kron(grid, np.ones((cell, cell, 1), np.int64))[:height, :wide]
    return [
        np.clip(
            scene[:, i * shift : i * shift + width] + random.randint(-6, 7, (height, width, 3)),
            0,
            255,
        ).astype(np.uint8)
        for i in range(3)
    ]
