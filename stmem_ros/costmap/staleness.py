"""Whether a grid still shows the present."""

from __future__ import annotations


class Staleness:
    """A grid is stale once nothing has reached it for a while.

    Times are seconds of one clock, whichever; one that goes back makes nothing stale.

    ``limit``: s; 0: a grid is never stale.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._renewed: float | None = None  # None: there is nothing that could be stale

    def renew(self, now: float) -> None:
        """Something reached the grid."""
        self._renewed = now

    def expires(self, now: float) -> bool:
        """Whether the grid is stale; told once, until something reaches it again."""
        if not self._limit or self._renewed is None or now - self._renewed <= self._limit:
            return False
        self._renewed = None
        return True
