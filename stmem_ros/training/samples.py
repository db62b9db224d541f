"""What is trained on: labelled images of a data set, labelled windows of the synthetic world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stmem_ros.data.camvid import CamVid
from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import KINDS, make_scene
from stmem_ros.training.config import TrainingConfig

RATE = 10.0  # Hz, of synthetic windows


@dataclass(frozen=True)
class Sample:
    """N images (1, or a window), N x H x W x 3 uint8, and the label of one, H x W uint8."""

    images: np.ndarray
    label: np.ndarray


def load_samples(config: TrainingConfig, data: Path, frames: int, target: int) -> list[Sample]:
    """All training samples in memory.

    Args:
        config: names the data set and how much of the synthetic world to render.
        data: root of the data set.
        frames: length of a synthetic window.
        target: the frame of it whose label is learned.
    """
    samples = [Sample(rgb[None], label) for rgb, label in CamVid(data, "train")]
    random = np.random.default_rng([config.seed, config.synthetic.first_seed])
    for i in tqdm(range(config.synthetic.windows), desc="rendering", unit="window", disable=None):
        scene = make_scene(KINDS[i % len(KINDS)], config.synthetic.first_seed + i)
        start = float(random.uniform(0, 9))
        views = [frame.view for frame in drive(scene, frames, RATE, start)]
        samples.append(Sample(np.stack([v.rgb for v in views]), views[target].label))
    return samples
