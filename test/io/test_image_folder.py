"""Folders of images as people have them become bags and data sets in the right order."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stmem_ros.data.dataset import DatasetError
from stmem_ros.data.video_folder import VideoFolder
from stmem_ros.io.bag_create import create_bag, image_files, read_files
from stmem_ros.io.bags import BagError, BagReader
from stmem_ros.io.image_folder import ImageFolderError, image_paths, natural_key, read_names
from stmem_ros.io.images import decode_image


def grey(path: Path, value: int = 0, size: tuple[int, int] = (4, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def stems(folder: Path) -> list[str]:
    return [path.stem for path in image_paths(folder)]


def test_images_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1, 100):
        grey(tmp_path / f"frame{number}.png")
    assert stems(tmp_path) == ["frame1", "frame2", "frame10", "frame100"]
    seconds = ["1305031102.1753", "1305031102.2", "1305031103.05"]
    assert sorted(reversed(seconds), key=natural_key) == seconds
    assert sorted(["b2_left", "b10_left", "a3"], key=natural_key) == ["a3", "b2_left", "b10_left"]


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    grey(tmp_path / "train/drive/images/a.png")
    (tmp_path / "train/drive/images/._a.png").write_bytes(b"\0\5\x16\7Mac OS X")
    assert stems(tmp_path / "train/drive/images") == ["a"]
    (tmp_path / "dataset.yaml").write_text(
        "rate: 10.0\nclasses:\n- {name: floor, colour: [1, 2, 3]}\n"
    )
    assert VideoFolder(tmp_path, "train").clips[0].names == ("drive/a",)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    images = tmp_path / "train/drive/images"
    grey(images / "1.png")
    grey(images / "1.jpg")
    with pytest.raises(ImageFolderError, match=r"1\.jpg and 1\.png"):
        image_paths(images)
    with pytest.raises(BagError, match=r"1\.jpg and 1\.png"):
        image_files(images, None, None)
    (tmp_path / "dataset.yaml").write_text(
        "rate: 10.0\nclasses:\n- {name: floor, colour: [1, 2, 3]}\n"
    )
    with pytest.raises(DatasetError, match=r"1\.jpg and 1\.png"):
        VideoFolder(tmp_path, "train")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("c\n".encode("utf-8-sig"), ["c"]),
        ("c\r\na b\r\n".encode("utf-16"), ["c", "a b"]),
        (b"c.png\n\na b\n", ["c", "a b"]),
    ],
)
def test_lists_of_names_are_read_as_editors_write_them(
    tmp_path: Path, content: bytes, found: list[str]
) -> None:
    for name in ("a b", "c"):
        grey(tmp_path / "images" / f"{name}.png")
    (tmp_path / "names.txt").write_bytes(content)
    files = image_files(tmp_path / "images", None, tmp_path / "names.txt")
    assert [file.path.stem for file in files] == found
    (tmp_path / "names.txt").write_bytes(b"\xff\xfa\x80")
    with pytest.raises(ImageFolderError, match=r"names\.txt"):
        read_names(tmp_path / "names.txt")


def test_a_label_that_does_not_fit_is_refused_before_a_bag_is_written(tmp_path: Path) -> None:
    grey(tmp_path / "images/a.png")
    grey(tmp_path / "labels/a.png", size=(6, 4))
    with pytest.raises(BagError, match=r"labels/a\.png has 4 x 6.*6 x 4"):
        image_files(tmp_path / "images", tmp_path / "labels", None)


def test_the_format_in_a_bag_tells_what_its_bytes_hold(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint16), (8, 1))
    (tmp_path / "images").mkdir()
    Image.fromarray(ramp << 8).save(tmp_path / "images/1.png")
    frames = read_files(image_files(tmp_path / "images", None, None))
    assert create_bag(tmp_path / "bag", frames, 10.0, None, None) == 1
    with BagReader(tmp_path / "bag") as bag:
        message = bag.decode(next(bag.records()))
    assert message.format == "mono16; png compressed "
    assert np.array_equal(decode_image(message)[..., 0], ramp)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageFolderError, match=f"no folder {tmp_path}/nowhere"):
        image_paths(tmp_path / "nowhere")
