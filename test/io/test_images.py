"""Every supported encoding becomes the same RGB; damage is named."""

import io
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from stmem_ros.io.encodings import BitDepth
from stmem_ros.io.images import (
    ImageError,
    decode_colour,
    decode_compressed,
    decode_depth,
    decode_image,
    decode_label,
    read_header,
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
        ({"step": 7}, "step of 7 bytes.*takes 192"),
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


def test_labels_of_1_and_16_bits_are_read_as_ids(tmp_path: Path) -> None:
    ids = np.array([[0, 1], [1, 0]], np.uint8)
    for name, image in (("1", ids.astype(bool)), ("16", ids.astype(np.uint16))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        label = read_label(tmp_path / f"{name}.png")
        assert label.dtype == np.uint8 and np.array_equal(label, ids)
    Image.fromarray(ids.astype(np.uint16) * 300).save(tmp_path / "high.png")
    with pytest.raises(ImageError, match=r"high\.png.*300"):
        read_label(tmp_path / "high.png")


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of few bits; its width fills whole bytes."""
    bit = np.unpackbits(values[..., None], axis=-1)[..., -bits:].reshape(len(values), -1)
    rows = np.pad(np.packbits(bit, axis=1), ((0, 0), (1, 0)))
    size = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    parts = [(b"IHDR", size), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_labels_of_few_bits_are_ids_and_pictures_of_few_bits_grey(tmp_path, bits: int) -> None:
    ids = (np.arange(32, dtype=np.uint8) % min(2**bits, 11)).reshape(4, 8)
    (tmp_path / "a.png").write_bytes(grey_png(ids, bits))
    assert np.array_equal(read_label(tmp_path / "a.png"), ids)
    assert np.array_equal(read_rgb(tmp_path / "a.png")[..., 0], ids * (255 // (2**bits - 1)))


def test_palette_labels_are_read_as_indices(tmp_path) -> None:
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


def compressed(data: bytes, text: str) -> SimpleNamespace:
    return SimpleNamespace(data=data, format=text)


def encoded(suffix: str, pixels: np.ndarray) -> bytes:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == ".jpg" else []
    return cv2.imencode(suffix, pixels, quality)[1].tobytes()


COLOUR = np.full((32, 32, 3), (200, 60, 20), np.uint8)
MOSAIC = np.full((32, 32), 60, np.uint8)
MOSAIC[0::2, 0::2], MOSAIC[1::2, 1::2] = 200, 20  # RGGB


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("rgb8; jpeg compressed bgr8", encoded(".jpg", COLOUR[..., ::-1])),
        ("jpeg", encoded(".jpg", COLOUR[..., ::-1])),
        ("bgr8; png compressed ", encoded(".png", COLOUR[..., ::-1])),
        ("rgb8; jpeg compressed rgb8", encoded(".jpg", COLOUR)),
        ("bayer_rggb8; png compressed ", encoded(".png", MOSAIC)),
        ("bayer_rggb8; png compressed bayer_rggb8", encoded(".png", MOSAIC)),
        ("bayer_rggb8; png compressed bgr8", encoded(".png", MOSAIC)),
        ("bayer_rggb8; png compressed ", encoded(".png", np.dstack([MOSAIC] * 3))),
        ("bayer_rggb16; png compressed ", encoded(".png", MOSAIC.astype(np.uint16) << 8)),
        ("bayer_rggb8; jpeg compressed bgr8", encoded(".jpg", COLOUR[..., ::-1])),
        ("bayer_rggb8", encoded(".png", MOSAIC)),
        ("BAYER_RGGB8; png compressed ", encoded(".png", MOSAIC)),
        ("rgb16; png compressed bgr16", encoded(".png", COLOUR[..., ::-1].astype(np.uint16) << 8)),
    ],
)
def test_the_format_of_a_compressed_image_is_followed(text: str, data: bytes) -> None:
    found = decode_image(compressed(data, text))[2:-2, 2:-2].astype(int)
    assert np.abs(found - COLOUR[2:-2, 2:-2]).max() <= 6


@pytest.mark.parametrize(
    "text",
    [
        "16UC1; png compressed ",
        "32FC1; compressedDepth png",
        "bayer_rgrg8; png compressed ",
        "BayerRG8; png compressed ",
        "yuv422; png compressed ",
        "h264",
    ],
)
def test_a_format_that_is_no_picture_is_named(text: str) -> None:
    data = encoded(".png", GREY.astype(np.uint16) if "16" in text or "32" in text else GREY)
    with pytest.raises(ImageError, match=text.split(";", maxsplit=1)[0]):
        decode_image(compressed(data, text))


def test_compressed_depth_is_metres() -> None:
    millimetres = np.array([[1500, 0], [250, 65000]], np.uint16)
    plain = compressed(encoded(".png", millimetres), "16UC1; png compressed ")
    header = struct.pack("<iff", 0, 0.0, 0.0)
    packed = compressed(header + encoded(".png", millimetres), "16UC1; compressedDepth png")
    for message_ in (plain, packed):
        assert np.allclose(decode_depth(message_), [[1.5, np.nan], [0.25, 65]], equal_nan=True)
    a, b = 100.0, -10.0
    inverse = np.array([[40, 0], [90, 10]], np.uint16)
    header = struct.pack("<iff", 0, a, b)
    floats = compressed(header + encoded(".png", inverse), "32FC1; compressedDepth")
    assert np.allclose(decode_depth(floats), [[2.0, np.nan], [1.0, 5.0]], equal_nan=True)
    for data, text in ((b"\0" * 5, "16UC1; compressedDepth rvl"), (b"\0", "32FC1; png compressed")):
        with pytest.raises(ImageError, match=text.split(";", maxsplit=1)[0]):
            decode_depth(compressed(data, text))


@pytest.mark.parametrize(
    ("name", "bits"),
    [("mono10", 10), ("mono12", 12), *(("mono16", bits) for bits in (10, 12, 14, 16))],
)
def test_grey_of_10_and_12_bits_is_as_bright_as_that_of_8(name: str, bits: int) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint16), (4, 1))
    want = np.dstack([ramp.astype(np.uint8)] * 3)
    assert np.array_equal(decode_colour(message(name, ramp << (bits - 8))), want)


@pytest.mark.parametrize(("name", "bits"), [("mono10", 10), ("mono12", 12)])
def test_a_dark_file_is_as_dark_as_the_dark_image_it_was(name: str, bits: int) -> None:
    dark = np.full((4, 6), 40 << (bits - 8), np.uint16) // 4
    png = cv2.imencode(".png", dark)[1].tobytes()
    assert np.array_equal(
        decode_compressed(png, f"{name}; png compressed "), decode_colour(message(name, dark))
    )


def test_brightness_stays_where_a_cameras_image_gets_darker() -> None:
    bright = np.full((4, 6), 3000, np.uint16)
    dark = bright // 5  # alone it could be of 10 bits
    raw, file, depth = BitDepth(), BitDepth(), BitDepth()
    assert decode_colour(message("mono16", bright), raw).max() == 3000 >> 4
    assert decode_colour(message("mono16", dark), raw).max() == 600 >> 4
    for pixels in (bright, dark):
        png = cv2.imencode(".png", pixels)[1].tobytes()
        want = decode_colour(message("mono16", pixels), depth)
        assert np.array_equal(decode_compressed(png, "mono16; png compressed ", file), want)


# sensor_msgs/image_encodings.hpp of Kilted, and names that drivers use besides.
NUMBERS = [f"{bits}C{n}" for bits in ("8U", "8S", "16U", "16S", "32S", "32F", "64F")
           for n in range(1, 5)]  # fmt: skip
BAYER = [f"bayer_{order}{bits}" for order in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)]
OTHERS = ["rgb8", "rgba8", "rgb16", "rgba16", "bgr8", "bgra8", "bgr16", "bgra16", "mono8", "mono16",
          "mono10", "mono12", "uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21", "nv24",
          "yuv420", "i420"]  # fmt: skip
REFUSED = {*NUMBERS, "nv24"} - {"8UC1", "8UC3", "8UC4"}


@pytest.mark.parametrize("name", NUMBERS + BAYER + OTHERS)
def test_every_encoding_of_ros_is_used_or_refused_by_name(name: str) -> None:
    image = message("mono8", np.full((6 * 8, 64), 128, np.uint8))
    image.encoding, image.height, image.width = name, 4, 8
    image.step = 64
    if name in REFUSED:
        with pytest.raises(ImageError, match=f"'{name}'"):
            decode_colour(image)
    else:
        assert decode_colour(image).shape == (4, 8, 3)


def test_planar_colour_is_that_of_the_picture() -> None:
    i420 = cv2.cvtColor(COLOUR, cv2.COLOR_RGB2YUV_I420)
    y, u, v = i420[:32], i420[32:40].reshape(-1), i420[40:].reshape(-1)
    for name, chroma in (
        ("yuv420", i420[32:]),
        ("nv12", np.stack([u, v], axis=-1).reshape(16, 32)),
        ("nv21", np.stack([v, u], axis=-1).reshape(16, 32)),
    ):
        image = message(name, np.concatenate([y, chroma]))
        image.height = 32
        assert np.abs(decode_colour(image).astype(int) - COLOUR).max() <= 6
        image.height = 31
        with pytest.raises(ImageError, match="31"):
            decode_colour(image)


def tiff(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (tiff(Image.fromarray(RGB), tiffinfo={0x0112: 6}), "orientation 6"),
        (tiff(Image.fromarray(np.dstack([RGB, GREY]))), "alpha"),
        (tiff(Image.fromarray(255 - GREY), tiffinfo={0x0106: 0}), "kind 0"),
        (tiff(Image.fromarray(RGB).convert("LAB")), "kind 8"),
    ],
)
def test_a_tiff_whose_pixels_would_be_others_than_those_stored_is_refused(data, named) -> None:
    with pytest.raises(ImageError, match=named):
        decode_compressed(data)


@pytest.mark.skipif(cv2.__version__.startswith("4.6."), reason="OpenCV 4.6 tells it past its log")
def test_of_a_tiff_nothing_is_said_beside_the_error(capfd) -> None:
    assert np.array_equal(decode_compressed(tiff(Image.fromarray(RGB), tiffinfo={65000: "x"})), RGB)
    data = tiff(Image.fromarray(RGB))
    with pytest.raises(ImageError, match="damaged"):
        decode_compressed(data[: len(data) // 2])
    assert capfd.readouterr() == ("", "")


def test_plain_tiffs_are_read_as_stored() -> None:
    assert np.array_equal(decode_compressed(tiff(Image.fromarray(RGB))), RGB)
    for pixels in (RGB[..., ::-1], np.dstack([RGB[..., ::-1], GREY])):  # as image_transport does
        assert np.array_equal(decode_compressed(encoded(".tiff", pixels)), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_and_messages_are_read_alike_whatever_exif_says(tmp_path, orientation: int) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(path, quality=95, exif=exif)
    assert np.array_equal(read_rgb(path), decode_compressed(path.read_bytes()))
    assert np.abs(read_rgb(path).astype(int) - RGB).mean() < 4  # as stored
    assert read_header(path).orientation == orientation


def test_files_and_messages_of_any_depth_and_kind_are_read_alike(tmp_path) -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (8, 1))
    pictures = {
        "grey.png": (Image.fromarray(ramp), "mono8; png compressed "),
        "grey16.png": (Image.fromarray(ramp.astype(np.uint16) << 8), "mono16; png compressed "),
        "alpha.png": (Image.fromarray(np.dstack([ramp] * 4)), "png"),
        "palette.png": (Image.fromarray(ramp).convert("P"), "png"),
    }
    for name, (picture, text) in pictures.items():
        picture.save(tmp_path / name)
        found = read_rgb(tmp_path / name)
        assert np.array_equal(found, decode_compressed((tmp_path / name).read_bytes()))
        assert np.array_equal(found, np.dstack([ramp] * 3)), name
        assert read_header(tmp_path / name).format_text == text
    two = {"save_all": True, "append_images": [Image.fromarray(255 - RGB)]}  # as phones do
    Image.fromarray(RGB).save(tmp_path / "two.jpg", "MPO", **two)
    assert read_header(tmp_path / "two.jpg").format_text == "rgb8; jpeg compressed bgr8"
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "cmyk.jpg")
    data = (tmp_path / "cmyk.jpg").read_bytes()
    assert np.array_equal(read_rgb(tmp_path / "cmyk.jpg"), decode_compressed(data))


def test_a_jpeg_may_have_more_behind_its_end(tmp_path) -> None:
    jpeg = encoded(".jpg", RGB)
    assert decode_compressed(jpeg + bytes(5000)).shape == RGB.shape
    with pytest.raises(ImageError, match="cut off"):
        decode_compressed(jpeg[:-2] + bytes(5000))


def test_a_pointer_or_a_page_in_place_of_an_image_is_named(tmp_path) -> None:
    for content, named in (
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
    ):
        (tmp_path / "a.png").write_bytes(content)
        for read in (read_rgb, read_label):
            with pytest.raises(ImageError, match=rf"a\.png.*{named}"):
                read(tmp_path / "a.png")
