"""What crosses is cut out whole, comes from both sides and takes its labels along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.data.crossing import find_crossing_thing
from stmem_ros.data.dataset import Clip

ROAD, CAR = 3, 8


class Street:
    """Frames of a road; a car stands in the second one, and one is cut by the border."""

    classes = CAMVID
    unknown = 0
    clips = (Clip("street", ("empty", "car"), 15.0),)

    def image(self, name: str) -> np.ndarray:
        return np.repeat(self.label(name)[..., None], 3, axis=2)

    def label(self, name: str) -> np.ndarray:
        label = np.full((12, 30), ROAD, np.uint8)
        if name == "car":
            label[4:7, 10:14] = CAR
            label[2:10, :6] = CAR
        return label

    def has_label(self, name: str) -> bool:
        return True

    def label_path(self, name: str) -> Path:
        return Path(name)


def test_the_largest_whole_thing_is_found() -> None:
    thing = find_crossing_thing(Street(), Street.clips[0])
    assert thing.mask.shape == (3, 4) and thing.mask.all() and thing.top == 4
    assert (thing.label == CAR).all() and (thing.rgb == CAR).all()


def test_it_enters_on_either_side_and_its_labels_go_with_it() -> None:
    street = Street()
    thing = find_crossing_thing(street, Street.clips[0])
    empty, road = street.image("empty"), street.label("empty")
    rgb, label = thing.paste(empty, road, 6)
    assert label is not None
    columns = np.flatnonzero((label == CAR).any(axis=0)).tolist()
    assert columns == [2, 3, 4, 5, 7, 8, 9, 10]
    assert (rgb[..., 0] == label).all() and (label[thing.top + 3 :] == ROAD).all()
    assert (road == ROAD).all(), "the frame itself stays as it is"


def test_it_leaves_and_begins_anew() -> None:
    street = Street()
    thing = find_crossing_thing(street, Street.clips[0])
    frames = [thing.paste(street.image("empty"), street.label("empty"), i)[1] for i in (3, 37)]
    assert frames[0] is not None and np.array_equal(frames[0], frames[1])


def test_unlabelled_frames_get_the_thing_alone() -> None:
    street = Street()
    thing = find_crossing_thing(street, Street.clips[0])
    rgb, label = thing.paste(street.image("empty"), None, 6)
    assert label is None and (rgb == CAR).any()


def test_a_run_in_which_nothing_moves_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="alone"):
        find_crossing_thing(Street(), Clip("alone", ("empty",), 15.0))
