"""Image messages and files as arrays, whoever carries them (ROS messages or bag records)."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from stmem_ros.classes import UNLABELLED
from stmem_ros.error_text import error_text
from stmem_ros.io.compressed_format import CompressedFormat, read_format
from stmem_ros.io.encodings import DEPTH, BitDepth, ImageError, encoding_of, to_8_bits, to_rgb
from stmem_ros.io.file_kind import kind_of
from stmem_ros.io.message_data import message_bytes, on_host
from stmem_ros.io.png_file import SIGNATURE, pixels_alone
from stmem_ros.io.tiff_form import why_not_as_stored


class RawImage(Protocol):
    """The fields of sensor_msgs/Image that are read here."""

    encoding: str
    height: int
    width: int
    step: int
    is_bigendian: int
    data: object


FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")  # of compressed images
EXIF_ORIENTATION = 0x0112
MOST_PIXELS = 1 << 26  # of a compressed image: a few bytes may stand for any number of pixels
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # of image files that are read
LABEL_ENCODINGS = ("mono8", "8UC1")
# Grey or colour, 8 or 16 bits, as the file has it. Pixels are taken as they are stored, as those of
# calibrations and labels are: EXIF may say that people should look at them turned.
_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
# What OpenCV logs of an image that it cannot read, or of tags of a TIFF that it does not know.
_set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
_SILENT = 0
_DEPTH_HEADER = struct.Struct("<iff")  # of compressedDepth: codec, and A and B of A / (value - B)


def decode_image(message: Any, depth: BitDepth | None = None) -> np.ndarray:
    """A sensor_msgs/Image or CompressedImage as RGB uint8 H x W x 3.

    Args:
        depth: of the camera, for all of its images; None: this one tells it.

    Raises:
        ImageError: the image cannot be decoded.
    """
    if hasattr(message, "encoding"):
        return decode_colour(message, depth)
    return decode_compressed(message.data, message.format, depth)


def decode_colour(image: RawImage, depth: BitDepth | None = None) -> np.ndarray:
    """A sensor_msgs/Image as RGB uint8 H x W x 3; row padding (``step``) is honoured.

    The result may share memory with the message. ``depth`` as of :func:`decode_image`.

    Raises:
        ImageError: unsupported encoding, or sizes that contradict each other.
    """
    encoding = encoding_of(image.encoding)
    if (encoding.channels == 2 or encoding.planar) and image.width % 2:
        raise ImageError(f"{image.encoding} image is {image.width} pixels wide; it must be even")
    rows = image.height
    if encoding.planar:
        if image.height % 2:
            raise ImageError(f"{image.encoding} image is {rows} pixels high; it must be even")
        rows += image.height // 2
    pixels = _pixels(image, encoding.dtype, encoding.channels, rows)
    return to_rgb(pixels, image.encoding, depth or BitDepth())


def decode_depth(message: Any) -> np.ndarray:
    """A depth image of REP-118 as float32 metres H x W, NaN where there is no measurement.

    Args:
        message: sensor_msgs/Image, or CompressedImage of ``compressedDepth`` or of a 16-bit PNG.

    Raises:
        ImageError: unsupported encoding, or sizes that contradict each other.
    """
    if not hasattr(message, "encoding"):
        return _compressed_depth(message.data, read_format(message.format))
    if message.encoding not in DEPTH:
        raise ImageError(
            f"depth encoding {message.encoding!r} is not supported; supported: 32FC1 (m), "
            "16UC1 (mm)"
        )
    pixels = _pixels(message, DEPTH[message.encoding], 1)
    return pixels if pixels.dtype != np.uint16 else _metres(pixels)


def _metres(millimetres: np.ndarray) -> np.ndarray:
    depth = millimetres / np.float32(1000)
    return np.where(millimetres == 0, np.nan, depth).astype(np.float32)


def _compressed_depth(data: object, said: CompressedFormat) -> np.ndarray:
    title = f"compressed depth of format {said.text!r}"
    if said.encoding not in DEPTH:
        raise ImageError(f"{title} is not supported; supported encodings: {', '.join(DEPTH)}")
    encoded = on_host(message_bytes(data))
    scale, offset = 0.0, 0.0
    if said.is_depth_transport:
        if "rvl" in said.text.lower():
            raise ImageError(f"{title} is not supported; set its codec to png")
        if len(encoded) < _DEPTH_HEADER.size:
            raise ImageError(f"{title} holds {len(encoded)} bytes")
        _, scale, offset = _DEPTH_HEADER.unpack(encoded[: _DEPTH_HEADER.size].tobytes())
        encoded = encoded[_DEPTH_HEADER.size :]
    pixels = _decoded(encoded, title)
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ImageError(f"{title} holds no 16-bit PNG")
    if said.encoding != "32FC1":
        return _metres(pixels)
    if not said.is_depth_transport:
        raise ImageError(f"{title} is not supported; use compressedDepth")
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.float32(scale) / (pixels.astype(np.float32) - np.float32(offset))
    return np.where((pixels == 0) | ~np.isfinite(depth), np.nan, depth).astype(np.float32)


def decode_label(image: RawImage) -> np.ndarray:
    """A mono8 label image as uint8 H x W.

    Raises:
        ImageError: another encoding, or sizes that contradict each other.
    """
    if image.encoding not in LABEL_ENCODINGS:
        raise ImageError(f"label encoding is {image.encoding!r}; it must be mono8")
    return _pixels(image, np.uint8, 1)


def decode_compressed(
    data: object, format_text: str = "", depth: BitDepth | None = None
) -> np.ndarray:
    """The data of a sensor_msgs/CompressedImage (JPEG, PNG, ...) as RGB uint8 H x W x 3.

    Args:
        data: the bytes of an image file.
        format_text: ``format`` of the message (:mod:`stmem_ros.io.compressed_format`).
        depth: as of :func:`decode_image`.

    Raises:
        ImageError: the data are no complete image, or no picture by their format.
    """
    said = read_format(format_text)
    said.check_is_picture()
    encoded = on_host(message_bytes(data))
    named = f" and format {said.text!r}" if said.text else ""
    title = f"compressed image of {len(encoded)} bytes{named}"
    return _rgb(_decoded(encoded, title), said, depth, title)


def read_rgb(path: Path, depth: BitDepth | None = None) -> np.ndarray:
    """An image file as RGB uint8 H x W x 3, pixels as they are stored, whatever EXIF says.

    ``depth`` as of :func:`decode_image`.

    Raises:
        ImageError: missing or damaged.
    """
    return _rgb(_decoded(_bytes_of(path), str(path)), read_format(""), depth, str(path))


def _rgb(
    pixels: np.ndarray, said: CompressedFormat, depth: BitDepth | None, title: str
) -> np.ndarray:
    """Pixels of a file, grey or in OpenCV's order, 8 or 16 bits, as RGB uint8."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{title} holds {pixels.dtype} numbers; pictures have 8 or 16 bits")
    depth = depth or BitDepth()
    pixels = to_8_bits(pixels, depth, said.bits)
    if said.bayer:
        if pixels.ndim == 3 and not said.has_colours and (pixels == pixels[..., :1]).all():
            pixels = np.ascontiguousarray(pixels[..., 0])  # a mosaic in a colour file
        if pixels.ndim == 2:
            return to_rgb(pixels, said.bayer, depth)
    if pixels.ndim == 2:
        if said.encoding.startswith(("yuv", "uyvy", "yuyv", "nv")):
            raise ImageError(f"{title} holds grey pixels, which cannot be {said.encoding}")
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return pixels if said.is_swapped else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _bytes_of(path: Path) -> np.ndarray:
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise ImageError(f"{path} is missing or no readable image: {error.strerror}") from error


