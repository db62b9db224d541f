"""Where the base is in the odometry frame, on robots with odometry and without."""

from __future__ import annotations

import time

import numpy as np

from stmem_ros.geometry.transforms import (
    FramesNotConnectedError,
    TransformError,
    TransformSource,
)

INTERVAL = 0.01  # s between two looks for transforms that do not connect the frames yet


class LostOdometryError(TransformError):
    """Odometry was there before; the message names the frames."""


class Odometry:
    """The base in the odometry frame at a time.

    Where odometry was seen once, it is waited for at each time, and missing it is an error: nothing
    is to be placed elsewhere meanwhile. Before that, it is waited for once: a robot without it is
    not kept waiting at each image.

    Args:
        patience: how long it is waited for before it was seen, all times together, s.
    """

    def __init__(
        self, transforms: TransformSource, odom_frame: str, base_frame: str, patience: float
    ) -> None:
        self._transforms = transforms
        self._odom_frame = odom_frame
        self._base_frame = base_frame
        self._patience = patience
        self._was_seen = False

    def lookup(self, stamp: int, timeout: float) -> np.ndarray | None:
        """The base at ``stamp`` ns as a pose 4 x 4 in odom; None on a robot without odometry.

        Waits up to ``timeout`` seconds.

        Raises:
            LostOdometryError: no transforms connect the frames any more.
            TransformError: they do, but not at that time.
        """
        wait = timeout if self._was_seen else min(timeout, self._patience)
        end = time.monotonic() + wait
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                pose = self._transforms.lookup(self._odom_frame, self._base_frame, stamp, left)
            except FramesNotConnectedError:
                if left:
                    time.sleep(min(INTERVAL, left))
                    continue
                break
            except TransformError:
                self._was_seen = True
                raise
            self._was_seen = True
            return pose
        if not self._was_seen:
            self._patience -= wait
            return None
        raise LostOdometryError(
            f"odometry is lost: no transforms connect {self._base_frame!r} to "
            f"{self._odom_frame!r} any more"
        )
