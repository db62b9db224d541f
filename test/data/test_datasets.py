"""The data sets in their layouts on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stmem_ros.classes import CAMVID, CITYSCAPES
from stmem_ros.data.camvid import COLOURS, CamVid, from_colours
from stmem_ros.data.cityscapes import Cityscapes
from stmem_ros.data.dataset import DatasetError
from stmem_ros.data.datasets import open_dataset
from stmem_ros.data.video_folder import VideoFolder


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def grey(value: int) -> np.ndarray:
    return np.full((4, 6), value, np.uint8)


def picture(value: int) -> np.ndarray:
    return np.full((4, 6, 3), value, np.uint8)


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    for frame in range(16, 22):
        name = f"bonn_000003_{frame:06d}_leftImg8bit.png"
        write(tmp_path / "leftImg8bit_sequence" / "train" / "bonn" / name, picture(frame))
    label = np.array([[7, 8, 33, 0, 26, 255]] * 4, np.uint8)
    name = "bonn_000003_000019_gtFine_labelIds.png"
    write(tmp_path / "gtFine" / "train" / "bonn" / name, label)
    return tmp_path


def test_cityscapes_gives_train_ids_and_the_neighbours_of_the_labelled_frame(cityscapes) -> None:
    data = Cityscapes(cityscapes, "train", before=2, after=1)
    (clip,) = data.clips
    assert clip.names == tuple(f"bonn_000003_{f:06d}" for f in (17, 18, 19, 20))
    assert clip.is_video
    assert [data.has_label(n) for n in clip.names] == [False, False, True, False]
    assert data.label(clip.names[2])[0].tolist() == [0, 1, 18, 255, 13, 255]
    assert data.label(clip.names[0]) is None
    assert data.image(clip.names[0]).max() == 17
    assert next(c.name for c in CITYSCAPES) == "road" and len(CITYSCAPES) == 19


def test_a_neighbour_missing_on_disk_is_named_or_repeated(cityscapes: Path) -> None:
    with pytest.raises(DatasetError, match=r"000022_leftImg8bit\.png"):
        Cityscapes(cityscapes, "train", before=1, after=3)
    (clip,) = Cityscapes(cityscapes, "train", before=4, after=3, missing="repeat").clips
    assert [int(n[-2:]) for n in clip.names] == [16, 16, 17, 18, 19, 20, 21, 21]
    with pytest.raises(DatasetError, match=r"missing.*'shrug'"):
        Cityscapes(cityscapes, "train", missing="shrug")
    with pytest.raises(DatasetError, match=r"gtFine.val"):
        Cityscapes(cityscapes, "val")


def test_camvid_as_published_is_read_in_its_32_colours(tmp_path: Path) -> None:
    names = ["0001TP_006690", "0001TP_006720", "0001TP_006750", "0016E5_07959", "0016E5_07961"]
    colours = np.array([[COLOURS[c.name][-1] for c in CAMVID] + [(0, 0, 0)]] * 3, np.uint8)
    for i, name in enumerate(names):
        write(tmp_path / "images" / f"{name}.png", picture(i))
        write(tmp_path / "labels" / f"{name}_L.png", colours)
    (tmp_path / "val.txt").write_text("\n".join(names))
    data = CamVid(tmp_path, "val")
    assert [(c.sequence, len(c.names), c.rate) for c in data.clips] == [
        ("0001TP", 3, 1.0),
        ("0016E5", 2, 15.0),
    ]
    assert [c.is_video for c in data.clips] == [False, True]
    assert data.label(names[0])[0].tolist() == [*range(11), 255]
    assert data.image(names[3]).max() == 3
    assert sum(len(v) for v in COLOURS.values()) == 31  # and void
    assert from_colours(np.array([[[1, 2, 3]]], np.uint8)).tolist() == [[255]]


def test_camvid_with_11_classes_is_read_from_its_list(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.png", picture(9))
    write(tmp_path / "labels" / "a.png", grey(10))
    runs = [{"split": "val", "sequence": "s", "rate_hz": 15, "names": ["a"]}]
    (tmp_path / "clips.json").write_text(json.dumps(runs))
    data = CamVid(tmp_path, "val")
    assert data.image("a").max() == 9 and data.label("a").max() == 10
    with pytest.raises(DatasetError, match=r"'test'.*val"):
        CamVid(tmp_path, "test")
    (tmp_path / "clips.json").write_text("[{}]")
    with pytest.raises(DatasetError, match=r"clips\.json"):
        CamVid(tmp_path, "val")
    with pytest.raises(DatasetError, match="nowhere"):
        CamVid(tmp_path / "nowhere", "val")


def test_a_video_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text(
        "rate: 10.0\nclasses:\n- {name: floor, colour: [1, 2, 3]}\n- "
        "{name: wall, colour: [9, 9, 9]}\n"
    )
    for i in range(3):
        write(tmp_path / "train" / "hall" / "images" / f"{i:03d}.png", picture(i))
    write(tmp_path / "train" / "hall" / "labels" / "001.png", grey(1))
    data = VideoFolder(tmp_path, "train")
    assert [c.name for c in data.classes] == ["floor", "wall"]
    (clip,) = data.clips
    assert clip.names == ("hall/000", "hall/001", "hall/002") and clip.rate == 10
    assert [data.has_label(n) for n in clip.names] == [False, True, False]
    assert data.label("hall/001").max() == 1 and data.label("hall/000") is None
    with pytest.raises(DatasetError, match="val/SEQUENCE/images"):
        VideoFolder(tmp_path, "val")
    (tmp_path / "dataset.yaml").write_text("rate: fast")
    with pytest.raises(DatasetError, match=r"dataset.yaml.*rate"):
        VideoFolder(tmp_path, "train")


@pytest.mark.parametrize("label", ["000_label.png", "000.PNG", "000.tif"])
def test_labels_that_belong_to_no_image_are_refused_by_name(tmp_path: Path, label: str) -> None:
    description = "rate: 10\nclasses:\n- {name: floor, colour: [0, 0, 0]}\n"
    (tmp_path / "dataset.yaml").write_text(description)
    write(tmp_path / "val/drive/images/000.jpg", picture(9))
    write(tmp_path / "val/drive/labels/000.png", grey(0))
    assert VideoFolder(tmp_path, "val").has_label("drive/000")
    (tmp_path / "val/drive/labels/000.png").rename(tmp_path / "val/drive/labels" / label)
    with pytest.raises(DatasetError, match=rf"{label} belongs to no image, .* must be 000\.png"):
        VideoFolder(tmp_path, "val")


@pytest.mark.parametrize(
    "text", ["", "a\n", "/SegNet/CamVid/val/0016E5_07959.png x.png\n", "a_b\n", "0016E5_07959_L\n"]
)
def test_a_list_of_camvid_that_names_no_frames_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "val.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"val\.txt names"):
        CamVid(tmp_path, "val")


def test_a_sequence_without_frames_or_rate_is_refused_by_name(tmp_path: Path) -> None:
    for i, names in ((15, []), (0, ["a"])):
        runs = [{"split": "val", "sequence": "street", "rate_hz": i, "names": names}]
        (tmp_path / "clips.json").write_text(json.dumps(runs))
        with pytest.raises(DatasetError, match=r"clips\.json: sequence 'street'"):
            CamVid(tmp_path, "val")
    (tmp_path / "dataset.yaml").write_text("rate: 10.0\nclasses: [{name: a, colour: [1, 2, 3]}]")
    write(tmp_path / "val" / "hall" / "images" / "0.png", picture(1))
    (tmp_path / "val" / "stairs" / "images").mkdir(parents=True)
    with pytest.raises(DatasetError, match="stairs"):
        VideoFolder(tmp_path, "val")


def test_class_names_that_no_bundle_may_have_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "val" / "hall" / "images" / "0.png", picture(1))
    for name in ("floor", ""):
        (tmp_path / "dataset.yaml").write_text(
            "rate: 10.0\nclasses: [{name: floor, colour: [1, 2, 3]}, "
            f"{{name: '{name}', colour: [3, 2, 1]}}]"
        )
        with pytest.raises(DatasetError, match=rf"dataset\.yaml.*'{name}'"):
            VideoFolder(tmp_path, "val")


def test_a_label_of_cityscapes_under_another_name_is_named(tmp_path: Path) -> None:
    write(tmp_path / "gtFine/val/bad_honnef/bad_honnef_0_1_gtFine_labelIds.png", grey(7))
    with pytest.raises(DatasetError, match=r"bad_honnef_0_1.*CITY_SNIPPET_FRAME"):
        Cityscapes(tmp_path, "val")


def test_an_unknown_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'imagenet'.*camvid, cityscapes"):
        open_dataset("imagenet", tmp_path, "train")
