"""What is compressed in bags, inflated to the size it claims and no further.

A few bytes may stand for any number of them.
"""

from __future__ import annotations

import bz2
import io
import sys
from collections.abc import Callable
from functools import partial
from typing import IO, Any

import lz4.frame
from rosbags.rosbag1 import reader as rosbag1

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LARGEST = 1 << 28  # bytes of a chunk or a message; those of rosbag2 have a few millions
OPENERS: dict[str, Callable[[Any], IO[bytes] | Any]] = {
    "zstd": zstd.open,
    "lz4": lz4.frame.open,
    "bz2": bz2.open,
}
# What compressed data begin with; no message in CDR begins so.
MAGIC = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


class InflationError(ValueError):
    """Data hold more than they claim or than is allowed, or are damaged."""


def inflate(data: bytes | memoryview, kind: str, size: int = LARGEST) -> bytes:
    """The data of a chunk or a message.

    Args:
        kind: ``zstd``, ``lz4``, ``bz2``; empty: not compressed.
        size: most bytes that it may hold.

    Raises:
        InflationError: it holds more, is damaged, or of another kind.
    """
    if not kind:
        return bytes(data)
    if kind not in OPENERS:
        raise InflationError(f"compression {kind!r} is unknown; allowed: {', '.join(OPENERS)}")
    if size > LARGEST:
        raise InflationError(f"a chunk claims {size} bytes; allowed: at most {LARGEST}")
    try:
        with OPENERS[kind](io.BytesIO(data)) as file:
            inflated = file.read(size + 1)
    except (OSError, EOFError, RuntimeError, ValueError, zstd.ZstdError) as error:
        raise InflationError(f"{kind} data are damaged: {error}") from error
    if len(inflated) > size:
        raise InflationError(f"a chunk holds more than {size} bytes")
    return inflated


def inflate_message(data: bytes) -> bytes:
    """A message of a bag, whether it is compressed by itself or not."""
    kind = MAGIC.get(data[:4])
    return inflate(data, kind) if kind else data


def bound_ros1_chunks() -> None:
    """Let ``rosbags`` keep to the limit in ROS 1 bags, in this process."""
    for kind in ("bz2", "lz4"):
        rosbag1.decompressors[kind] = partial(inflate, kind=kind)
