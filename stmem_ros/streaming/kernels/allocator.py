"""The C library's allocator, told to keep what frames need again."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

LARGE = 2**18  # pixels; feature maps take up to 128 bytes for each: 32 MB in all

# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


@cache
def keep_freed_memory() -> None:
    """Have this process keep memory that was freed, for the next frame.

    glibc gives every tensor above 32 MB pages of its own and hands them back with it; the system
    clears them anew each time, which takes a third of a frame of 1280 x 960. A stream calls this
    when its images, or those of several cameras, are ``LARGE``. The process then stays as large as
    it ever was. Threads that were started before keep heaps of their own, which still shrink:
    programs with large images call it first. Without glibc it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_ARENA_MAX, 1)
