"""PNGs as programs write them: what is not pixels is left out; damage is told in our own words."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from stmem_ros.commands.stmem import main
from stmem_ros.io.images import ImageError, decode_compressed, read_header

RGB = np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)
PNG = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()
BEHIND_HEADER = 33  # bytes of signature and IHDR


def part(name: bytes, content: bytes, check_sum: int | None = None) -> bytes:
    check_sum = zlib.crc32(name + content) if check_sum is None else check_sum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check_sum)


def with_part(*values) -> bytes:
    return PNG[:BEHIND_HEADER] + part(*values) + PNG[BEHIND_HEADER:]


@pytest.mark.parametrize(
    "data",
    [
        with_part(b"iCCP", b"sRGB\0\0" + zlib.compress(b"x" * 200)),
        with_part(b"sBIT", b"\0\0\0"),
        with_part(b"eXIf", b"junk"),
        with_part(b"acTL", bytes(8)),
        with_part(b"tEXt", b"a\0b", 7),
        PNG + b"notes of a camera" * 100,
    ],
    ids=["profile", "bits", "exif", "animation", "text", "behind"],
)
def test_what_is_wrong_beside_the_pixels_says_nothing(data: bytes, capfd) -> None:
    assert np.array_equal(decode_compressed(data), RGB)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (PNG[: len(PNG) // 2], "cut off"),
        (PNG[:-12], "cut off"),
        (PNG[:100] + bytes([PNG[100] ^ 1]) + PNG[101:], r"IDAT at byte 33"),
        (with_part(b"CgBI", b"\x50\0\x20\x02"), "CgBI"),
        (PNG[:BEHIND_HEADER] + bytes(20), "damaged"),
    ],
    ids=["half", "end", "flipped", "of a phone", "zeros"],
)
def test_damage_is_named_and_nothing_else_is_said(data: bytes, named: str, capfd) -> None:
    with pytest.raises(ImageError, match=named):
        decode_compressed(data)
    assert capfd.readouterr() == ("", "")


def test_too_many_pixels_are_told_by_the_error_alone(tmp_path: Path) -> None:
    size = struct.pack(">IIBBBBB", 12000, 9000, 8, 0, 0, 0, 0)
    (tmp_path / "large.png").write_bytes(PNG[:8] + part(b"IHDR", size) + PNG[BEHIND_HEADER:])
    command = "from stmem_ros.io.images import *; read_header(Path('large.png'))"
    ended = subprocess.run(  # pytest has filters of its own for warnings
        [sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "12000 x 9000" in ended.stderr and "Warning" not in ended.stderr


def test_a_folder_that_is_named_as_an_image_is_told_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"or no readable image: Is a directory$"):
        read_header(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_file_that_is_cut_off_goes_into_no_bag(tmp_path: Path, name: str, capsys) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / name
    assert cv2.imwrite(str(path), noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["bag", "create", str(tmp_path / "bag"), "--images", str(path.parent)]) == 1
    said = capsys.readouterr().err
    assert name in said and "cut off" in said and "truncated" not in said
    assert not (tmp_path / "bag").exists()
