"""The training loop: epochs, checkpoints, resuming, the best epoch, several processes."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED
from stmem_ros.io.whole_output import whole_file
from stmem_ros.model.bundle import IMAGENET_MEAN, IMAGENET_STD
from stmem_ros.model.segmenter import normalise
from stmem_ros.training.batches import (
    Windows,
    batch_count,
    coarse_count,
    epoch_batches,
    epoch_order,
)
from stmem_ros.training.config import STAGES, StageConfig, TrainingConfig
from stmem_ros.training.label_loss import LabelLoss
from stmem_ros.training.losses import batch_loss, class_weights
from stmem_ros.training.processes import TrainingProcess
from stmem_ros.training.run_folder import checkpoint_path, curves_folder
from stmem_ros.training.samples import Samples, full_window
from stmem_ros.training.stage_network import StageNetwork
from stmem_ros.training.weight_average import WeightAverage

CHECKPOINT_SECONDS = 120  # between two checkpoints within an epoch
READ_TOGETHER = 20  # losses that a GPU gives at a time: it is waited for


@dataclass(frozen=True)
class TrainingResult:
    """How a stage ended.

    Attributes:
        losses: mean loss of each epoch of this process's run.
        best_epoch: the epoch that was kept, from 1; 0 if none was asked for.
        holdout_miou: its mIoU on what was held out; None without any.
    """

    losses: tuple[float, ...]
    best_epoch: int
    holdout_miou: float | None


@dataclass
class Progress:
    """What a checkpoint holds beside weights and optimiser."""

    epoch: int = 0  # epochs done
    best_epoch: int = 0
    best_miou: float = -1.0
    losses: list[float] = dataclasses.field(default_factory=list)  # of the epochs done
    batches: list[float] = dataclasses.field(default_factory=list)  # losses, of the epoch begun


def train(
    network: StageNetwork,
    config: TrainingConfig,
    samples: Samples,
    holdout: Samples | None,
    run: Path,
    resume: bool,
    process: TrainingProcess,
) -> TrainingResult:
    """Train a stage; ``network`` ends with the weights of the epoch that is kept."""
    stage, epochs = network.stage, config.stage(network.stage).epochs
    network.model.to(process.device)
    if not epochs:
        return TrainingResult((), 0, None)
    trainer = StageTrainer(network, config, samples, holdout, process)
    for note in samples.check_labels() if process.rank == 0 else ():
        print(note)
    checkpoint = checkpoint_path(run, stage)
    if resume and checkpoint.is_file():
        trainer.restore(torch.load(checkpoint, map_location=process.device, weights_only=True))
    board = SummaryWriter(str(curves_folder(run, stage))) if process.rank == 0 else None
    saved = time.monotonic()
    while trainer.progress.epoch < epochs:
        for _ in trainer.train_epoch():
            if process.rank == 0 and time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_checkpoint(checkpoint, trainer.state())
                saved = time.monotonic()
        miou = trainer.validate()
        if board is not None:
            trainer.write_curves(board, miou)
            save_checkpoint(checkpoint, trainer.state())
            saved = time.monotonic()
        process.wait()
    if board is not None:
        board.close()
    return trainer.finish()


class StageTrainer:
    """Trains a stage epoch by epoch.

    Attributes:
        progress: what was done so far.

    Args:
        network: of the stage, on the process's device.
        samples: what it is trained on.
        holdout: what the best epoch is chosen by; None keeps the last one.
    """

    def __init__(
        self,
        network: StageNetwork,
        config: TrainingConfig,
        samples: Samples,
        holdout: Samples | None,
        process: TrainingProcess,
    ) -> None:
        self.progress = Progress()
        self._network, self._model, self._stage = network, network.model, network.stage
        self._config, self._settings = config, config.stage(network.stage)
        self._samples, self._holdout, self._process = samples, holdout, process
        self._label_loss = _label_loss(samples, self._settings).to(process.device)
        self._optimiser = _optimiser(network, self._settings)
        self._batches = batch_count(samples, config, self._stage)
        steps = self._batches * self._settings.epochs
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: _rate(step, steps)
        )
        self._average = WeightAverage(self._model, self._settings.average)
        self._unread: list[Tensor] = []  # losses of the last batches
        self._best: dict[str, Tensor] | None = None  # weights of the best epoch, with a holdout
        self._parallel = _parallel(network, process)
        self._trained = [p for part in network.trained for p in part.parameters()]

    def train_epoch(self) -> Iterator[None]:
        """Train on what is left of an epoch; between its batches, a checkpoint can be taken."""
        self._network.train()
        losses = self.progress.batches
        bar = tqdm(
            self._epoch_batches(),
            desc=f"{self._stage} {self.progress.epoch + 1}/{self._settings.epochs}",
            unit="batch",
            total=self._batches,
            initial=len(losses),
            disable=self._process.rank > 0,
        )
        for batch in bar:
            self._unread.append(self._process.total(self._step(batch)))
            if len(self._unread) >= READ_TOGETHER or self._process.device.type == "cpu":
                self._read_losses()
                bar.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}")
            yield
        self._read_losses()
        self.progress.epoch += 1
        self.progress.losses.append(float(np.mean(losses)))
        self.progress.batches = []

    def _read_losses(self) -> None:
        """Take those that are still on the device; waits for it.

        Raises:
            ValueError: one is not finite: nothing that is trained from there on is of use.
        """
        if self._unread:
            totals = torch.stack(self._unread).tolist()
            self._unread.clear()
            if not all(map(math.isfinite, totals)):
                raise ValueError(
                    f"the loss of stage {self._stage} is not finite in epoch "
                    f"{self.progress.epoch + 1}: training diverged; make {self._stage}."
                    f"learning_rate less than {self._settings.learning_rate:g}, and begin anew"
                )
            self.progress.batches += [total / self._process.count for total in totals]

    def _epoch_batches(self) -> DataLoader:
        epoch = self.progress.epoch
        seed = [self._config.seed, STAGES.index(self._stage), epoch]
        frames, target = self._config.window(self._stage)
        settings = self._config.epoch(self._stage, epoch)
        windows = Windows(self._samples, frames, target, settings, seed)
        coarse = coarse_count(self._samples, self._config)
        order = epoch_order(self._samples, coarse, self._batches, seed)
        left = order[len(self.progress.batches) :]
        return epoch_batches(windows, left, self._process, self._config.workers)

    def _step(self, batch: list[Tensor]) -> Tensor:
        """Take a step of the optimiser; the loss of this process's share of the batch."""
        loss = batch_loss(
            self._parallel,
            self._model,
            batch,
            self._label_loss,
            self._process,
            self._settings,
            self._config.bfloat16,
        )
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._trained, self._settings.clip)
        self._optimiser.step()
        self._schedule.step()
        self._average.update()
        return loss.detach()

    def validate(self) -> float | None:
        """mIoU on the holdout, None without one; the weights of the best epoch are kept."""
        if self._holdout is None:
            return None
        frames, _ = self._config.window(self._stage)
        with self._average.in_model():
            miou = holdout_miou(self._network, self._holdout, frames, self._process)
        if miou > self.progress.best_miou:
            self.progress.best_epoch, self.progress.best_miou = self.progress.epoch, miou
            self._best = copy.deepcopy(self._average.state)
        return miou

    def write_curves(self, board: SummaryWriter, miou: float | None) -> None:
        """Add the last epoch to TensorBoard's curves."""
        epoch = self.progress.epoch
        board.add_scalar("loss", self.progress.losses[-1], epoch)
        board.add_scalar("learning_rate", self._schedule.get_last_lr()[0], epoch)
        if miou is not None:
            board.add_scalar("holdout_miou", miou, epoch)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        self._read_losses()
        return {
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": self._average.state,
            "progress": dataclasses.asdict(self.progress),
            "best": self._best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        self._average.state = state["average"]
        self.progress = Progress(**state["progress"])
        self._best = state["best"]

    def finish(self) -> TrainingResult:
        """Give the network the weights of the epoch that is kept: the best one, or the last."""
        self._model.load_state_dict(self._best or self._average.state)
        losses = tuple(self.progress.losses)
        if self._holdout is None:
            return TrainingResult(losses, self._settings.epochs, None)
        return TrainingResult(losses, self.progress.best_epoch, self.progress.best_miou)


def _parallel(network: StageNetwork, process: TrainingProcess) -> nn.Module:
    """The network, or DDP around it where several processes train."""
    if process.count == 1:
        return network
    if process.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return DistributedDataParallel(network)


def _label_loss(samples: Samples, settings: StageConfig) -> LabelLoss:
    allowed = torch.from_numpy(samples.allowed)
    weights = class_weights(samples)  # all labels are read and counted, whatever they weigh
    if not settings.class_balance:
        weights = torch.ones(len(allowed))
    return LabelLoss(weights, allowed)


def _optimiser(network: StageNetwork, settings: StageConfig) -> torch.optim.Optimizer:
    """AdamW; on a GPU all of it in a few launches."""
    pretrained = {id(p) for p in network.model.backbone.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}  # by rate and decay
    trained = [p for part in network.trained for p in part.parameters() if p.requires_grad]
    for p in trained:
        rate = settings.learning_rate * (settings.backbone_rate if id(p) in pretrained else 1)
        groups.setdefault((rate, settings.weight_decay if p.ndim > 1 else 0.0), []).append(p)
    return torch.optim.AdamW(
        [
            {"params": params, "lr": rate, "weight_decay": decay}
            for (rate, decay), params in groups.items()
        ],
        foreach=False,
        fused=trained[0].device.type == "cuda",
    )


def _rate(step: int, steps: int) -> float:
    """Factor on the learning rate: it warms up over 5 % of the steps, then falls as a cosine."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@torch.no_grad()
def holdout_miou(
    network: StageNetwork, holdout: Samples, frames: int, process: TrainingProcess
) -> float:
    """mIoU on held-out frames; each process takes its share."""
    classes = len(holdout.classes)
    confusion = torch.zeros(classes, classes, dtype=torch.float64, device=process.device)
    network.eval()
    for i in range(process.rank, len(holdout), process.count):
        sample = holdout[i]
        rgb = torch.from_numpy(full_window(sample, frames).copy()).to(process.device)
        logits = network(normalise(rgb, IMAGENET_MEAN, IMAGENET_STD)[None])[:, -1]
        predicted = network.model.upsample(logits, *sample.label.shape)[0].argmax(0)
        truth = torch.from_numpy(sample.label.astype(np.int64)).to(process.device)
        known = truth != UNLABELLED
        pairs = truth[known] * classes + predicted[known]
        confusion += torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    confusion = process.total(confusion)
    hits = confusion.diag()
    union = confusion.sum(0) + confusion.sum(1) - hits
    return float((hits / union)[union > 0].mean())


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; a full disk or a kill leaves the last one whole."""
    try:
        with whole_file(path) as part:
            torch.save(content, part)
    except (OSError, RuntimeError) as error:
        raise OSError(f"checkpoint {path} cannot be written: {error}") from error
