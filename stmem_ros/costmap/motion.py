"""Whether odometry can be believed: the motion of the base from image to image."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from pytransform3d.rotations import compact_axis_angle_from_matrix, matrix_from_compact_axis_angle

# What a base that moves on as it did may be away from where it is expected.
POSITION_SLACK = 0.5  # m
HEADING_SLACK = 0.2  # rad
MAX_ACCELERATION = 10.0  # m/s^2; of full braking
MAX_ANGULAR_ACCELERATION = 5.0  # rad/s^2
# Where it is not known how it moves.
MAX_SPEED = 70.0  # m/s
MAX_TURN_RATE = np.pi  # rad/s
BASELINE = 0.03  # s; a shorter time between two poses tells no velocity


@dataclass(frozen=True)
class _Pose:
    """Where the base was: stamp in s, and 4 x 4 in odom."""

    stamp: float
    matrix: np.ndarray


@dataclass(frozen=True)
class _Velocity:
    """Of the base in its own frame, m/s and rad/s, the mean over ``seconds``."""

    linear: np.ndarray
    angular: np.ndarray
    seconds: float


@dataclass(frozen=True)
class _Error:
    """How far a pose is from the expected one: m and rad."""

    distance: float
    angle: float

    @property
    def size(self) -> float:
        """Both together."""
        return self.distance / POSITION_SLACK + self.angle / HEADING_SLACK


class BaseMotion:
    """The newest poses of the base in odom, and the judgement of the next one.

    A base moves on as it did before, within what it can accelerate. What is farther away is refused
    once; then it is joined to where odometry jumped to, or to the poses before, whichever is
    nearer. That time passes makes no pose good: a jump is followed by a grid that begins anew.

    Attributes:
        stamp: of the newest pose, s; None before the first one.
    """

    def __init__(self) -> None:
        self._history: deque[_Pose] = deque()  # the newest last, as many as tell a velocity
        self._jumped_to: _Pose | None = None  # until it is sure that odometry stays there
        self._settled: float | None = None  # stamp of the first pose after the newest jump

    @property
    def stamp(self) -> float | None:
        return self._history[-1].stamp if self._history else None

    def reset(self) -> None:
        """Forget where the base was."""
        self._history.clear()
        self._jumped_to = self._settled = None

    def begins_anew(self, stamp: float, odom_from_base: np.ndarray) -> bool:
        """Whether nothing leads from the newest pose to this one.

        That is so where there is none yet, and where odometry has settled somewhere else.

        Args:
            stamp: seconds; may lie before the newest one.
            odom_from_base: 4 x 4.

        Raises:
            ValueError: odometry jumped just now, and the next pose tells whether it stays there; or
                the pose is one of before the newest jump.
        """
        if not self._history:
            return True
        if self._settled is not None and stamp < self._settled:
            raise ValueError(
                f"the image is {self._settled - stamp:.2f} s older than the newest jump of odometry"
            )
        pose, newest, velocity = _Pose(stamp, odom_from_base), self._history[-1], self._velocity()
        error, jumped_to = _error(newest, velocity, pose), self._jumped_to
        goes_on = _is_reachable(error, velocity, stamp - newest.stamp)
        if jumped_to is None:
            if goes_on:
                return False
        else:
            stays = _error(jumped_to, velocity, pose)
            if goes_on and error.size < stays.size:
                self._jumped_to = None
                return False
            # The velocity is that of before the jump: it may be another one.
            from_there = _error(jumped_to, None, pose)
            if _is_reachable(from_there, None, stamp - jumped_to.stamp):
                self._history = deque([jumped_to] if jumped_to.stamp < stamp else [])
                self._jumped_to, self._settled = None, min(jumped_to.stamp, stamp)
                return True
        self._jumped_to = pose
        raise ValueError(
            f"odometry jumped by {error.distance:.1f} m and {np.degrees(error.angle):.0f} degrees "
            f"in {abs(stamp - newest.stamp):.2f} s; if it stays there the grid begins anew"
        )

    def follow(self, stamp: float, odom_from_base: np.ndarray) -> None:
        """Take a pose, of seconds and 4 x 4, for the newest one."""
        self._history.append(_Pose(stamp, odom_from_base))
        while len(self._history) > 2 and stamp - self._history[1].stamp >= BASELINE:
            self._history.popleft()

    def _velocity(self) -> _Velocity | None:
        """How the base moved lately, None if that is not known."""
        first, last = self._history[0], self._history[-1]
        seconds = last.stamp - first.stamp
        if seconds < BASELINE:
            return None
        step = np.linalg.inv(first.matrix) @ last.matrix
        turn = compact_axis_angle_from_matrix(step[:3, :3])
        linear = last.matrix[:3, :3].T @ (last.matrix[:3, 3] - first.matrix[:3, 3])
        return _Velocity(linear / seconds, turn / seconds, seconds)


def _error(before: _Pose, velocity: _Velocity | None, pose: _Pose) -> _Error:
    """How far a pose is from the one before, moved on."""
    seconds = pose.stamp - before.stamp
    place, rotation = before.matrix[:3, 3], before.matrix[:3, :3]
    if velocity is not None:
        place = place + rotation @ velocity.linear * seconds
        rotation = rotation @ matrix_from_compact_axis_angle(velocity.angular * seconds)
    cosine = (np.trace(rotation.T @ pose.matrix[:3, :3]) - 1) / 2
    distance = np.linalg.norm(pose.matrix[:3, 3] - place)
    return _Error(float(distance), float(np.arccos(np.clip(cosine, -1, 1))))


def _is_reachable(error: _Error, velocity: _Velocity | None, seconds: float) -> bool:
    """Whether a vehicle can be so far from the expected pose after some time."""
    seconds = abs(seconds)
    if velocity is None:
        distance, angle = MAX_SPEED * seconds, MAX_TURN_RATE * seconds
    else:  # which was that of half of its own time ago
        growth = seconds * (seconds + velocity.seconds) / 2
        distance, angle = MAX_ACCELERATION * growth, MAX_ANGULAR_ACCELERATION * growth
    return error.distance <= POSITION_SLACK + distance and error.angle <= HEADING_SLACK + angle
