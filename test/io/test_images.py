"""Every supported encoding becomes the same RGB; damage is named."""

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from stmem_ros.io.images import (
    ImageError,
    decode_colour,
    decode_compressed,
    decode_depth,
    decode_label,
    read_label,
    read_rgb,
)

RGB = cv2.resize(np.random.default_rng(3).integers(0, 256, (6, 8, 3), np.uint8), (64, 48))
GREY = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)


def message(encoding: str, pixels: np.ndarray, padding: int = 0, big: bool = False):
    rows = pixels.astype(pixels.dtype.newbyteorder(">")) if big else pixels
    rows = np.ascontiguousarray(rows).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    return SimpleNamespace(
        encoding=encoding,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=rows.shape[1],
        is_bigendian=int(big),
        data=rows.tobytes(),
    )


def bayer(pattern: str) -> np.ndarray:
    channel = {"r": 0, "g": 1, "b": 2}
    mosaic = np.zeros(RGB.shape[:2], np.uint8)
    for i, letter in enumerate(pattern):
        mosaic[i // 2 :: 2, i % 2 :: 2] = RGB[i // 2 :: 2, i % 2 :: 2, channel[letter]]
    return mosaic


def yuv(order: str) -> np.ndarray:
    y, u, v = np.moveaxis(cv2.cvtColor(RGB, cv2.COLOR_RGB2YUV), -1, 0)
    chroma = np.where(np.arange(64) % 2 == 0, u, np.roll(v, 1, axis=1))
    return np.stack([chroma, y] if order == "uyvy" else [y, chroma], axis=-1)


CASES = {
    "rgb8": (RGB, 0),
    "bgr8": (RGB[..., ::-1], 0),
    "rgba8": (np.dstack([RGB, GREY]), 0),
    "bgra8": (np.dstack([RGB[..., ::-1], GREY]), 0),
    "bayer_rggb8": (bayer("rggb"), 12),
    "bayer_bggr8": (bayer("bggr"), 12),
    "bayer_gbrg8": (bayer("gbrg"), 12),
    "bayer_grbg8": (bayer("grbg"), 12),
    "yuv422": (yuv("uyvy"), 30),
    "uyvy": (yuv("uyvy"), 30),
    "yuv422_yuy2": (yuv("yuyv"), 30),
    "yuyv": (yuv("yuyv"), 30),
}


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", CASES)
def test_colour_encodings_become_rgb(encoding: str, padding: int) -> None:
    pixels, tolerance = CASES[encoding]
    found = decode_colour(message(encoding, pixels, padding))
    assert found.shape == RGB.shape and found.dtype == np.uint8
    error = np.abs(found[4:-4, 4:-4].astype(int) - RGB[4:-4, 4:-4])
    assert np.percentile(error, 95) <= tolerance


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("big", [False, True])
def test_grey_encodings_become_rgb(padding: int, big: bool) -> None:
    want = np.dstack([GREY] * 3)
    assert np.array_equal(decode_colour(message("mono8", GREY, padding)), want)
    deep = GREY.astype(np.uint16) * 257
    assert np.array_equal(decode_colour(message("mono16", deep, padding, big)), want)


def test_depth_is_metres_with_nan_where_nothing_was_measured() -> None:
    metres = np.array([[1.5, np.nan], [0.25, 80.0]], np.float32)
    assert np.array_equal(decode_depth(message("32FC1", metres, 4)), metres, equal_nan=True)
    millimetres = np.array([[1500, 0], [250, 65000]], np.uint16)
    found = decode_depth(message("16UC1", millimetres))
    assert np.allclose(found, [[1.5, np.nan], [0.25, 65.0]], equal_nan=True)
    with pytest.raises(ImageError, match=r"'rgb8'.*32FC1"):
        decode_depth(message("rgb8", RGB))


def test_an_unsupported_encoding_is_named_with_those_that_work() -> None:
    with pytest.raises(ImageError, match=r"'32FC4'.*rgb8, bgr8"):
        decode_colour(message("32FC4", np.zeros((4, 4, 4), np.float32)))
    with pytest.raises(ImageError, match=r"'rgb8'.*mono8"):
        decode_label(message("rgb8", RGB))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data": b"123"}, " 3 bytes"),
        ({"step": 7}, "step 7"),
        ({"height": 0}, "64 x 0 pixels"),
        ({"height": 4000}, "4000"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(change: dict, named: str) -> None:
    image = message("rgb8", RGB)
    image.__dict__.update(change)
    with pytest.raises(ImageError, match=named):
        decode_colour(image)


def test_compressed_images_are_decoded_and_cut_ones_refused() -> None:
    png = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()
    assert np.array_equal(decode_compressed(png), RGB)
    jpeg = cv2.imencode(".jpg", RGB[..., ::-1])[1].tobytes()
    assert np.abs(decode_compressed(jpeg).astype(int) - RGB).mean() < 12
    for data in (jpeg[: len(jpeg) // 2], b"", b"no image at all", png[:40]):
        with pytest.raises(ImageError, match=rf"\b{len(data)} bytes"):
            decode_compressed(data)


def png(width: int, height: int) -> bytes:
    """The header of a PNG of any size, with next to nothing behind it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"0" * 100)), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [9_000, 20_000, 100_000])
def test_few_bytes_that_stand_for_many_pixels_are_refused(tmp_path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    with pytest.raises(ImageError, match=r"pixels.*67108864"):
        decode_compressed(path.read_bytes())
    for read in (read_rgb, read_label):
        with pytest.raises(ImageError, match=r"bomb\.png.*pixels.*67108864"):
            read(path)


def test_other_kinds_of_compressed_images_are_refused() -> None:
    for suffix in (".bmp", ".ppm", ".jp2"):
        with pytest.raises(ImageError, match="JPEG, PNG, WEBP, TIFF"):
            decode_compressed(cv2.imencode(suffix, RGB)[1].tobytes())


def test_palette_labels_are_read_as_indices(tmp_path) -> None:
    from PIL import Image

    ids = np.array([[0, 3], [10, 255]], np.uint8)
    image = Image.fromarray(ids, "P")
    image.putpalette([7] * 768)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_label(tmp_path / "a.png"), ids)
    Image.fromarray(RGB).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"b\.png.*RGB"):
        read_label(tmp_path / "b.png")
    assert np.array_equal(read_rgb(tmp_path / "b.png"), RGB)
    with pytest.raises(ImageError, match=r"c\.png"):
        read_rgb(tmp_path / "c.png")
