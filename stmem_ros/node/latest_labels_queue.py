"""A queue in which only the newest of each key is still worth working on."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

N = TypeVar("N")
T = TypeVar("T")


class LatestLabelsQueue(Generic[N, T]):
    """Notes in the order they came, each with an item that newer ones of its key replace.

    Notes are small and all come out; of the items of a key only the newest is kept.
    """

    def __init__(self) -> None:
        self._notes: deque[tuple[str, N]] = deque()
        self._items: dict[str, tuple[N, T]] = {}  # the newest of each key, with its note
        self._replaced: dict[str, int] = {}
        self._changed = threading.Condition()

    def put(self, key: str, note: N, item: T) -> None:
        """Leave a note and its item; an item of the key that was still waiting is dropped."""
        with self._changed:
            if key in self._items:
                self._replaced[key] = self._replaced.get(key, 0) + 1
            self._notes.append((key, note))
            self._items[key] = note, item
            self._changed.notify()

    def take(self, timeout: float) -> tuple[N, T | None] | None:
        """The oldest note with its item, None if that was dropped.

        Waits up to ``timeout`` seconds for one; None if none came.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._notes), timeout):
                return None
            key, note = self._notes.popleft()
            if key in self._items and self._items[key][0] is note:
                return note, self._items.pop(key)[1]
            return note, None

    def replaced(self, key: str) -> int:
        """Items of a key that were dropped for newer ones."""
        with self._changed:
            return self._replaced.get(key, 0)
