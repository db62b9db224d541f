"""The training loop: epochs, checkpoints, resuming, the best epoch, several processes."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED
from stmem_ros.io.whole_file import whole_file
from stmem_ros.model.bundle import IMAGENET_MEAN, IMAGENET_STD
from stmem_ros.model.segmenter import Segmenter, normalise
from stmem_ros.training.batches import (
    Windows,
    batch_count,
    coarse_count,
    epoch_batches,
    epoch_order,
)
from stmem_ros.training.config import STAGES, StageConfig, TrainingConfig
from stmem_ros.training.losses import LabelLoss, inconsistency, label_loss, soft_iou_loss
from stmem_ros.training.processes import TrainingProcess
from stmem_ros.training.samples import Samples, full_window
from stmem_ros.training.stage_network import StageNetwork
from stmem_ros.training.weight_average import WeightAverage

CHECKPOINT_SECONDS = 120  # between two checkpoints in an epoch


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


class StageTraining:
    """A stage's training as it goes on: weights, optimiser, average, progress, checkpoints."""

    def __init__(
        self,
        network: StageNetwork,
        config: TrainingConfig,
        samples: Samples,
        run: Path,
        process: TrainingProcess,
    ) -> None:
        stage = network.stage
        self.network, self.config, self.process = network, config, process
        self.model = network.model.to(process.device)
        self.settings = config.stage(stage)
        self.samples = samples
        self.coarse = coarse_count(samples, config)
        self.count = batch_count(samples, config, stage)
        self.criterion = label_loss(samples, self.settings).to(process.device)
        self.optimiser = _optimiser(network, self.settings)
        steps = self.count * self.settings.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: _rate(step, steps)
        )
        self.average = WeightAverage(self.model, self.settings.average)
        self.progress = Progress()
        self.best: dict[str, Tensor] | None = None  # weights of the best epoch, with a holdout
        self.checkpoint = run / f"{stage}.checkpoint.pt"
        self.saved = time.monotonic()
        self.parallel: nn.Module = network

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        if not self.checkpoint.is_file():
            return
        saved = torch.load(self.checkpoint, map_location=self.process.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.schedule.load_state_dict(saved["schedule"])
        self.average.state = saved["average"]
        self.progress = Progress(**saved["progress"])
        self.best = saved["best"]

    def distribute(self) -> None:
        """Train together with the other processes, if there are any."""
        if self.process.count > 1:
            if self.process.device.type == "cuda":
                nn.SyncBatchNorm.convert_sync_batchnorm(self.network)
            self.parallel = DistributedDataParallel(self.network)

    def train_epoch(self) -> None:
        """Train what is left of the epoch."""
        stage, config, process, progress = (
            self.network.stage,
            self.config,
            self.process,
            self.progress,
        )
        seed = [config.seed, STAGES.index(stage), progress.epoch]
        settings = config.epoch(stage, progress.epoch)
        windows = Windows(self.samples, *config.window(stage), settings, seed)
        order = epoch_order(self.samples, self.coarse, self.count, seed)[len(progress.batches) :]
        trained = [p for part in self.network.trained for p in part.parameters()]
        self.network.train()
        bar = tqdm(
            epoch_batches(windows, order, process, config.workers),
            desc=f"{stage} {progress.epoch + 1}/{self.settings.epochs}",
            unit="batch",
            total=self.count,
            initial=len(progress.batches),
            disable=process.rank > 0,
        )
        for rgb, label, flow in bar:
            loss = step(
                self.parallel,
                self.model,
                rgb,
                label,
                flow,
                self.criterion,
                process,
                self.settings,
                config.bfloat16,
            )
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, self.settings.clip)
            self.optimiser.step()
            self.schedule.step()
            self.average.update()
            progress.batches.append(process.total(loss.detach()).item() / process.count)
            bar.set_postfix(loss=f"{np.mean(progress.batches[-20:]):.3f}")
            if time.monotonic() - self.saved > CHECKPOINT_SECONDS:
                self.save()
        progress.epoch += 1
        progress.losses.append(float(np.mean(progress.batches)))
        progress.batches = []

    def score(self, holdout: Samples, frames: int) -> float:
        """mIoU on what was held out; the best weights so far are kept."""
        with self.average.in_model():
            miou = _score(self.network, holdout, frames, self.process)
        if miou > self.progress.best_miou:
            self.progress.best_epoch, self.progress.best_miou = self.progress.epoch, miou
            self.best = copy.deepcopy(self.average.state)
        return miou

    def save(self) -> None:
        """Write the checkpoint, if this is the process that does."""
        self.saved = time.monotonic()
        if self.process.rank == 0:
            save_checkpoint(
                self.checkpoint,
                {
                    "model": self.model.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "schedule": self.schedule.state_dict(),
                    "average": self.average.state,
                    "progress": dataclasses.asdict(self.progress),
                    "best": self.best,
                },
            )


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
    if not epochs:
        return TrainingResult((), 0, None)
    training = StageTraining(network, config, samples, run, process)
    if resume:
        training.resume()
    training.distribute()
    progress = training.progress
    board = SummaryWriter(str(run / "tensorboard" / stage)) if process.rank == 0 else None
    while progress.epoch < epochs:
        training.train_epoch()
        miou = None if holdout is None else training.score(holdout, config.window(stage)[0])
        if board is not None:
            board.add_scalar("loss", progress.losses[-1], progress.epoch)
            rate = training.schedule.get_last_lr()[0]
            board.add_scalar("learning_rate", rate, progress.epoch)
            if miou is not None:
                board.add_scalar("holdout_miou", miou, progress.epoch)
        training.save()
        process.wait()
    if board is not None:
        board.close()
    training.model.load_state_dict(training.best or training.average.state)
    return TrainingResult(
        tuple(progress.losses),
        epochs if holdout is None else progress.best_epoch,
        None if holdout is None else progress.best_miou,
    )


