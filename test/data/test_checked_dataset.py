"""Labels are refused, or counted and told, where they are read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stmem_ros.commands.stmem import main
from stmem_ros.data.dataset import DatasetError
from stmem_ros.data.datasets import open_dataset

CLASSES = "rate: 10.0\nclasses:\n- {name: ground, colour: [1, 2, 3]}\n- " \
          "{name: thing, colour: [9, 9, 9]}\n"  # fmt: skip


def write_split(root: Path, *labels: np.ndarray, size: tuple[int, int] = (32, 48)) -> Path:
    """A split ``val`` of a folder of videos with two classes."""
    (root / "dataset.yaml").write_text(CLASSES)
    for name in ("images", "labels"):
        (root / "val/drive" / name).mkdir(parents=True)
    for i, label in enumerate(labels):
        picture = Image.fromarray(np.full((*size, 3), 90, np.uint8))
        picture.save(root / f"val/drive/images/{i}.png")
        Image.fromarray(label).save(root / f"val/drive/labels/{i}.png")
    return root


def mask(low: int, high: int, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    label = np.full(size, low, np.uint8)
    label[:8] = high
    return label


def read_all(root: Path):
    data = open_dataset("video_folder", root, "val")
    for clip in data.clips:
        for name in clip.names:
            data.image(name)
            data.label(name)
    return data


def test_good_labels_have_nothing_to_tell(tmp_path: Path) -> None:
    data = read_all(write_split(tmp_path, mask(0, 1), mask(1, 255)))
    assert data.notes == () and data.labelled_pixels == 2 * 32 * 48 - 8 * 48


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (mask(0, 7), r"labels/0\.png.* 7;.*0 to 1"),
        (mask(0, 1, (16, 24)), r"labels/0\.png.*24 x 16.*48 x 32"),
    ],
)
def test_labels_that_do_not_fit_are_refused_by_file(tmp_path, label, words) -> None:
    with pytest.raises(DatasetError, match=words):
        read_all(write_split(tmp_path, label))


def test_a_label_of_another_size_is_refused_whichever_is_read_first(tmp_path: Path) -> None:
    root = write_split(tmp_path, mask(0, 1, (16, 24)))
    for first, second in (("image", "label"), ("label", "image")):
        data = open_dataset("video_folder", root, "val")
        getattr(data, first)("drive/0")
        with pytest.raises(DatasetError, match=r"labels/0\.png.*24 x 16.*48 x 32"):
            getattr(data, second)("drive/0")


def test_a_class_that_never_occurs_is_told(tmp_path: Path) -> None:
    (note,) = read_all(write_split(tmp_path, mask(0, 255))).notes
    assert "thing" in note and "ground" not in note and "255" in note


def test_a_run_without_labelled_pixels_is_no_success(tmp_path: Path, capsys) -> None:
    root = write_split(tmp_path, mask(255, 255), mask(255, 255), size=(32, 48))
    assert "no labelled pixels" in read_all(root).notes[0]
    arguments = ["train", "frame", "--config", str(tmp_path / "t.yaml"), "--data", str(root)]
    (tmp_path / "t.yaml").write_text(
        "name: two\nseed: 1\ndataset: video_folder\nsplit: val\n"
        "architecture: {classes: 2, channels: 32, hidden: 32, block: [4, 6], positions: [8, 12]}\n"
        "frame: {epochs: 1, batch: 2, learning_rate: 0.001, augmentation: {crop: [32, 48]}}\n"
        "stf: {epochs: 1, batch: 2, learning_rate: 0.001}\n"
        "mar: {epochs: 1, batch: 2, learning_rate: 0.001}\n"
    )
    assert main([*arguments, "--run", str(tmp_path / "run")]) == 1
    assert "labelled" in capsys.readouterr().err


def test_colours_of_no_class_are_counted(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    picture = np.full((20, 10, 3), (128, 64, 128), np.uint8)  # road
    picture[0] = 0  # void
    picture[1] = 64, 60, 100  # between two colours
    Image.fromarray(picture).save(tmp_path / "labels/Seq05VD_f00000_L.png")
    Image.fromarray(picture).save(tmp_path / "images/Seq05VD_f00000.png")
    (tmp_path / "val.txt").write_text("Seq05VD_f00000\n", encoding="utf-8-sig")
    data = open_dataset("camvid", tmp_path, "val")
    data.label("Seq05VD_f00000")
    assert data.unknown == 10
    assert any("5.0 %" in note for note in data.notes)


def test_test_labels_of_cityscapes_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "gtFine/test/bonn"
    images = tmp_path / "leftImg8bit/test/bonn"
    folder.mkdir(parents=True)
    images.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "bonn_0_000019_gtFine_labelIds.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(images / "bonn_0_000019_leftImg8bit.png")
    data = open_dataset("cityscapes", tmp_path, "test")
    data.label("bonn_0_000019")
    assert not data.labelled_pixels and "test splits" in data.notes[0]
