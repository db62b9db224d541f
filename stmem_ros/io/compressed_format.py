"""What ``format`` of sensor_msgs/CompressedImage says, as image_transport's plugins write it.

``ENCODING; CODEC compressed TARGET``: ENCODING is that of the image before it was compressed,
TARGET that of what the codec was given. Codecs of OpenCV take BGR: a TARGET of ``rgb8`` tells that
red and blue lie exchanged in the file. ``ENCODING; compressedDepth CODEC`` is of depth. Others
write the codec alone, or nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stmem_ros.io.encodings import BAYER, ENCODINGS, ImageError

RGB_JPEG = "rgb8; jpeg compressed bgr8"  # of a JPEG made of a colour image
_NUMBERS = re.compile(r"(8S|16U|16S|32S|32F|64F)C\d+$")  # no pictures: depth, disparity, ...
_STREAM = re.compile(r"h\.?26[45]|hevc|av1|vp[89]|theora|ffmpeg|mpeg")


@dataclass(frozen=True)
class CompressedFormat:
    """What is said of a compressed image.

    Attributes:
        text: all of it, for messages.
        encoding: of the image before; empty: not said.
        target: of what was given to the codec; empty: not said.
        is_depth_transport: the data have the header of ``compressedDepth``.
    """

    text: str
    encoding: str
    target: str
    is_depth_transport: bool

    @property
    def bayer(self) -> str:
        """The encoding of a mosaic once it has 8 bits; empty where the image was none."""
        pattern = self.encoding.lower().removesuffix("16").removesuffix("8")
        return f"{pattern}8" if pattern in BAYER else ""

    @property
    def bits(self) -> int | None:
        """Of each number of 16, as of ``Encoding``; None: not said."""
        return ENCODINGS[self.encoding].bits if self.encoding in ("mono10", "mono12") else None

    @property
    def has_colours(self) -> bool:
        """Whether the codec was given an image in colour."""
        return self.target.startswith(("rgb", "bgr"))

    @property
    def is_swapped(self) -> bool:
        """Whether red and blue lie exchanged in the file."""
        return bool(self.encoding) and self.target.startswith("rgb")

    def check_is_picture(self) -> None:
        """Refuse what no picture comes of.

        Raises:
            ImageError: the message names the format.
        """
        if self.is_depth_transport or _NUMBERS.match(self.encoding):
            raise ImageError(f"format {self.text!r} is of depth or other numbers, not of a picture")
        if _STREAM.search(self.text.lower()):
            raise ImageError(
                f"format {self.text!r} is of a video stream, whose images need those before them; "
                "republish it as JPEG or as raw images"
            )
        if "bayer" in self.encoding.lower() and not self.bayer:
            raise ImageError(
                f"format {self.text!r} has a Bayer pattern that is not known; known: "
                f"{', '.join(BAYER)} of 8 or 16 bits"
            )


def read_format(text: str) -> CompressedFormat:
    """What a ``format`` says; what it does not say stays empty."""
    encoding, separator, rest = text.strip().partition(";")
    if "bayer" in encoding.lower():  # some write the encoding alone
        separator = ";"
    target = re.search(r"\bcompressed\s+(\w+)", rest)
    return CompressedFormat(
        text=text.strip(),
        encoding=encoding.strip() if separator else "",
        target=target[1].lower() if target else "",
        is_depth_transport="compresseddepth" in text.lower(),
    )