def _decoded(encoded: np.ndarray, title: str) -> np.ndarray:
    """The pixels of an encoded image, H x W or H x W x 3 in OpenCV's order, as they are stored.

    Raises:
        ImageError: they are no complete image of one of ``FORMATS``.
    """
    # OpenCV fills the missing part of a cut JPEG with grey and says nothing.
    if encoded[:2].tobytes() == b"\xff\xd8" and _is_cut_jpeg(encoded):
        raise ImageError(f"{title} is cut off (no end of JPEG)")
    if encoded[: len(SIGNATURE)].tobytes() == SIGNATURE:
        encoded = pixels_alone(encoded, title)
    with _opened(io.BytesIO(encoded.data), title) as image:
        if image.format == "TIFF" and (why := why_not_as_stored(image)):
            raise ImageError(f"{title} is a TIFF with {why}; save it as PNG, or as plain RGB")
    level = _set_log_level(_SILENT)
    try:
        pixels = cv2.imdecode(encoded, _AS_STORED)
    except cv2.error as error:
        raise ImageError(f"{title} cannot be decoded: {error_text(error)}") from error
    finally:
        _set_log_level(level)
    if pixels is None:
        raise ImageError(f"{title} is damaged, or has a form that OpenCV does not know")
    return pixels


def _is_cut_jpeg(encoded: np.ndarray) -> bool:
    """Whether no end of the image follows its pixels; a phone may write more behind the end."""
    if b"\xff\xd9" in encoded[-1024:].tobytes():
        return False
    data, place = encoded.tobytes(), 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":
        length = int.from_bytes(data[place + 2 : place + 4], "big")  # EXIF may hold a small JPEG
        place += 2 + max(2, length)
    return b"\xff\xd9" not in data[place:]


def read_label(path: Path) -> np.ndarray:
    """A label file as uint8 H x W: grey of 1, 8 or 16 bits, or a palette whose indices are the ids.

    Raises:
        ImageError: missing, damaged, a colour image, or one with numbers that are no ids.
    """
    with _opened(path, str(path)) as image:
        if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
            raise ImageError(
                f"{path} has mode {image.mode}; it must be a grey or palette image: its numbers "
                "(class ids, of a label) count, not its colours"
            )
        label = np.array(image)
        if image.format == "PNG" and image.mode == "L" and (bits := _png_bits(path)) < 8:
            label //= 255 // (2**bits - 1)  # Pillow spreads grey of few bits over 0 to 255
    if label.max(initial=0) > UNLABELLED:
        raise ImageError(f"{path} holds the value {label.max()}; ids are 0 to {UNLABELLED}")
    return label.astype(np.uint8, copy=False)


