"""The ring: what is kept of the newest frames of one stream."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Ring(Generic[T]):
    """The last ``capacity`` entries, so that nothing of a frame is computed twice.

    A window that is not full yet is filled by repeating its oldest entry.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: deque[T] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def newest(self) -> T | None:
        return self._entries[-1] if self._entries else None

    def append(self, entry: T) -> None:
        self._entries.append(entry)

    def clear(self) -> None:
        self._entries.clear()

    def window(self) -> list[T]:
        """``capacity`` entries, oldest first."""
        missing = self.capacity - len(self._entries)
        return [self._entries[0]] * missing + list(self._entries)
