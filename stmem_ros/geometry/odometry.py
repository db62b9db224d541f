"""Where the base is in the odometry frame, on robots with odometry and without."""

from __future__ import annotations

import time

import numpy as np

from stmem_ros.geometry.transforms import (
    FramesNotConnectedError,
    TransformError,
    TransformSource,
)


class LostOdometryError(TransformError):
    """Odometry was there before; the message names the frames."""


class Odometry:
    """The base in the odometry frame at a time.

    Where odometry was seen once, it is awaited at each time, and missing it is an error: nothing is
    to be placed elsewhere meanwhile. Before that, it is awaited once: a robot without it is not
    kept waiting at each image.

    Args:
        patience: how long it is awaited before it was seen, all times together, s.
    """

    def __init__(
        self, transforms: TransformSource, odom_frame: str, base_frame: str, patience: float
    ) -> None:
        self._transforms = transforms
        self._odom_frame = odom_frame
        self._base_frame = base_frame
        self._patience = patience
        self._was_seen = False
        self._awaited_since: float | None = None  # monotonic s; None: nobody has asked yet

    def lookup(self, stamp: int) -> np.ndarray | None:
        """The base at ``stamp`` ns as a pose 4 x 4 in odom; None on a robot without odometry.

        Raises:
            LostOdometryError: no transforms connect the frames any more.
            TransformError: they do, but not at that time.
        """
        try:
            pose = self._transforms.lookup(self._odom_frame, self._base_frame, stamp)
        except FramesNotConnectedError:
            if not self._was_seen:
                return None
            raise LostOdometryError(
                f"odometry is lost: no transforms connect {self._base_frame!r} to "
                f"{self._odom_frame!r} any more"
            ) from None
        except TransformError:
            self._was_seen = True
            raise
        self._was_seen = True
        return pose

    def is_awaited(self, stamp: int) -> bool:
        """Whether ``lookup`` has no pose yet and it is worth asking again a little later."""
        now = time.monotonic()
        if self._awaited_since is None:
            self._awaited_since = now
        try:
            pose = self.lookup(stamp)
        except TransformError:
            return True
        return pose is None and now - self._awaited_since < self._patience
