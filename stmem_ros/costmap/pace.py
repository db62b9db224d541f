"""How often grids go out."""

from __future__ import annotations

from stmem_ros.costmap.transforms import LATE


class Pace:
    """Lets through what comes no faster than a rate, by stamps, and nothing older than that.

    ``rate``: Hz.
    """

    def __init__(self, rate: float) -> None:
        # A tenth of a period of slack: stamps of a camera at just this rate jitter.
        self._period = 0.9e9 / rate
        self._last: int | None = None

    def due(self, stamp: int) -> bool:
        """Whether something stamped ``stamp`` ns may go out; if so, it has."""
        if self._last is not None and -LATE <= stamp - self._last < self._period:
            return False
        self._last = stamp
        return True

    def reset(self) -> None:
        """Time begins anew."""
        self._last = None
