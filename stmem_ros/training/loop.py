"""The training loop: epochs, checkpoints, resuming, the best epoch, several processes."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED
from stmem_ros.io.whole_file import whole_file
from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.bundle import IMAGENET_MEAN, IMAGENET_STD
from stmem_ros.model.segmenter import Segmenter, normalise
from stmem_ros.model.stf import SpatialTemporalFusion
from stmem_ros.training.batches import Windows, batch_count, epoch_batches
from stmem_ros.training.config import STAGES, StageConfig, TrainingConfig
from stmem_ros.training.processes import TrainingProcess
from stmem_ros.training.samples import Samples, full_window


class StageNetwork(nn.Module):
    """What a stage computes; parts before the trained ones run without gradients.

    ``frozen`` names modules among the trained ones that keep weights and batch norm statistics.

    ``forward`` takes normalised frames N x T x 3 x H x W (T = 1 in the frame stage) and returns
    logits N x P x classes x h x w as :meth:`Segmenter.classify` does: of the target of each of the
    P windows that lie in the frames, earliest first. There are two where successive targets are to
    agree, else one.
    """

    def __init__(self, model: Segmenter, stage: str, frozen: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.model = model
        self.frozen = [model.get_submodule(name) for name in frozen]
        self.stage = stage
        self.trained: list[nn.Module] = [model]
        if stage != "frame":
            newest = model.stf if stage == "stf" else model.mar
            assert newest is not None
            self.trained = [newest, model.classifier]
        model.requires_grad_(False)
        for part in self.trained:
            part.requires_grad_(True)
        for part in self.frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> StageNetwork:
        """Only trained parts leave evaluation mode: frozen batch norms must not move."""
        super().train(False)
        if mode:
            for part in self.trained:
                part.train()
        for part in self.frozen:
            part.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        model, (n, t) = self.model, frames.shape[:2]
        with torch.set_grad_enabled(self.stage == "frame" and torch.is_grad_enabled()):
            window = model.features(frames.flatten(0, 1)).unflatten(0, (n, t)).transpose(1, 2)
        fused = window[:, :, 0]
        if model.stf is not None:
            with torch.set_grad_enabled(self.stage == "stf" and torch.is_grad_enabled()):
                fused = self._fused(window, model.stf)
        return model.classify(model.refine(fused)).float().unflatten(0, (n, -1))

    def _fused(self, window: Tensor, stf: SpatialTemporalFusion | AlignedFusion) -> Tensor:
        """Features of all windows in N x C x T x h x w, as N P x C x h x w."""
        length = self.model.architecture.window
        if not isinstance(stf, AlignedFusion):
            return stf(window.unfold(2, length, 1).permute(0, 2, 1, 5, 3, 4).flatten(0, 1))
        # Two frames are matched once, whichever windows they are in.
        aligned_window, fused = None, []
        for features in window.unbind(dim=2):
            aligned_window = stf.extend(aligned_window, features)
            if len(aligned_window.frames) == length:
                fused.append(stf.fuse(aligned_window))
        return torch.stack(fused, dim=1).flatten(0, 1)


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
    losses: list[float] = dataclasses.field(default_factory=list)


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
    stage, model = network.stage, network.model.to(process.device)
    settings = config.stage(stage)
    if not settings.epochs:
        return TrainingResult((), 0, None)
    frames, target = config.window(stage)
    weights = _loss_weights(samples, settings).to(process.device)
    optimiser = _optimiser(network, settings)
    count = batch_count(samples, settings)
    steps = count * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    progress = Progress()
    best: dict[str, Tensor] | None = None  # weights of the best epoch, with a holdout

    checkpoint = run / f"{stage}.checkpoint.pt"
    if resume and checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=process.device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        progress = Progress(**saved["progress"])
        best = saved["best"]

    parallel: nn.Module = network
    if process.count > 1:
        if process.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(network)
        parallel = DistributedDataParallel(network)
    trained = [p for part in network.trained for p in part.parameters()]
    board = SummaryWriter(str(run / "tensorboard" / stage)) if process.rank == 0 else None
    for epoch in range(progress.epoch, settings.epochs):
        seed = [config.seed, STAGES.index(stage), epoch]
        windows = Windows(samples, frames, target, config.epoch(stage, epoch), seed)
        batches = epoch_batches(windows, count, seed, process, config.workers)
        network.train()
        losses: list[float] = []
        bar = tqdm(
            batches,
            desc=f"{stage} {epoch + 1}/{settings.epochs}",
            unit="batch",
            disable=process.rank > 0,
        )
        for rgb, label, flow in bar:
            loss = step(
                parallel, model, rgb, label, flow, weights, process, settings, config.bfloat16
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, settings.clip)
            optimiser.step()
            schedule.step()
            losses.append(process.total(loss.detach()).item() / process.count)
            bar.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}")
        progress.epoch = epoch + 1
        progress.losses.append(float(np.mean(losses)))
        if holdout is not None:
            miou = _score(network, holdout, frames, process)
            if miou > progress.best_miou:
                progress.best_epoch, progress.best_miou = epoch + 1, miou
                best = copy.deepcopy(model.state_dict())
        if board is not None:
            board.add_scalar("loss", progress.losses[-1], epoch + 1)
            board.add_scalar("learning_rate", schedule.get_last_lr()[0], epoch + 1)
            if holdout is not None:
                board.add_scalar("holdout_miou", miou, epoch + 1)
            save_checkpoint(
                checkpoint,
                {
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "progress": dataclasses.asdict(progress),
                    "best": best,
                },
            )
        process.wait()
    if board is not None:
        board.close()
    if best is not None:
        model.load_state_dict(best)
    return TrainingResult(
        tuple(progress.losses),
        settings.epochs if holdout is None else progress.best_epoch,
        None if holdout is None else progress.best_miou,
    )


def step(
    network: nn.Module,
    model: Segmenter,
    rgb: Tensor,
    label: Tensor,
    flow: Tensor,
    weights: Tensor,
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
    total = F.cross_entropy(logits, label, weights, ignore_index=UNLABELLED, reduction="sum")
    known = label[label != UNLABELLED]
    share = process.total(weights[known].sum())
    loss = total / share.clamp(min=1e-6) * process.count
    if settings.iou_loss:
        loss = loss + settings.iou_loss * soft_iou_loss(logits, label)
    if pair.shape[1] > 1:
        flow = flow.to(process.device)
        loss = loss + settings.consistency * inconsistency(pair[:, -1], pair[:, -2], flow)
    return loss


def soft_iou_loss(logits: Tensor, label: Tensor) -> Tensor:
    """One minus the mean IoU of the probabilities over the classes that the batch shows.

    Rare classes weigh as much as frequent ones, as they do in mIoU (Rahman and Wang, ISVC 2016).
    Every second row and column is enough to estimate it.
    """
    logits, label = logits[..., ::2, ::2], label[..., ::2, ::2]
    known = label != UNLABELLED
    truth = label[known]
    if not len(truth):
        return logits.sum() * 0
    probability = logits.softmax(dim=1).movedim(1, -1)[known]  # pixels x classes
    of_truth = probability.gather(1, truth[:, None])[:, 0]
    shared = torch.zeros_like(probability[0]).index_add(0, truth, of_truth)
    count = torch.bincount(truth, minlength=logits.shape[1])
    union = probability.sum(dim=0) + count - shared
    return 1 - (shared / union)[count > 0].mean()


def inconsistency(newest: Tensor, before: Tensor, flow: Tensor) -> Tensor:
    """How much the class probabilities of two successive frames differ along their motion.

    Symmetric Kullback-Leibler divergence, mean over what both frames see. Labels alone do not ask
    for it: where a network is unsure, any of its answers costs the same, steady or not.

    Args:
        newest, before: logits N x classes x h x w.
        flow: N x H x W x 2, where each image pixel of ``newest`` lies in ``before``, as a shift.
    """
    height, width = flow.shape[1:3]
    size = torch.tensor([width, height], device=flow.device)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=flow.device),
        torch.arange(width, device=flow.device),
        indexing="ij",
    )
    there = (torch.stack([columns, rows], dim=-1) + flow + 0.5) / size * 2 - 1
    grid = F.interpolate(there.movedim(-1, 1), newest.shape[-2:], mode="area").movedim(1, -1)
    seen = (grid.abs().amax(dim=-1) <= 1).float()
    log_newest = newest.log_softmax(dim=1)
    carried = F.grid_sample(before.softmax(dim=1), grid, padding_mode="border", align_corners=False)
    carried = carried.clamp(min=1e-5)
    divergence = ((log_newest.exp() - carried) * (log_newest - carried.log())).sum(dim=1)
    return (divergence * seen).sum() / seen.sum().clamp(min=1)


def class_weights(samples: Samples) -> Tensor:
    """Weights 1/sqrt(frequency) of the classes, their mean over labelled pixels being 1."""
    counts = np.zeros(256)
    indices = range(len(samples))
    for i in tqdm(indices, desc="counting labels", unit="frame", leave=False, disable=None):
        counts += np.bincount(samples.label(i).reshape(-1), minlength=256)
    share = counts[: len(samples.classes)] / max(1.0, counts[: len(samples.classes)].sum())
    weights = 1 / np.sqrt(np.maximum(share, 1e-6))
    return torch.tensor(weights / max(1e-6, (weights * share).sum()), dtype=torch.float32)


def _loss_weights(samples: Samples, settings: StageConfig) -> Tensor:
    return class_weights(samples) if settings.class_balance else torch.ones(len(samples.classes))


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