def _png_bits(path: Path) -> int:
    """Bits of a number in a PNG file."""
    with path.open("rb") as file:
        return file.read(25)[24]


@dataclass(frozen=True)
class ImageHeader:
    """What an image file tells before its pixels are read.

    Attributes:
        width, height: of the stored pixels.
        orientation: of EXIF; 1: people see the pixels as they are stored.
        format_text: ``format`` of a CompressedImage of its bytes.
    """

    width: int
    height: int
    orientation: int
    format_text: str


def read_header(path: Path) -> ImageHeader:
    """What an image file tells of its pixels.

    Raises:
        ImageError: missing, no image, or cut off.
    """
    with _opened(path, str(path)) as image:
        codec = (image.format or "").lower().replace("mpo", "jpeg")  # JPEGs in one, as of phones
        deep = image.format == "PNG" and _png_bits(path) == 16
        known = {
            ("L", False): f"mono8; {codec} compressed ",
            ("RGB", False): f"rgb8; {codec} compressed bgr8",
            ("RGB", True): f"rgb16; {codec} compressed bgr16",
        }
        if deep and image.mode.startswith("I"):
            text = f"mono16; {codec} compressed "
        else:
            text = known.get((image.mode, deep), codec)
        orientation = int(image.getexif().get(EXIF_ORIENTATION, 1))
        if codec == "jpeg" and _is_cut_jpeg(_bytes_of(path)):
            raise ImageError(f"{path} is cut off (no end of JPEG)")
        return ImageHeader(image.width, image.height, orientation, text)


def encoded_size(data: bytes) -> tuple[int, int]:
    """Width and height, pixels as they are stored, of the bytes of an image file.

    Raises:
        ImageError: they are no image.
    """
    with _opened(io.BytesIO(data), f"image of {len(data)} bytes") as image:
        return image.width, image.height


@contextmanager
def _opened(source: Path | io.BytesIO, title: str) -> Iterator[Image.Image]:
    """An image file whose header was read, and whose size is one that may be decoded.

    Raises:
        ImageError: the same for what fails in the ``with`` statement: it is missing or damaged.
    """
    try:
        with _open(source) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ImageError(
                    f"{title} is {image.width} x {image.height} pixels; allowed: at most "
                    f"{MOST_PIXELS} in all"
                )
            yield image
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{title}: {error}; allowed: at most {MOST_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        start = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        kind = kind_of(start) or f"is no {', '.join(FORMATS)} image"
        raise ImageError(f"{title} {kind}") from error
    except Exception as error:  # damaged bytes make any of the decoders fail in its own way
        if reason := getattr(error, "strerror", None):
            raise ImageError(f"{title} is missing or no readable image: {reason}") from error
        raise ImageError(f"{title} is damaged or cut off; copy or make it once more") from error


def _open(source: Path | io.BytesIO) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is told as an error
        return Image.open(source, formats=FORMATS)


def _pixels(image: RawImage, dtype: type, channels: int, rows: int | None = None) -> np.ndarray:
    """The pixels of a raw image without row padding, H x W (x channels), in native byte order.

    ``rows``: of memory, where they are more than those of the image.
    """
    height = image.height if rows is None else rows
    kind = np.dtype(dtype).newbyteorder(">" if image.is_bigendian else "<")
    row = image.width * channels * kind.itemsize
    data = on_host(message_bytes(image.data))
    if not image.width or not image.height:
        raise ImageError(f"image is {image.width} x {image.height} pixels")
    if image.step < row:
        raise ImageError(
            f"{image.encoding} image has a step of {image.step} bytes, but a row of {image.width} "
            f"pixels takes {row}; the driver must fill in the bytes of a row"
        )
    if len(data) < image.step * (height - 1) + row:
        raise ImageError(
            f"{image.encoding} image of {image.width} x {image.height} pixels holds {len(data)} "
            f"bytes with step {image.step}; it needs at least {row * height}"
        )
    if image.step != row or len(data) != row * height:
        strides = np.lib.stride_tricks.as_strided(data, (height, row), (image.step, 1))
        data = np.ascontiguousarray(strides).reshape(-1)
    pixels = data.view(kind).astype(np.dtype(dtype), copy=False)
    shape = (height, image.width) + ((channels,) if channels > 1 else ())
    return pixels.reshape(shape)


def writeable(image: np.ndarray) -> np.ndarray:
    """An image torch may take: bytes of a bag cannot be written to, which it warns of."""
    return image if image.flags.writeable else image.copy()


def encode_jpeg(rgb: np.ndarray, quality: int = 95) -> bytes:
    """An H x W x 3 uint8 image (RGB) as the bytes of a JPEG of ``quality`` (1 to 100)."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def jpeg_coded(image: np.ndarray, quality: int) -> np.ndarray:
    """An H x W x 3 uint8 image as it comes back from JPEG of ``quality`` (1 to 100)."""
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded
