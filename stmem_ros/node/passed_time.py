"""A clock for durations: how many seconds have passed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class PassedTime:
    """Seconds that have passed since it was made, of the simulation where there is one.

    It never goes back. A simulation that is paused or slow stops or slows it: nothing is missing
    there only because the machine's clock goes on. Before the first ``/clock`` the machine's clock
    counts.

    Args:
        simulated_time: seconds of the simulation; 0 or less, or None: there is none.
    """

    def __init__(self, simulated_time: Callable[[], float | None]) -> None:
        self._simulated_time = simulated_time
        self._lock = threading.Lock()
        self._passed = 0.0
        self._last = self._read()

    def __call__(self) -> float:
        with self._lock:
            simulated, reading = self._read()
            if simulated == self._last[0]:
                self._passed += max(0.0, reading - self._last[1])
            self._last = simulated, reading
            return self._passed

    def _read(self) -> tuple[bool, float]:
        """Whose time it is, and that time."""
        simulated = self._simulated_time()
        if simulated is not None and simulated > 0:
            return True, simulated
        return False, time.monotonic()
