"""The C library's allocator, told to keep what frames need again."""

from __future__ import annotations

import ctypes

# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
    """Have this process keep memory that was freed, for the next frame.

    glibc gives every tensor above 32 MB (a feature map of a large image, or of several cameras)
    pages of its own and hands them back with it; the system clears them anew each time, which takes
    a third of a frame of 1280 x 960. The process then stays as large as it ever was. To be called
    by programs, once, before threads are started; without glibc it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_ARENA_MAX, 1)
