"""Stamps of messages as nanoseconds, whoever carries them (ROS messages, bag records, bytes)."""

from __future__ import annotations

import struct
from typing import Protocol

SECOND = 10**9  # ns
# ns; what is older than the newest by more is of another time: a bag or a simulation began again.
CLOCK_RESET = SECOND


class Stamp(Protocol):
    """The fields of builtin_interfaces/Time."""

    sec: int
    nanosec: int


def nanoseconds(stamp: Stamp) -> int:
    """A stamp in ns."""
    return stamp.sec * SECOND + stamp.nanosec


def header_stamp(data: bytes) -> int:
    """The stamp, ns, of a serialised message that begins with a header (little-endian CDR)."""
    sec, nanosec = struct.unpack_from("<iI", data, offset=4)
    return sec * SECOND + nanosec
