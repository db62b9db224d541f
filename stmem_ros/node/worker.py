"""A thread that works on one item after another, with one that waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """Works on items in the order they are put.

    Args:
        name: of the thread.
        work: called with each item, on the thread; must not raise.
    """

    def __init__(self, name: str, work: Callable[[T], None]) -> None:
        self._work = work
        self._items: Queue[T | None] = Queue(maxsize=1)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Leave an item; waits while another one waits."""
        self._items.put(item)

    def close(self) -> None:
        """End the thread, after what was put."""
        self._items.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            self._work(item)
