"""Training configurations: one YAML file for all stages of one model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from stmem_ros.classes import check_name
from stmem_ros.configuration import (
    MOST,
    Count,
    CountFromOne,
    NotNegative,
    Positive,
    Probability,
    Range,
    read_configuration,
)
from stmem_ros.data.augment import Augmentation
from stmem_ros.model.segmenter import Architecture

# The stages, and the one each begins with. `frame_mar` is MAR on the frame network alone: only
# needed to show what STF and MAR each add.
STAGES = ("frame", "stf", "mar", "frame_mar")
BEFORE = {"stf": "frame", "mar": "stf", "frame_mar": "frame"}


@dataclass(frozen=True)
class StageConfig:
    """How one stage is trained.

    Attributes:
        epochs: passes over the training split.
        batch: windows (or frames) a step, over all processes; batch norm cannot train on one.
        learning_rate: peak rate of AdamW; it warms up over 5 % of the steps, then falls to zero as
            a half cosine.
        backbone_rate: factor on the rate of pretrained layers.
        weight_decay: of AdamW, on matrices only.
        clip: largest norm of the gradient.
        class_balance: weight the loss by 1/sqrt(frequency) of the classes.
        iou_loss: weight of a soft IoU loss beside the cross-entropy; it favours rare classes.
        frozen: modules, such as ``backbone.stem``, that keep pretrained weights and statistics
            (the early ones take half of a step's time and have little to learn).
        consistency: weight of the divergence between the class probabilities of the target and of
            the frame before, along their motion; windows are one frame longer for it. STF alone.
        paste: probability that rare things of another frame are pasted in; single frames alone.
        calm_epochs: how many epochs at the end see images as a camera gives them: nothing pasted,
            and the changes of the ``stf`` stage. Frame stage alone.
        average: share of a running average of the weights that a step keeps; the averages are what
            the stage ends with. 0: the weights of the last step are.
        frozen_norms: batch norms keep their statistics, as they must where images are changed more
            than those that a camera gives.
        start_share: share of the weights that the stage began with in those it ends with.
        augmentation: random changes of the training windows.
    """

    epochs: Count
    batch: Annotated[int, Range(ge=2, le=MOST)]
    learning_rate: NotNegative
    backbone_rate: NotNegative = 1.0
    weight_decay: NotNegative = 1e-4
    clip: Positive = 1.0
    class_balance: bool = True
    iou_loss: NotNegative = 0.0
    frozen: tuple[str, ...] = ()
    consistency: NotNegative = 0.0
    paste: Probability = 0.0
    calm_epochs: Count = 0
    average: Annotated[float, Range(ge=0.0, lt=1.0)] = 0.0
    frozen_norms: bool = False
    start_share: Annotated[float, Range(ge=0.0, lt=1.0)] = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.epochs and not self.learning_rate:
            raise ValueError("learning_rate is 0; allowed: numbers above 0 where there are epochs")


@dataclass(frozen=True)
class SyntheticConfig:
    """Windows of the synthetic world that are trained on beside the data set.

    Attributes:
        windows: how many; 0 for none.
        first_seed: seed of the first scene; the demo and the tests use seeds below 1000.
        varied: of streets of which no two look alike, seen by different cameras.
    """

    windows: Count = 0
    first_seed: Count = 1000
    varied: bool = False


@dataclass(frozen=True)
class CoarseConfig:
    """Frames of a data set with coarser labels that the frame stage learns from besides.

    Attributes:
        dataset: ``idd_lite``.
        split: what is trained on.
        share: of the frames of a batch; 0 for none of them.
        height: pixels that the frames are scaled to, about that of the others.
        teacher: bundle that narrows the labels (:mod:`stmem_ros.training.coarse_frames`); empty:
            they stay as they are.
    """

    dataset: str = "idd_lite"
    split: str = "train"
    share: Annotated[float, Range(ge=0.0, lt=1.0)] = 0.0
    height: CountFromOne = 360
    teacher: str = "onboard"


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what a training run gives, its data folder aside.

    Attributes:
        name: of the model.
        dataset: one of :data:`stmem_ros.data.datasets.DATASETS`.
        seed: of all that is random.
        architecture: the network with STF and MAR.
        frame, stf, mar: the stages.
        fusion: bundle of the same form, whose STF the ``stf`` stage begins with; empty: a new one.
        split: what is trained on.
        height: pixels that the data set's images are scaled to; 0: they stay as they are.
        missing: neighbours that are not on disk: ``error`` or ``repeat``.
        holdout: sequences (or the beginnings of their names) of the split that are not trained on;
            the best epoch on them is kept. Without any, the last epoch is.
        memory_rule: how MAR's keys are chosen, ``confidence`` or ``boundary``; ``mean`` for the
            light form.
        synthetic: what of the synthetic world is added.
        coarse: what of a data set with coarser labels is added.
        workers: processes that load data, a training process.
        bfloat16: compute in bfloat16 autocast: about twice as fast on a GPU, and on a CPU with
            AVX512-BF16 or AMX; slow on others.
    """

    name: str
    dataset: str
    seed: Count
    architecture: Architecture
    frame: StageConfig
    stf: StageConfig
    mar: StageConfig
    fusion: str = ""
    split: str = "train"
    height: Count = 0
    missing: Literal["error", "repeat"] = "error"
    holdout: tuple[str, ...] = ()
    memory_rule: Literal["confidence", "boundary", "mean"] = "confidence"
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    coarse: CoarseConfig = field(default_factory=CoarseConfig)
    workers: Count = 0
    bfloat16: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)  # a bundle of another name could not be read

    def stage(self, name: str) -> StageConfig:
        """Settings of a stage; those of ``mar`` serve ``frame_mar`` too."""
        return {"frame": self.frame, "stf": self.stf}.get(name, self.mar)

    def epoch(self, stage: str, epoch: int) -> StageConfig:
        """Settings of a stage in one of its epochs, from 0: they differ in the calm ones."""
        settings = self.stage(stage)
        if epoch < settings.epochs - settings.calm_epochs:
            return settings
        return dataclasses.replace(settings, paste=0.0, augmentation=self.stf.augmentation)

    def window(self, stage: str) -> tuple[int, int]:
        """Length of a stage's windows, and index of the labelled frame in them."""
        if stage in ("frame", "frame_mar"):
            return 1, 0
        more = 1 if self.stage(stage).consistency else 0
        return self.architecture.window + more, self.architecture.target + more


def load_config(path: Path) -> TrainingConfig:
    """Read a configuration.

    Raises:
        ConfigurationError: unreadable, or a key is unknown, missing or has a value that is not
            allowed; one line names it.
    """
    return read_configuration(path, TrainingConfig, "training configuration")
