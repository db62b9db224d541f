"""Images that stand still while the base moves: a camera, or its driver, that hangs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stmem_ros.io.fingerprint import fingerprint

MOVED = 0.3  # m
TURNED = 0.1  # rad
FEW_VALUES = 16  # a drawn image of flat areas has fewer, and looks the same from many places


class StillImagesError(ValueError):
    """A camera sends one image again and again; the message tells how far the base moved."""


@dataclass
class _Seen:
    """An image, the pose of the base in odom, 4 x 4, when it came first, and how far it got since.

    The farthest counts: a camera that hangs is not well again where the base comes back.
    """

    fingerprint: int
    pose: np.ndarray
    distance: float = 0.0  # m
    angle: float = 0.0  # rad
    values: int | None = None  # how many it has that differ; counted when that matters

    def follow(self, pose: np.ndarray) -> None:
        motion = np.linalg.inv(self.pose) @ pose
        angle = float(np.arccos(np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1)))
        self.distance = max(self.distance, float(np.linalg.norm(motion[:3, 3])))
        self.angle = max(self.angle, angle)


class StillImages:
    """The newest image of each camera, and where the base was when it came first."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def check(self, camera: str, rgb: np.ndarray, odom_from_base: np.ndarray | None) -> None:
        """Take note of an image.

        Raises:
            StillImagesError: its pixels are those of images from where the base is no more.
        """
        if odom_from_base is None:
            return
        pixels = fingerprint(np.ascontiguousarray(rgb).data)
        seen = self._seen.get(camera)
        if seen is None or seen.fingerprint != pixels:
            self._seen[camera] = _Seen(pixels, odom_from_base)
            return
        seen.follow(odom_from_base)
        if seen.distance <= MOVED and seen.angle <= TURNED:
            return
        if seen.values is None:
            seen.values = len(np.unique(rgb))
        if seen.values >= FEW_VALUES:
            raise StillImagesError(
                f"the image has the same pixels as before, though the base moved "
                f"{seen.distance:.1f} m and turned {np.degrees(seen.angle):.0f} degrees since"
            )
