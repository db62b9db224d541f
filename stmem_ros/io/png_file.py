"""PNG files: their parts, and what of them a decoder needs.

Files from other programs carry colour profiles, texts and animations, often wrong ones. They say
nothing about the pixels, so that they are left out rather than decoded.
"""

from __future__ import annotations

import zlib

import numpy as np

from stmem_ros.io.encodings import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # all that a decoder must know, by the standard
_FRAME = 12  # bytes of a part besides its content: length and name before it, a check sum after it


def pixels_alone(encoded: np.ndarray, title: str) -> np.ndarray:
    """The bytes (uint8) of a PNG with nothing but its pixels.

    Args:
        title: of the image, for messages.

    Raises:
        ImageError: it is cut off, damaged, or has parts that only its maker's programs know.
    """
    data = memoryview(encoded.tobytes())
    kept, place, name = [data[: len(SIGNATURE)]], len(SIGNATURE), b""
    while name != b"IEND":
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + _FRAME + length
        name = bytes(data[place + 4 : place + 8])
        if len(data) < end:
            raise ImageError(f"{title} is cut off (no end of PNG)")
        if name in _PIXELS:
            check_sum = int.from_bytes(data[end - 4 : end], "big")
            if zlib.crc32(data[place + 4 : end - 4]) != check_sum:
                raise ImageError(
                    f"{title} is a damaged PNG: the check sum of its part {name.decode()} at byte "
                    f"{place} is wrong"
                )
            kept.append(data[place:end])
        elif not name[:1].islower():  # the first letter tells what a decoder may leave out
            raise ImageError(
                f"{title} is a damaged PNG, or none by the standard: it has a part {name!r} at "
                f"byte {place}; save it anew"
            )
        place = end
    if sum(map(len, kept)) == len(data):
        return encoded
    return np.frombuffer(b"".join(kept), np.uint8)
