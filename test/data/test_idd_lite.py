"""IDD Lite on disk: its splits are whole drives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stmem_ros.classes import IDD_LITE
from stmem_ros.data.dataset import DatasetError
from stmem_ros.data.datasets import open_dataset
from stmem_ros.data.idd_lite import IddLite, is_held_out


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two frames of each of forty drives, and an unlabelled one."""
    for folder in ("images", "labels", "unlabelled"):
        (tmp_path / folder).mkdir()
    image = Image.fromarray(np.full((4, 6, 3), 90, np.uint8))
    label = Image.fromarray(np.tile(np.array([0, 1, 2, 5, 6, 255], np.uint8), (4, 1)))
    for drive in range(40):
        for frame in ("000007", "000300"):
            image.save(tmp_path / "images" / f"{drive}_{frame}.jpg")
            label.save(tmp_path / "labels" / f"{drive}_{frame}.png")
    image.save(tmp_path / "unlabelled" / "77_000001.jpg")
    return tmp_path


def test_train_and_val_are_whole_drives_and_together_all_of_them(root: Path) -> None:
    drives = {
        split: {clip.sequence for clip in IddLite(root, split).clips} for split in ("train", "val")
    }
    assert drives["val"] and len(drives["val"]) < len(drives["train"])
    assert drives["train"] | drives["val"] == {str(drive) for drive in range(40)}
    assert all(is_held_out(drive) == (drive in drives["val"]) for drive in map(str, range(40)))


def test_the_frames_of_a_drive_are_one_clip_but_no_video(root: Path) -> None:
    for clip in IddLite(root, "train").clips:
        assert clip.names == (f"{clip.sequence}_000007", f"{clip.sequence}_000300")
        assert not clip.is_video


def test_labels_are_the_seven_classes_and_255(root: Path) -> None:
    data = open_dataset("idd_lite", root, "train")
    name = data.clips[0].names[0]
    assert data.image(name).shape == (4, 6, 3)
    label = data.label(name)
    assert label is not None and np.unique(label).tolist() == [0, 1, 2, 5, 6, 255]
    assert len(data.classes) == len(IDD_LITE) == 7


def test_unlabelled_frames_have_no_labels(root: Path) -> None:
    data = IddLite(root, "unlabelled")
    assert [clip.names for clip in data.clips] == [("77_000001",)]
    assert data.label("77_000001") is None and data.image("77_000001").shape == (4, 6, 3)


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_wrong_split_or_an_empty_folder_is_named(tmp_path: Path, split: str) -> None:
    with pytest.raises(DatasetError, match=split):
        IddLite(tmp_path, split)
