"""Which way the ground under the base slopes, and how the base leans on it.

A base that is one with the body (``base_link``) nods and leans as it drives; odometry or an IMU
tells how it lies, not what of that is the ground's slope. But wheels stay on the ground, so the
path of the base runs along it. What the path climbs is slope, what else the base does is lean.
"""

from __future__ import annotations

from collections import deque

import numpy as np

ALONG = 3.0  # m of path, of which the slope is taken; the longer, the less noise of odometry counts
ACROSS = 20.0  # m of path, over which the base's lean sideways is averaged
STEP = 0.1  # m; a base that moved less tells nothing new


class GroundSlope:
    """The plane through the base's origin that the vehicle drives on.

    Where it begins it lies as the base does; along the path as the path does; across it as the base
    does on average, as of that no path tells.
    """

    def __init__(self) -> None:
        self._normal: np.ndarray | None = None  # in odom
        # Places of the base in odom: ALONG, or less of it where it drives in a small circle.
        self._path: deque[np.ndarray] = deque(maxlen=round(2 * ALONG / STEP))

    def reset(self) -> None:
        """Begin anew, with the next pose."""
        self._normal = None
        self._path.clear()

    def follow(self, odom_from_base: np.ndarray) -> None:
        """Take in the next pose, 4 x 4."""
        up, place = odom_from_base[:3, 2], odom_from_base[:3, 3]
        if self._normal is None:
            self._normal = up
            self._path.append(place)
        step = np.linalg.norm(place - self._path[-1])
        if step < STEP:
            return
        self._path.append(place)
        while len(self._path) > 2 and np.linalg.norm(place - self._path[1]) >= ALONG:
            self._path.popleft()
        run = place - self._path[0]
        length = np.linalg.norm(run)
        if length >= ALONG:
            normal = up + np.exp(-step / ACROSS) * (self._normal - up)
            normal = normal - (normal @ run) * run / length**2
            self._normal = normal / np.linalg.norm(normal)

    def base_from_ground(self, odom_from_base: np.ndarray) -> np.ndarray:
        """4 x 4, from a frame with the base's origin and heading whose z = 0 is the ground."""
        pose = np.eye(4)
        if self._normal is not None:
            x, y, z = odom_from_base[:3, :3].T @ self._normal
            # The shortest turn that takes the z axis to the normal.
            cross = np.array([[0, 0, x], [0, 0, y], [-x, -y, 0]])
            pose[:3, :3] += cross + cross @ cross / (1 + z)
        return pose
