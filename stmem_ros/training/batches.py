"""Batches of augmented windows: the same for any number of processes and loading workers."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.augment import TrainingWindow, make_window
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

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        random = np.random.default_rng([*self._seed, index])
        window = self._augment(index, random)
        if random.random() < self._settings.paste:
            paste_rare(window, self._augment(int(random.integers(len(self))), random))
        return window.images, window.label, window.flow

    def _augment(self, index: int, random: np.random.Generator) -> TrainingWindow:
        sample = self._samples[index]
        settings, pair = self._settings.augmentation, self._settings.consistency > 0
        return make_window(
            sample.images, sample.label, self._frames, self._target, settings, random, pair
        )


def paste_rare(window: TrainingWindow, other: TrainingWindow) -> None:
    """Copy the rare classes of another single frame over this one, where that shows them.

    Rare is what covers less than 2 % of the other frame: poles stay upright on pavements, as the
    frames are street scenes of one layout (Olsson et al., ClassMix, WACV 2021).
    """
    ids, counts = np.unique(other.label[other.label != UNLABELLED], return_counts=True)
    mask = np.isin(other.label, ids[counts < 0.02 * other.label.size])
    window.images[:, mask] = other.images[:, mask]
    window.label[mask] = other.label[mask]


def batch_count(samples: Samples, settings: StageConfig) -> int:
    """Batches per epoch; the remainder is spread, as batch norm cannot train on one image."""
    return max(1, len(samples) // settings.batch)


def epoch_batches(
    windows: Windows, count: int, seed: list[int], process: TrainingProcess, workers: int
) -> DataLoader:
    """This process's share of each of the epoch's ``count`` batches.

    Yields the fields of :class:`TrainingWindow`: images N x T x h x w x 3, labels N x h x w, flows
    N x h x w x 2.
    """
    order = np.random.default_rng(seed).permutation(len(windows))
    shares = [b[process.rank :: process.count].tolist() for b in np.array_split(order, count)]
    return DataLoader(
        windows,
        batch_sampler=shares,
        num_workers=workers,
        pin_memory=process.device.type == "cuda",
        generator=torch.Generator(),
    )
