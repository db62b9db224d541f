"""Images that stand still while the base moves: a camera, or its driver, that hangs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stmem_ros.io.fingerprint import fingerprint

MOVED = 0.5  # m
TURNED = 0.1  # rad


class StillImagesError(ValueError):
    """A camera sends one image again and again; the message tells how far the base moved."""


@dataclass(frozen=True)
class _Seen:
    """An image, and the pose of the base in odom, 4 x 4, when it came first."""

    fingerprint: int
    pose: np.ndarray


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
        motion = np.linalg.inv(seen.pose) @ odom_from_base
        distance = float(np.linalg.norm(motion[:3, 3]))
        angle = float(np.arccos(np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1)))
        if distance > MOVED or angle > TURNED:
            raise StillImagesError(
                f"the image has the same pixels as before, though the base moved {distance:.1f} m "
                f"and turned {np.degrees(angle):.0f} degrees since"
            )
