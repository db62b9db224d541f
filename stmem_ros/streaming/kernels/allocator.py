"""The C library's allocator, told to keep what frames need again.

That concerns a whole process, so it is for processes of our own: the node, ``stmem`` and its
workers. A stream that is pushed in someone else's process leaves the allocator as it is.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8

SETTLED = 10  # looks, after which frames have taken again what they need
GROWTH = 1.015


@cache
def keep_freed_memory() -> None:
    """Have this process keep memory that was freed, for the next frame.

    glibc gives every tensor above 32 MB pages of its own and hands them back with it; the system
    clears them anew each time, which takes a third of a frame of 1280 x 960. After this call the
    process stays as large as it ever was. Threads that were started before keep heaps of their own,
    which still shrink: a process calls it first. Without glibc it does nothing.
    """
    if (mallopt := _of_glibc("mallopt")) is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_ARENA_MAX, 1)


class HeldMemory:
    """Memory of a process that keeps what is freed, so that it stays about as large as it is.

    Whatever is unlike the rest (images of another size, many that come at once) scatters the heap a
    little more, so that a process that keeps it creeps upwards. Where it has grown by ``GROWTH``,
    freed memory is given back once; that costs the next frame half its time. What frames take again
    within that growth is no new measure: many small steps would be a long way.
    """

    def __init__(self) -> None:
        self._give_back = _of_glibc("malloc_trim")
        self._looks = 0  # since memory was given back
        self._usual = 0  # bytes that frames need

    def look(self) -> bool:
        """For once a second or so, while frames are labelled; whether memory was given back."""
        if self._give_back is None:
            return False
        self._looks += 1
        held = _held_bytes()
        if self._looks == SETTLED and held > GROWTH * self._usual:
            self._usual = held
        if self._looks <= SETTLED or held <= GROWTH * self._usual:
            return False
        self._give_back(0)
        self._looks = 0
        return True


def _of_glibc(name: str) -> Any:
    """A function of glibc, None elsewhere."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _held_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
