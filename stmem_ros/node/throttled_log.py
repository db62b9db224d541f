"""A log of what may go wrong with every image."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum

PERIOD = 10.0  # s between two lines of a kind


class Fault(Enum):
    """A kind of what goes wrong; lines of a kind keep their distance, whatever their text."""

    IMAGE = "an image cannot be used"
    LATE = "images come late or twice"
    LOSS = "images are lost on their way"
    NETWORK = "the network fails"
    LABELS = "labels cannot be published"
    COSTMAP = "labels cannot be fused into the costmap"


class ThrottledLog:
    """Logs at most one line every ``PERIOD`` s of each camera and kind; it tells what it left out.

    Args:
        log: takes a line.
        now: a clock, s.
    """

    def __init__(
        self, log: Callable[[str], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._last: dict[tuple[str, Fault], float] = {}
        self._left_out: dict[tuple[str, Fault], int] = {}

    def __call__(self, camera: str, fault: Fault, text: str) -> None:
        """Log a line, or count it."""
        key = camera, fault
        with self._lock:
            now = self._now()
            if key in self._last and now - self._last[key] < PERIOD:
                self._left_out[key] = self._left_out.get(key, 0) + 1
                return
            self._last[key] = now
            left_out = self._left_out.pop(key, 0)
        self._log(f"{text} ({left_out} more like it were not logged)" if left_out else text)
