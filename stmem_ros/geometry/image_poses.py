"""Where a camera and the base are when an image is taken."""

from __future__ import annotations

import numpy as np

from stmem_ros.geometry.odometry import Odometry
from stmem_ros.geometry.transforms import (
    FramesNotConnectedError,
    TransformError,
    TransformSource,
)


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
        return self._transforms.lookup(camera_frame.lstrip("/"), self._base_frame, stamp)
