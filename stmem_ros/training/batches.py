"""Batches of augmented windows: the same for any number of processes and loading workers."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.augment import TrainingWindow, make_window
from stmem_ros.training.config import StageConfig, TrainingConfig
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


def batch_count(samples: Samples, config: TrainingConfig, stage: str) -> int:
    """Batches of an epoch; the remainder is spread, as batch norm cannot train on one image."""
    frames = samples.fine_count + coarse_count(samples, config)
    return max(1, frames // config.stage(stage).batch)


def coarse_count(samples: Samples, config: TrainingConfig) -> int:
    """How many frames with coarser labels an epoch has: their share of all its frames."""
    if len(samples) == samples.fine_count:
        return 0
    share = config.coarse.share
    return round(samples.fine_count * share / (1 - share))


def epoch_order(samples: Samples, coarse: int, count: int, seed: list[int]) -> list[np.ndarray]:
    """Indices of the samples in each of an epoch's ``count`` batches.

    All samples but those with coarser labels, of which there are ``coarse``, evenly spread.
    """
    random = np.random.default_rng(seed)
    batches = np.array_split(random.permutation(samples.fine_count), count)
    if not coarse:
        return batches
    others = samples.fine_count + random.permutation(len(samples) - samples.fine_count)
    shares = np.array_split(np.resize(others, coarse), count)
    return [np.concatenate(parts) for parts in zip(batches, shares[::-1], strict=True)]


def epoch_batches(
    windows: Windows, order: list[np.ndarray], process: TrainingProcess, workers: int
) -> DataLoader:
    """This process's share of each batch of ``order``.

    Yields the fields of :class:`TrainingWindow`: images N x T x h x w x 3, labels N x h x w, flows
    N x h x w x 2.
    """
    return DataLoader(
        windows,
        batch_sampler=[batch[process.rank :: process.count].tolist() for batch in order],
        num_workers=workers,
        pin_memory=process.device.type == "cuda",
        generator=torch.Generator(),
    )
