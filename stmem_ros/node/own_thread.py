"""Work with the network beside the thread that segments, leaving no OpenMP team behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_own_thread(work: Callable[[], T]) -> T:
    """Call ``work`` in a thread that ends with it; its result, or what it raised.

    OpenMP keeps a team of worker threads for each thread that has used it. Where all teams together
    are more than the cores, GNU's runtime lets them sleep between two parallel regions rather than
    spin; a frame has some four hundred, and waking up costs it 15 % on two cores. So a model that
    one thread is to run is loaded neither by the main thread nor by any other that stays.
    """
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(work).result()
