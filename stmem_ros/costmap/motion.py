"""Whether odometry can be believed: the motion of the base from image to image."""

from __future__ import annotations

import numpy as np

from stmem_ros.stamps import CLOCK_RESET

MAX_SPEED = 70.0  # m/s; a base that moved faster has jumped
MAX_TURN_RATE = 2 * np.pi  # rad/s; so has one that turned faster
POSITION_SLACK = 1.0  # m, of odometry that corrects itself
HEADING_SLACK = 0.2  # rad, the same


class BaseMotion:
    """The newest pose of the base in odom, and the judgement of the next one.

    Attributes:
        stamp: of the newest pose, s; None before the first one.
    """

    def __init__(self) -> None:
        self.stamp: float | None = None
        self._pose: np.ndarray | None = None
        self._jumped_to: np.ndarray | None = None  # until it is sure that odometry stays there

    def reset(self) -> None:
        """Forget where the base was."""
        self.stamp = self._pose = self._jumped_to = None

    def begins_anew(self, stamp: float, odom_from_base: np.ndarray) -> bool:
        """Whether nothing leads from the newest pose to this one.

        That is so where there is none yet, where time began anew, and where odometry has settled
        somewhere else.

        Args:
            stamp: seconds.
            odom_from_base: 4 x 4.

        Raises:
            ValueError: odometry jumped just now; the next pose tells whether it stays there.
        """
        if self.stamp is None or self._pose is None or self.stamp - stamp > CLOCK_RESET / 1e9:
            return True
        seconds = abs(stamp - self.stamp)
        if _is_reachable(self._pose, odom_from_base, seconds):
            self._jumped_to = None
            return False
        stays = self._jumped_to is not None and _is_reachable(
            self._jumped_to, odom_from_base, seconds
        )
        self._jumped_to = odom_from_base
        if not stays:
            distance, angle = _displacement(self._pose, odom_from_base)
            raise ValueError(
                f"odometry jumped by {distance:.1f} m and {np.degrees(angle):.0f} degrees in "
                f"{seconds:.2f} s; if it stays there the grid begins anew"
            )
        return True

    def follow(self, stamp: float, odom_from_base: np.ndarray) -> None:
        """Take a pose, of seconds and 4 x 4, for the newest one."""
        self.stamp, self._pose = stamp, odom_from_base


def _displacement(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """How far a pose moved, m, and turned, rad."""
    cosine = (np.trace(before[:3, :3].T @ after[:3, :3]) - 1) / 2
    distance = np.linalg.norm(after[:3, 3] - before[:3, 3])
    return float(distance), float(np.arccos(np.clip(cosine, -1, 1)))


def _is_reachable(before: np.ndarray, after: np.ndarray, seconds: float) -> bool:
    """Whether a vehicle can have come from one pose to another in some time."""
    distance, angle = _displacement(before, after)
    return (
        distance <= POSITION_SLACK + MAX_SPEED * seconds
        and angle <= HEADING_SLACK + MAX_TURN_RATE * seconds
    )
