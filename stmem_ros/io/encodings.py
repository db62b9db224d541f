"""Encodings of sensor_msgs/Image: what the pixels of each are, and how they become RGB."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


class ImageError(ValueError):
    """An image cannot be decoded; the message names what is wrong and what would work."""


@dataclass(frozen=True)
class Encoding:
    """How the pixels of a colour or grey image lie in memory.

    Attributes:
        dtype: of one number.
        channels: numbers per pixel.
        to_rgb: OpenCV's conversion of 8-bit pixels; None: they are RGB already.
        bits: of each number that count; None: told by the brightest pixel (:class:`BitDepth`).
        planar: rows with colour at half the size follow those of the image (4:2:0).
    """

    dtype: type
    channels: int
    to_rgb: int | None
    bits: int | None = 8
    planar: bool = False


# OpenCV names Bayer patterns by the second row's second and third pixel.
BAYER = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
_GREY, _BGR, _BGRA = cv2.COLOR_GRAY2RGB, cv2.COLOR_BGR2RGB, cv2.COLOR_BGRA2RGB
_UYVY, _YUYV = cv2.COLOR_YUV2RGB_UYVY, cv2.COLOR_YUV2RGB_YUYV
ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding(np.uint8, 3, None),
    "bgr8": Encoding(np.uint8, 3, _BGR),
    "rgba8": Encoding(np.uint8, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": Encoding(np.uint8, 4, _BGRA),
    "rgb16": Encoding(np.uint16, 3, None, None),
    "bgr16": Encoding(np.uint16, 3, _BGR, None),
    "rgba16": Encoding(np.uint16, 4, cv2.COLOR_RGBA2RGB, None),
    "bgra16": Encoding(np.uint16, 4, _BGRA, None),
    "mono8": Encoding(np.uint8, 1, _GREY),
    "mono10": Encoding(np.uint16, 1, _GREY, 10),
    "mono12": Encoding(np.uint16, 1, _GREY, 12),
    "mono16": Encoding(np.uint16, 1, _GREY, None),
    "8UC1": Encoding(np.uint8, 1, _GREY),
    "8UC3": Encoding(np.uint8, 3, _BGR),  # colour in OpenCV's order
    "8UC4": Encoding(np.uint8, 4, _BGRA),
    **{f"{pattern}8": Encoding(np.uint8, 1, code) for pattern, code in BAYER.items()},
    **{f"{pattern}16": Encoding(np.uint16, 1, code, None) for pattern, code in BAYER.items()},
    "uyvy": Encoding(np.uint8, 2, _UYVY),
    "yuv422": Encoding(np.uint8, 2, _UYVY),
    "yuyv": Encoding(np.uint8, 2, _YUYV),
    "yuv422_yuy2": Encoding(np.uint8, 2, _YUYV),
    "nv12": Encoding(np.uint8, 1, cv2.COLOR_YUV2RGB_NV12, planar=True),
    "nv21": Encoding(np.uint8, 1, cv2.COLOR_YUV2RGB_NV21, planar=True),
    "yuv420": Encoding(np.uint8, 1, cv2.COLOR_YUV2RGB_I420, planar=True),
    "i420": Encoding(np.uint8, 1, cv2.COLOR_YUV2RGB_I420, planar=True),
}
DEPTH: dict[str, type] = {"32FC1": np.float32, "16UC1": np.uint16, "mono16": np.uint16}
BIT_DEPTHS = (10, 12, 14, 16)  # of cameras that send 16


class BitDepth:
    """How many bits the numbers of one camera have, which sends 16 whatever it measures.

    Told by its brightest pixel so far: it does not go back with a darker image, so that brightness
    does not jump from image to image.
    """

    def __init__(self) -> None:
        self._bits = BIT_DEPTHS[0]

    def of(self, pixels: np.ndarray) -> int:
        """The bits, with the pixels (uint16) of one more image."""
        brightest = int(pixels.max(initial=0))
        while brightest >> self._bits:
            self._bits = BIT_DEPTHS[BIT_DEPTHS.index(self._bits) + 1]
        return self._bits


def encoding_of(name: str) -> Encoding:
    """The encoding of a name.

    Raises:
        ImageError: its pixels are no picture, or not known; the message names those that are.
    """
    if name not in ENCODINGS:
        depth = " as a picture (it is an encoding of depth)" if name in DEPTH else ""
        raise ImageError(
            f"encoding {name!r} is not supported{depth}; supported: {', '.join(ENCODINGS)}"
        )
    return ENCODINGS[name]


def to_rgb(pixels: np.ndarray, name: str, depth: BitDepth) -> np.ndarray:
    """Pixels of an encoding, H x W (x channels), as RGB uint8 H x W x 3.

    ``depth``: of the camera.

    Raises:
        ImageError: the image has a size that this encoding cannot have.
    """
    encoding = encoding_of(name)
    pixels = to_8_bits(pixels, depth, encoding.bits)
    if encoding.to_rgb is None:
        return pixels
    try:
        return cv2.cvtColor(pixels, encoding.to_rgb)
    except cv2.error as error:
        height, width = pixels.shape[:2]
        raise ImageError(
            f"{name} image of {width} x {height} pixels has a size that this encoding cannot have"
        ) from error


def to_8_bits(pixels: np.ndarray, depth: BitDepth, bits: int | None = None) -> np.ndarray:
    """Pixels of 8 or 16 bits as uint8; ``bits`` as of :class:`Encoding`."""
    if pixels.dtype != np.uint16:
        return pixels
    bits = bits or depth.of(pixels)
    return np.minimum(pixels >> (bits - 8), 255).astype(np.uint8)
