"""How often grids go out."""

from __future__ import annotations

from stmem_ros.geometry.transforms import CLOCK_RESET


class Pace:
    """Lets through what comes no faster than a rate, by stamps, and nothing older than that.

    One may come a tenth of a period early: stamps of a camera at just this rate jitter.

    ``rate``: Hz.
    """

    def __init__(self, rate: float) -> None:
        self._period = round(1e9 / rate)
        self._last: int | None = None
        self._next = 0

    def due(self, stamp: int) -> bool:
        """Whether something stamped ``stamp`` ns may go out; if so, it has."""
        early = self._period // 10
        began_anew = self._last is None or stamp < self._last - CLOCK_RESET
        if not began_anew and stamp < self._next - early:
            return False
        following = stamp + self._period
        # A period after the next one was due, so that many early ones are not more than the rate.
        self._next = following if began_anew else max(self._next + self._period, following - early)
        self._last = stamp
        return True

    def reset(self) -> None:
        """Time begins anew."""
        self._last = None
