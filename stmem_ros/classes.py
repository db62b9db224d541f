"""Semantic classes: names, colours and the label value that stands for none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from stmem_ros.configuration import Range

UNLABELLED = 255
NAME_LENGTH = 100  # characters
GreyLevel = Annotated[int, Range(ge=0, le=255)]


@dataclass(frozen=True)
class SemanticClass:
    """One class of a label set: ``id`` 0..254, a name, an RGB colour."""

    id: Annotated[int, Range(ge=0, le=254)]
    name: str
    colour: tuple[GreyLevel, GreyLevel, GreyLevel]


def check_name(name: str) -> None:
    """Refuse a name of a class or a model that cannot be shown.

    Raises:
        ValueError: it is not printable, empty or too long.
    """
    if not (name.isprintable() and 0 < len(name.strip()) <= NAME_LENGTH):
        raise ValueError(
            f"name is {name[:NAME_LENGTH]!r}; it must be printable text of 1 to {NAME_LENGTH} "
            "characters"
        )


def check_class_names(names: Sequence[str]) -> None:
    """Refuse the names of a label set.

    Raises:
        ValueError: one cannot be shown, or two are the same.
    """
    for name in names:
        check_name(name)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two classes have the name {twice!r}; each needs its own")


def palette(classes: tuple[SemanticClass, ...]) -> np.ndarray:
    """RGB colour of every label value, 256 x 3 uint8; values that are no class are black."""
    table = np.zeros((256, 3), np.uint8)
    for c in classes:
        table[c.id] = c.colour
    return table


def _set(*rows: tuple[str, tuple[int, int, int]]) -> tuple[SemanticClass, ...]:
    return tuple(SemanticClass(i, name, colour) for i, (name, colour) in enumerate(rows))


# The 19 classes that Cityscapes trains and scores (train ids), Cordts et al., CVPR 2016.
CITYSCAPES = _set(
    ("road", (128, 64, 128)),
    ("sidewalk", (244, 35, 232)),
    ("building", (70, 70, 70)),
    ("wall", (102, 102, 156)),
    ("fence", (190, 153, 153)),
    ("pole", (153, 153, 153)),
    ("traffic light", (250, 170, 30)),
    ("traffic sign", (220, 220, 0)),
    ("vegetation", (107, 142, 35)),
    ("terrain", (152, 251, 152)),
    ("sky", (70, 130, 180)),
    ("person", (220, 20, 60)),
    ("rider", (255, 0, 0)),
    ("car", (0, 0, 142)),
    ("truck", (0, 0, 70)),
    ("bus", (0, 60, 100)),
    ("train", (0, 80, 100)),
    ("motorcycle", (0, 0, 230)),
    ("bicycle", (119, 11, 32)),
)

# The 11-class split of Badrinarayanan et al. (SegNet, TPAMI 2017), colours of Brostow et al.
CAMVID = _set(
    ("sky", (128, 128, 128)),
    ("building", (128, 0, 0)),
    ("pole", (192, 192, 128)),
    ("road", (128, 64, 128)),
    ("sidewalk", (0, 0, 192)),
    ("tree", (128, 128, 0)),
    ("sign", (192, 128, 128)),
    ("fence", (64, 64, 128)),
    ("car", (64, 0, 128)),
    ("pedestrian", (64, 64, 0)),
    ("bicyclist", (0, 128, 192)),
)

# The seven coarse classes of IDD Lite, Varma et al., WACV 2019.
IDD_LITE = _set(
    ("drivable", (128, 64, 128)),
    ("non-drivable", (244, 35, 232)),
    ("living", (220, 20, 60)),
    ("vehicle", (0, 0, 142)),
    ("roadside", (190, 153, 153)),
    ("far", (107, 142, 35)),
    ("sky", (70, 130, 180)),
)
