"""A queue in which only the newest of each key is still worth working on."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

N = TypeVar("N")
T = TypeVar("T")
INTERVAL = 0.01  # s between two looks at an item that is waited for


@dataclass
class _Line(Generic[N, T]):
    """What came of one key, in order: notes, each with its item, None where it was dropped.

    ``since``: when the first item was looked at and was not due, monotonic s; None: it was not.
    """

    entries: deque[tuple[N, T | None]] = field(default_factory=deque)
    since: float | None = None
    replaced: int = 0


class LatestLabelsQueue(Generic[N, T]):
    """Notes in the order of their key, each with an item that newer ones of the key replace.

    Notes are small and all come out. Of the items of a key two are kept: the one that is waited
    for, because it was not due when it was looked at, and the newest. Keys take turns, so that one
    whose items are not due, or are many, holds up no other.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line[N, T]] = {}  # the one that was served longest ago first
        self._changed = threading.Condition()

    def put(self, key: str, note: N, item: T) -> None:
        """Leave a note and its item; it takes the place of one that nobody has looked at."""
        with self._changed:
            line = self._lines.setdefault(key, _Line())
            is_awaited = line.since is not None and len(line.entries) == 1
            if line.entries and not is_awaited:
                line.entries[-1] = line.entries[-1][0], None
                line.replaced += 1
            line.entries.append((note, item))
            self._changed.notify()

    def take(
        self, timeout: float, is_due: Callable[[T, float], bool] = lambda item, waited: True
    ) -> tuple[N, T | None] | None:
        """The next note with its item, None if that was dropped.

        Waits up to ``timeout`` seconds for one; None if none came.

        Args:
            is_due: whether an item that was waited for so many seconds may be taken.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while (found := self._next(is_due)) is None:
                left = end - time.monotonic()
                if left <= 0:
                    return None
                is_awaited = any(line.since is not None for line in self._lines.values())
                self._changed.wait(min(left, INTERVAL) if is_awaited else left)
            return found

    def _next(self, is_due: Callable[[T, float], bool]) -> tuple[N, T | None] | None:
        now = time.monotonic()
        for key, line in self._lines.items():
            if not line.entries:
                continue
            item = line.entries[0][1]
            if item is not None:
                line.since = now if line.since is None else line.since
                if not is_due(item, now - line.since):
                    continue
                line.since = None
                self._lines[key] = self._lines.pop(key)  # the last from now on
            return line.entries.popleft()
        return None

    def replaced(self, key: str) -> int:
        """Items of a key that were dropped for newer ones."""
        with self._changed:
            return self._lines[key].replaced if key in self._lines else 0
