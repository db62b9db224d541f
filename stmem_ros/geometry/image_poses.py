"""Where a camera and the base are when an image is taken."""

from __future__ import annotations

import numpy as np

from stmem_ros.geometry.odometry import Odometry
from stmem_ros.geometry.transforms import (
    FramesNotConnectedError,
    TransformError,
    TransformSource,
    frame_name,
)
from stmem_ros.stamps import SECOND

STEP = 0.1  # s
MOST = 50


class ImagePoses:
    """The poses that labels are placed by; it does not wait itself.

    ``patience``: how long late transforms are worth waiting for, s.
    """

    def __init__(
        self, transforms: TransformSource, odom_frame: str, base_frame: str, patience: float
    ) -> None:
        self._transforms = transforms
        self._base_frame = base_frame
        self._patience = patience
        self._odometry = Odometry(transforms, odom_frame, base_frame, patience)

    def lookup(self, camera_frame: str, stamp: int) -> tuple[np.ndarray, np.ndarray | None]:
        """``camera_from_base`` and ``odom_from_base`` at ``stamp`` ns, 4 x 4.

        The second is None on a robot without odometry.

        Raises:
            TransformError: one of them is not known, or not at that time.
        """
        return self._camera_from_base(camera_frame, stamp), self._odometry.lookup(stamp)

    def between(self, before: float | None, stamp: int) -> list[tuple[float, np.ndarray]]:
        """Stamps in s and poses ``odom_from_base`` between two images, oldest first.

        Odometry comes more often than images that are slow or missing. None where those are closer
        than about ``STEP``; at most the newest ``MOST``; times that are not known are left out.

        Args:
            before: stamp of the earlier image, s; None: there is none.
            stamp: of the later one, ns.
        """
        found: list[tuple[float, np.ndarray]] = []
        if before is None:
            return found
        steps = round((stamp / SECOND - before) / STEP)
        for i in range(max(1, steps - MOST), steps):
            seconds = stamp / SECOND - (steps - i) * STEP
            try:
                pose = self._odometry.lookup(round(seconds * SECOND))
            except TransformError:
                continue
            if pose is not None:
                found.append((seconds, pose))
        return found

    def are_awaited(self, camera_frame: str, stamp: int, waited: float) -> bool:
        """Whether one of them is not known yet, and it is worth asking again a little later.

        ``waited``: for how long that was done already, s.
        """
        if waited >= self._patience:
            return False
        try:
            self._camera_from_base(camera_frame, stamp)
        except FramesNotConnectedError:
            return False
        except TransformError:
            return True
        return self._odometry.is_awaited(stamp)

    def _camera_from_base(self, camera_frame: str, stamp: int) -> np.ndarray:
        frame = frame_name(camera_frame)
        try:
            return self._transforms.lookup(frame, self._base_frame, stamp)
        except FramesNotConnectedError as error:
            raise FramesNotConnectedError(
                f"{error}; parameter base_frame must name the robot's frame, which TF joins to the "
                "camera's"
            ) from error
