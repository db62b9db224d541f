"""How often something happens at most: grids go out, images are labelled."""

from __future__ import annotations

from stmem_ros.stamps import CLOCK_RESET


class RateLimiter:
    """Accepts what comes no faster than a rate, by stamps, and nothing older than that.

    One may come a tenth of a period early: stamps of a camera at just this rate jitter.

    ``rate``: Hz.
    """

    def __init__(self, rate: float) -> None:
        self._period = round(1e9 / rate)
        self._tolerance = self._period // 10
        self._last_stamp: int | None = None
        self._next_stamp = 0

    def accepts(self, stamp: int) -> bool:
        """Whether something stamped ``stamp`` ns may go out; if so, it counts as sent."""
        if not self.is_due(stamp):
            return False
        following = stamp + self._period
        if not self._begins_anew(stamp):
            # A period after the next one, so that many early ones are not more than the rate.
            following = max(self._next_stamp + self._period, following - self._tolerance)
        self._next_stamp = following
        self._last_stamp = stamp
        return True

    def is_due(self, stamp: int) -> bool:
        """Whether ``accepts`` would say so, if it were asked."""
        return self._begins_anew(stamp) or stamp >= self._next_stamp - self._tolerance

    def reset(self) -> None:
        """Time begins anew."""
        self._last_stamp = None

    def _begins_anew(self, stamp: int) -> bool:
        return self._last_stamp is None or stamp < self._last_stamp - CLOCK_RESET
