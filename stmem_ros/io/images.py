"""Image messages and files as arrays, whoever carries them (ROS messages or bag records)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError


class ImageError(ValueError):
    """An image cannot be decoded; the message names what is wrong and what would work."""


class RawImage(Protocol):
    """The fields of sensor_msgs/Image that are read here."""

    encoding: str
    height: int
    width: int
    step: int
    is_bigendian: int
    data: object


# encoding: dtype, channels, OpenCV conversion to RGB (None: already RGB)
_COLOUR: dict[str, tuple[type, int, int | None]] = {
    "rgb8": (np.uint8, 3, None),
    "bgr8": (np.uint8, 3, cv2.COLOR_BGR2RGB),
    "rgba8": (np.uint8, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": (np.uint8, 4, cv2.COLOR_BGRA2RGB),
    "mono8": (np.uint8, 1, cv2.COLOR_GRAY2RGB),
    "mono16": (np.uint16, 1, cv2.COLOR_GRAY2RGB),
    "8UC1": (np.uint8, 1, cv2.COLOR_GRAY2RGB),
    "8UC3": (np.uint8, 3, cv2.COLOR_BGR2RGB),
    # OpenCV names Bayer patterns by the second row's second and third pixel.
    "bayer_rggb8": (np.uint8, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (np.uint8, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (np.uint8, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (np.uint8, 1, cv2.COLOR_BayerGB2RGB),
    "uyvy": (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": (np.uint8, 2, cv2.COLOR_YUV2RGB_YUYV),
    "yuv422_yuy2": (np.uint8, 2, cv2.COLOR_YUV2RGB_YUYV),
}
_DEPTH: dict[str, type] = {"32FC1": np.float32, "16UC1": np.uint16, "mono16": np.uint16}

COLOUR_ENCODINGS = tuple(_COLOUR)  # that ``decode_colour`` reads
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")  # of compressed images
MOST_PIXELS = 1 << 26  # of a compressed image: a few bytes may stand for any number of pixels
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # of image files that are read


def decode_image(message: Any) -> np.ndarray:
    """A sensor_msgs/Image or CompressedImage as RGB uint8 H x W x 3.

    Raises:
        ImageError: the image cannot be decoded.
    """
    if hasattr(message, "encoding"):
        return decode_colour(message)
    return decode_compressed(message.data)


def decode_colour(image: RawImage) -> np.ndarray:
    """A sensor_msgs/Image as RGB uint8 H x W x 3; row padding (``step``) is honoured.

    The result may share memory with the message.

    Raises:
        ImageError: unsupported encoding, or sizes that contradict each other.
    """
    if image.encoding not in _COLOUR:
        raise ImageError(
            f"encoding {image.encoding!r} is not supported; supported: {', '.join(_COLOUR)}"
        )
    dtype, channels, conversion = _COLOUR[image.encoding]
    pixels = _pixels(image, dtype, channels)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if conversion is None:
        return pixels
    if channels == 2 and image.width % 2:
        raise ImageError(f"{image.encoding} image is {image.width} pixels wide; it must be even")
    return cv2.cvtColor(pixels, conversion)


def decode_depth(image: RawImage) -> np.ndarray:
    """A depth image of REP-118 as float32 metres H x W, NaN where there is no measurement.

    Raises:
        ImageError: unsupported encoding, or sizes that contradict each other.
    """
    if image.encoding not in _DEPTH:
        raise ImageError(
            f"depth encoding {image.encoding!r} is not supported; supported: 32FC1 (m), 16UC1 (mm)"
        )
    pixels = _pixels(image, _DEPTH[image.encoding], 1)
    if pixels.dtype != np.uint16:
        return pixels
    return np.where(pixels == 0, np.nan, pixels / np.float32(1000)).astype(np.float32)


def decode_label(image: RawImage) -> np.ndarray:
    """A mono8 label image as uint8 H x W.

    Raises:
        ImageError: another encoding, or sizes that contradict each other.
    """
    if image.encoding not in ("mono8", "8UC1"):
        raise ImageError(f"label encoding is {image.encoding!r}; it must be mono8")
    return _pixels(image, np.uint8, 1)


def decode_compressed(data: object) -> np.ndarray:
    """The data of a sensor_msgs/CompressedImage (JPEG, PNG, ...) as RGB uint8 H x W x 3.

    Raises:
        ImageError: the data are no complete image.
    """
    encoded = np.frombuffer(data, np.uint8)  # type: ignore[call-overload]
    title = f"compressed image of {len(encoded)} bytes"
    # OpenCV fills the missing part of a cut JPEG with grey and says nothing.
    if encoded[:2].tobytes() == b"\xff\xd8" and b"\xff\xd9" not in encoded[-1024:].tobytes():
        raise ImageError(f"{title} is cut off (no end of JPEG)")
    with _opened(io.BytesIO(encoded), title):
        pass  # its header is as it should be
    try:
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"{title} cannot be decoded: {' '.join(str(error).split())}") from error
    if pixels is None:
        raise ImageError(f"{title} is damaged, or has a form that OpenCV does not know")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_rgb(path: Path) -> np.ndarray:
    """An image file as RGB uint8 H x W x 3.

    Raises:
        ImageError: missing or damaged.
    """
    with _opened(path, str(path)) as image:
        return np.array(image.convert("RGB"))


def read_label(path: Path) -> np.ndarray:
    """A label file (8-bit grey, or a palette image whose indices are the ids) as uint8 H x W.

    Raises:
        ImageError: missing, damaged, or a colour image.
    """
    with _opened(path, str(path)) as image:
        if image.mode not in ("P", "L"):
            raise ImageError(f"{path} has mode {image.mode}; labels are 8-bit grey or palette")
        return np.array(image)


@contextmanager
def _opened(source: Path | io.BytesIO, title: str) -> Iterator[Image.Image]:
    """An image file whose header was read, and whose size is one that may be decoded.

    Raises:
        ImageError: the same for what fails in the ``with`` statement: it is missing or damaged.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
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
        raise ImageError(f"{title} is no {', '.join(FORMATS)} image") from error
    except Exception as error:  # damaged bytes make any of the decoders fail in its own way
        reason = " ".join(str(error).split())
        raise ImageError(f"{title} is missing or no readable image: {reason}") from error


def _pixels(image: RawImage, dtype: type, channels: int) -> np.ndarray:
    """The pixels of a raw image without row padding, H x W (x channels), in native byte order."""
    kind = np.dtype(dtype).newbyteorder(">" if image.is_bigendian else "<")
    row = image.width * channels * kind.itemsize
    data = np.frombuffer(image.data, np.uint8)  # type: ignore[call-overload]
    if not image.width or not image.height:
        raise ImageError(f"image is {image.width} x {image.height} pixels")
    if image.step < row or len(data) < image.step * (image.height - 1) + row:
        raise ImageError(
            f"{image.encoding} image of {image.width} x {image.height} pixels holds {len(data)} "
            f"bytes with step {image.step}; it needs at least {row * image.height}"
        )
    if image.step != row or len(data) != row * image.height:
        strides = np.lib.stride_tricks.as_strided(data, (image.height, row), (image.step, 1))
        data = np.ascontiguousarray(strides).reshape(-1)
    pixels = data.view(kind).astype(np.dtype(dtype), copy=False)
    shape = (image.height, image.width) + ((channels,) if channels > 1 else ())
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
