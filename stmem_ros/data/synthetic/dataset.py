"""The synthetic world as a data set: drives of several kinds, rendered when asked for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from stmem_ros.classes import CAMVID
from stmem_ros.data.dataset import Clip, DatasetError
from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import KINDS, make_scene

RATE = 10.0  # Hz
FRAMES = 12  # per drive
# Seeds of the scenes of each split; the demo and the tests use others below 1000.
SEEDS = {"train": range(1000, 1012), "val": range(500, 504), "test": range(600, 604)}


class SyntheticDrives:
    """A split of the synthetic world; every frame has labels.

    Raises:
        DatasetError: unknown split.
    """

    classes = CAMVID
    unknown = 0

    def __init__(self, split: str) -> None:
        if split not in SEEDS:
            raise DatasetError(f"split is {split!r}; the synthetic world has {', '.join(SEEDS)}")
        self.clips = tuple(
            Clip(
                f"{KINDS[seed % len(KINDS)]}_{seed}",
                tuple(f"{KINDS[seed % len(KINDS)]}_{seed}_{i}" for i in range(FRAMES)),
                RATE,
            )
            for seed in SEEDS[split]
        )

    def image(self, name: str) -> np.ndarray:
        """RGB uint8, H x W x 3."""
        return _picture(name)[0]

    def label(self, name: str) -> np.ndarray | None:
        """Class ids uint8, H x W."""
        return _picture(name)[1]

    def has_label(self, name: str) -> bool:
        """True: every frame has labels."""
        return True

    def label_path(self, name: str) -> Path:
        """No file: the frame's name."""
        return Path(name)


@lru_cache(maxsize=512)
def _picture(name: str) -> tuple[np.ndarray, np.ndarray]:
    """RGB and labels."""
    kind, seed, index = name.split("_")
    start = 2.0 * (int(seed) % 4) + int(index) / RATE  # drives begin at different places
    view = next(drive(make_scene(kind, int(seed)), 1, RATE, start)).view
    return view.rgb, view.label