def step(
    network: nn.Module,
    model: Segmenter,
    rgb: Tensor,
    label: Tensor,
    flow: Tensor,
    criterion: LabelLoss,
    process: TrainingProcess,
    settings: StageConfig,
    bfloat16: bool,
) -> Tensor:
    """Loss of this process's share of a batch: fields of :class:`TrainingWindow`, stacked.

    Cross-entropy is a mean over the pixels of all processes: DDP, which averages gradients, then
    gives those of one process with the whole batch. The other terms are each process's own.

    Args:
        network: computes the logits; the :class:`StageNetwork` of ``model``, or DDP around it.
    """
    rgb, label = rgb.to(process.device), label.to(process.device).long()
    images = normalise(rgb.flatten(0, 1), IMAGENET_MEAN, IMAGENET_STD).unflatten(0, rgb.shape[:2])
    with torch.autocast(process.device.type, torch.bfloat16, bfloat16):
        pair = network(images)
    logits = model.upsample(pair[:, -1], label.shape[-2], label.shape[-1])
    share = process.total(criterion.share(label))
    loss = criterion.total(logits, label) / share.clamp(min=1e-6) * process.count
    if settings.iou_loss:
        loss = loss + settings.iou_loss * soft_iou_loss(logits, label)
    if pair.shape[1] > 1:
        flow = flow.to(process.device)
        loss = loss + settings.consistency * inconsistency(pair[:, -1], pair[:, -2], flow)
    return loss


def _optimiser(network: StageNetwork, settings: StageConfig) -> torch.optim.Optimizer:
    pretrained = {id(p) for p in network.model.backbone.parameters()}
    groups = [
        {
            "params": [p],
            "lr": settings.learning_rate * (settings.backbone_rate if id(p) in pretrained else 1),
            "weight_decay": settings.weight_decay if p.ndim > 1 else 0.0,
        }
        for part in network.trained
        for p in part.parameters()
        if p.requires_grad
    ]
    return torch.optim.AdamW(groups, foreach=False)


def _rate(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


@torch.no_grad()
def _score(network: StageNetwork, holdout: Samples, frames: int, process: TrainingProcess) -> float:
    """mIoU on held-out frames; each process takes its share."""
    classes = len(holdout.classes)
    counts = torch.zeros(classes, classes, dtype=torch.float64, device=process.device)
    network.eval()
    for i in range(process.rank, len(holdout), process.count):
        sample = holdout[i]
        rgb = torch.from_numpy(full_window(sample, frames).copy()).to(process.device)
        logits = network(normalise(rgb, IMAGENET_MEAN, IMAGENET_STD)[None])[:, -1]
        found = network.model.upsample(logits, *sample.label.shape)[0].argmax(0)
        truth = torch.from_numpy(sample.label.astype(np.int64)).to(process.device)
        known = truth != UNLABELLED
        pairs = truth[known] * classes + found[known]
        counts += torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    counts = process.total(counts)
    hits = counts.diag()
    union = counts.sum(0) + counts.sum(1) - hits
    return float((hits / union)[union > 0].mean())


def save_checkpoint(path: Path, content: dict[str, object]) -> None:
    """Write a checkpoint; a full disk or a kill leaves the last one whole."""
    try:
        with whole_file(path) as part:
            torch.save(content, part)
    except (OSError, RuntimeError) as error:
        raise OSError(f"checkpoint {path} cannot be written: {error}") from error
