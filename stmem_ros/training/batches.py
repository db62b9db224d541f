"""Batches of augmented windows: the same for any number of processes and loading workers."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from stmem_ros.data.augment import make_window
from stmem_ros.training.config import StageConfig
from stmem_ros.training.processes import TrainingProcess
from stmem_ros.training.samples import Samples


class Windows(Dataset):
    """Augmented windows of one epoch; item i depends on the seed, the epoch and i alone."""

    def __init__(
        self, samples: Samples, frames: int, target: int, settings: StageConfig, seed: list[int]
    ) -> None:
        self._samples = samples
        self._frames, self._target = frames, target
        self._settings = settings
        self._seed = seed

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        sample = self._samples[index]
        random = np.random.default_rng([*self._seed, index])
        return make_window(
            sample.images,
            sample.label,
            self._frames,
            self._target,
            self._settings.augmentation,
            random,
        )


def batch_count(samples: Samples, settings: StageConfig) -> int:
    """Batches an epoch; the remainder is spread, as batch norm cannot train on one image."""
    return max(1, len(samples) // settings.batch)


def epoch_batches(
    windows: Windows, count: int, seed: list[int], process: TrainingProcess, workers: int
) -> DataLoader:
    """This process's share of each of the epoch's ``count`` batches.

    Yields uint8 tensors: windows N x T x h x w x 3 and labels N x h x w.
    """
    order = np.random.default_rng(seed).permutation(len(windows))
    mine = [b[process.rank :: process.count].tolist() for b in np.array_split(order, count)]
    return DataLoader(
        windows,
        batch_sampler=mine,
        num_workers=workers,
        pin_memory=process.device.type == "cuda",
        generator=torch.Generator(),
    )
