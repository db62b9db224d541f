"""What is trained on: labelled frames of a data set with their windows, synthetic windows, and
frames with coarser labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stmem_ros.data.dataset import Clip, DatasetError
from stmem_ros.data.datasets import open_dataset
from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import KINDS, make_scene
from stmem_ros.data.synthetic.varied import make_varied_scene, varied_camera
from stmem_ros.training.coarse_frames import CoarseFrames
from stmem_ros.training.config import TrainingConfig
from stmem_ros.training.scaling import scaled_image, scaled_label

RATE = 10.0  # Hz, of synthetic windows


@dataclass(frozen=True)
class Sample:
    """N images (1, or a window), N x H x W x 3 uint8, and the label of one, H x W uint8."""

    images: np.ndarray
    label: np.ndarray


class Samples:
    """Labelled frames of a split, loaded when asked for, and windows of the synthetic world.

    A frame of a video comes with its neighbours; at the ends of a clip the last frame repeats. A
    frame without close neighbours comes alone. Frames with coarser labels come last.

    Args:
        config: names the data set, the split, what is held out, and the synthetic share.
        root: folder of the data set.
        frames: length of a window; 1 for single frames.
        target: index of the labelled frame in it.
        held_out: the frames that are held out, instead of those that are trained on.
        coarse: frames with coarser labels, each alone.

    Attributes:
        classes: the label set.
        allowed: which classes each label value allows, bool; those of the coarse labels follow the
            classes themselves.

    Raises:
        DatasetError: the data are not as documented, or a held-out sequence is none of the data's.
    """

    def __init__(
        self,
        config: TrainingConfig,
        root: Path,
        frames: int,
        target: int,
        held_out: bool = False,
        coarse: CoarseFrames | None = None,
    ) -> None:
        self._frames, self._target = frames, target
        self._dataset = open_dataset(
            config.dataset, root, config.split, target, frames - 1 - target, config.missing
        )
        self.classes = self._dataset.classes
        sequences = {clip.sequence for clip in self._dataset.clips}
        for name in config.holdout:
            if not any(s.startswith(name) for s in sequences):
                raise DatasetError(f"holdout {name!r} is no sequence of {sorted(sequences)}")
        self._places: list[tuple[Clip, int]] = [
            (clip, i)
            for clip in self._dataset.clips
            if clip.sequence.startswith(config.holdout) == held_out
            for i, name in enumerate(clip.names)
            if self._dataset.has_label(name)
        ]
        self._synthetic = [] if held_out else _render(config, frames, target)
        self._height = config.height
        self._coarse = coarse
        self.allowed = np.eye(len(self.classes), dtype=bool)
        if coarse is not None:
            self.allowed = np.concatenate([self.allowed, coarse.allowed])

    def __len__(self) -> int:
        return self.fine_count + (0 if self._coarse is None else len(self._coarse))

    @property
    def fine_count(self) -> int:
        """How many samples come before those with coarser labels."""
        return len(self._places) + len(self._synthetic)

    def __getitem__(self, index: int) -> Sample:
        if self._coarse is not None and index >= self.fine_count:
            frame = index - self.fine_count
            return Sample(self._coarse.image(frame)[None], self._coarse.label(frame))
        if index >= len(self._places):
            return self._synthetic[index - len(self._places)]
        clip, place = self._places[index]
        around = range(place - self._target, place - self._target + self._frames)
        chosen = [place]
        if clip.is_video:
            chosen = [min(max(i, 0), len(clip.names) - 1) for i in around]
        frames = [self._dataset.image(clip.names[i]) for i in chosen]
        images = np.stack([scaled_image(frame, self._height) for frame in frames])
        label = self.label(index)
        return Sample(images, label)

    def check_labels(self) -> tuple[str, ...]:
        """What is strange about the labels read so far, a line each.

        Raises:
            DatasetError: none of their pixels is labelled.
        """
        if not self._dataset.labelled_pixels and not self._synthetic:
            raise DatasetError("; ".join(self._dataset.notes))
        return self._dataset.notes

    def label(self, index: int) -> np.ndarray:
        """The label of a sample alone, H x W uint8.

        Raises:
            DatasetError: it holds a value that is no class, or is not of its image's size.
        """
        if self._coarse is not None and index >= self.fine_count:
            return self._coarse.label(index - self.fine_count)
        if index >= len(self._places):
            return self._synthetic[index - len(self._places)].label
        clip, place = self._places[index]
        label = self._dataset.label(clip.names[place])
        assert label is not None
        return scaled_label(label, self._height)


def full_window(sample: Sample, frames: int) -> np.ndarray:
    """The sample's images as a window, T x H x W x 3; a single image is repeated."""
    return np.broadcast_to(sample.images, (frames, *sample.images.shape[1:]))


def _render(config: TrainingConfig, frames: int, target: int) -> list[Sample]:
    random = np.random.default_rng([config.seed, config.synthetic.first_seed])
    samples = []
    for i in tqdm(range(config.synthetic.windows), desc="rendering", unit="window", disable=None):
        seed = config.synthetic.first_seed + i
        start = float(random.uniform(0, 9))
        if config.synthetic.varied:
            way = drive(make_varied_scene(seed), frames, RATE, start, *varied_camera(seed))
        else:
            way = drive(make_scene(KINDS[i % len(KINDS)], seed), frames, RATE, start)
        views = [frame.view for frame in way]
        samples.append(Sample(np.stack([v.rgb for v in views]), views[target].label))
    return samples
