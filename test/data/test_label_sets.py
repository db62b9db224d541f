"""Coarse labels as sets of classes, and the groups that two label sets share."""

from __future__ import annotations

import numpy as np
import pytest

from stmem_ros.classes import CAMVID, CITYSCAPES, IDD_LITE, UNLABELLED
from stmem_ros.data.label_sets import allowed_classes, shared_groups


def ids(classes: tuple, *names: str) -> list[int]:
    return [c.id for c in classes if c.name in names]


def test_every_coarse_label_allows_a_class_and_every_class_is_allowed_by_one() -> None:
    allowed = allowed_classes(IDD_LITE, CAMVID)
    assert allowed.shape == (7, 11)
    assert allowed.any(axis=0).all() and allowed.any(axis=1).all()
    far = ids(IDD_LITE, "far")[0]
    assert np.flatnonzero(allowed[far]).tolist() == ids(CAMVID, "building", "tree")


def test_what_a_label_allows_is_in_its_own_group() -> None:
    groups = shared_groups(CAMVID, IDD_LITE)
    for coarse, members in enumerate(allowed_classes(IDD_LITE, CAMVID)):
        assert set(groups.of_model[np.flatnonzero(members)]) == {groups.of_dataset[coarse]}


def test_all_classes_have_a_group_and_no_other_value_has() -> None:
    groups = shared_groups(CAMVID, IDD_LITE)
    assert len(groups.names) == 5
    assert groups.of_model[:11].max() == groups.of_dataset[:7].max() == 4
    assert set(groups.of_model[11:]) == set(groups.of_dataset[7:]) == {UNLABELLED}


def test_equal_label_sets_share_their_classes() -> None:
    groups = shared_groups(CAMVID, CAMVID)
    assert groups.names == tuple(c.name for c in CAMVID)
    assert groups.of_model.tolist() == [*range(11), *[UNLABELLED] * 245]


def test_label_sets_that_share_nothing_known_are_named() -> None:
    with pytest.raises(ValueError, match=r"'rider'.*'bicyclist'"):
        shared_groups(CITYSCAPES, CAMVID)
    with pytest.raises(ValueError, match=r"'bicyclist'.*'rider'"):
        allowed_classes(CAMVID, CITYSCAPES)
