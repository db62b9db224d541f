"""A number for the content of an image, to tell whether it is the one before."""

from __future__ import annotations

import zlib

SAMPLES = 1024  # bytes of an image that are looked at


def fingerprint(data: bytes | bytearray | memoryview) -> int:
    """A number that equal bytes share, and images of a real sensor hardly ever; of a sample."""
    view = memoryview(data).cast("B")
    stride = len(view) // SAMPLES | 1  # odd: else it might be a multiple of a row
    return zlib.crc32(view[::stride].tobytes(), len(view))
