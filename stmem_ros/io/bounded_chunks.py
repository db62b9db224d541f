"""Compressed chunks of bags, inflated to the size they claim and no further.

``rosbags`` inflates a chunk before it looks at how large it is, and a few bytes may stand for any
number of them.
"""

from __future__ import annotations

import bz2
import io
from collections.abc import Callable
from typing import IO, Any

import lz4.frame
from rosbags.rosbag1 import reader as rosbag1
from rosbags.rosbag2 import storage_mcap as mcap
from rosbags.rosbag2.errors import ReaderError

LARGEST_CHUNK = 1 << 28  # bytes; those of rosbag2 and of the MCAP tools have a few millions

Opener = Callable[[io.BytesIO], IO[bytes] | Any]


def bound_chunks() -> None:
    """Let ``rosbags`` keep to the claimed sizes, in this process."""
    mcap.DECOMPRESSORS["zstd"] = lambda data, size: _inflated(mcap.zstd.open, data, size)
    mcap.DECOMPRESSORS["lz4"] = lambda data, size: _inflated(lz4.frame.open, data, size)
    rosbag1.decompressors["bz2"] = lambda data: _inflated(bz2.open, data, LARGEST_CHUNK)
    rosbag1.decompressors["lz4"] = lambda data: _inflated(lz4.frame.open, data, LARGEST_CHUNK)


def _inflated(opener: Opener, data: bytes, size: int) -> bytes:
    if size > LARGEST_CHUNK:
        raise ReaderError(f"a chunk claims {size} bytes; allowed: at most {LARGEST_CHUNK}")
    with opener(io.BytesIO(data)) as file:
        inflated = file.read(size + 1)
    if len(inflated) > size:
        raise ReaderError(f"a chunk holds more than {size} bytes")
    return inflated
