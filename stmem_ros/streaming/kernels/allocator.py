"""The C library's allocator, told to keep what frames need again.

That concerns a whole process, so it is for processes of our own: the node, ``stmem`` and its
workers. A stream that is pushed in someone else's process leaves the allocator as it is.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


@cache
def keep_freed_memory() -> None:
    """Have this process keep memory that was freed, for the next frame.

    glibc gives every tensor above 32 MB pages of its own and hands them back with it; the system
    clears them anew each time, which takes a third of a frame of 1280 x 960. After this call the
    process stays as large as it ever was. Threads that were started before keep heaps of their own,
    which still shrink: a process calls it first. Without glibc it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_ARENA_MAX, 1)
