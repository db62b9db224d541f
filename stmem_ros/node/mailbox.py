"""A one-place mailbox per camera: the newest image waits, what it replaces is counted."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most one item per key; written by callbacks, emptied by one worker."""

    def __init__(self) -> None:
        self._items: dict[str, T] = {}
        self._dropped: dict[str, int] = {}
        self._changed = threading.Condition()

    def put(self, key: str, item: T) -> None:
        """Leave an item; one that was still waiting is dropped."""
        with self._changed:
            if key in self._items:
                self._dropped[key] = self._dropped.get(key, 0) + 1
            self._items[key] = item
            self._changed.notify()

    def take(self, timeout: float) -> dict[str, T]:
        """All waiting items; waits up to ``timeout`` seconds for the first one."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items), timeout)
            items, self._items = self._items, {}
            return items

    def dropped(self, key: str) -> int:
        """Items of a key that were replaced before they were taken."""
        with self._changed:
            return self._dropped.get(key, 0)
