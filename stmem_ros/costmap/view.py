"""The labels of one image and the camera that took it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stmem_ros.geometry.camera import CameraModel, quarter_turns
from stmem_ros.geometry.ground import meet_ground, squared_norms
from stmem_ros.geometry.rays import ray_table

MIN_CAMERA_HEIGHT = 0.05  # m over the ground
HIGHEST_VIEW = 30.0  # degrees that a camera may look up
HIGHEST_SIDE_VIEW = 5.0  # degrees that a camera on its side may look up
OPTICAL_FRAME = (
    "images must name the camera's optical frame (z forward, y down; REP-103), not its body's"
)
LOWER_EDGE = 0.5  # pixels below its centre, where an obstacle pixel meets the ground


@dataclass(frozen=True)
class LabelledView:
    """The labels of one image and the camera that took it.

    Attributes:
        label, confidence: H x W uint8, as in ``Segmentation``.
        camera: of the same image size.
        camera_from_base: 4 x 4, base frame to the camera's optical frame.
        depth: H x W float32, m along the optical axis, NaN where not known; None without depth.
    """

    label: np.ndarray
    confidence: np.ndarray
    camera: CameraModel
    camera_from_base: np.ndarray
    depth: np.ndarray | None = None

    @property
    def eye(self) -> np.ndarray:
        """Where the camera is in the base frame, x y z, m."""
        return np.linalg.inv(self.camera_from_base)[:3, 3]

    @property
    def lower_rays(self) -> np.ndarray:
        """Rays through the lower edges of the pixels, H x W x 3 in the optical frame, z = 1."""
        return ray_table(self.camera, LOWER_EDGE)

    def turned(self, turns: int) -> LabelledView:
        """The view of a camera that is turned clockwise, its image the other way by np.rot90."""
        return LabelledView(
            label=turn_image(self.label, turns),
            confidence=turn_image(self.confidence, turns),
            camera=self.camera.turned(turns),
            camera_from_base=quarter_turns(turns) @ self.camera_from_base,
            depth=None if self.depth is None else turn_image(self.depth, turns),
        )

    def in_frame(self, base_from_frame: np.ndarray) -> LabelledView:
        """The same view with another frame in place of the base, given by its pose there, 4 x 4."""
        return replace(self, camera_from_base=self.camera_from_base @ base_from_frame)


def turn_image(image: np.ndarray, turns: int) -> np.ndarray:
    """An image turned counter-clockwise by quarter turns."""
    return np.ascontiguousarray(np.rot90(image, turns))


def turns_upright(camera_from_base: np.ndarray) -> int:
    """Quarter turns (np.rot90) after which the rows of a camera's image run down."""
    right, down, _ = camera_from_base[:3, :3] @ (0, 0, -1)  # where down is, in the optical frame
    return round(np.arctan2(-right, down) / (np.pi / 2)) % 4


def check_optical_frame(camera_from_base: np.ndarray) -> None:
    """Refuse a frame that is a camera body's: x forward, y left, z up.

    Taken for an optical frame, it looks up; where the body looks down steeply, it looks up a little
    and is on its side: its x points down. A camera that is mounted on its side like that is told
    from it where it is level or looks down. A body that looks straight down, to five degrees, has
    the frame of such a camera: that cannot be told.

    Raises:
        ValueError: it is.
    """
    right, down, ahead = np.linalg.inv(camera_from_base)[2, :3]  # how far each axis points up
    looks_up = np.degrees(np.arcsin(np.clip(ahead, -1, 1)))
    is_on_side = bool(right < -abs(down))
    if looks_up > (HIGHEST_SIDE_VIEW if is_on_side else HIGHEST_VIEW):
        raise ValueError(
            f"the camera looks up by {looks_up:.0f} degrees{' on its side' * is_on_side}, as the "
            f"frame of a body does that is taken for an optical one: {OPTICAL_FRAME}; check its "
            "transform to the base frame"
        )


def check_ground_in_view(view: LabelledView, max_range: float) -> None:
    """Refuse a camera that cannot say anything about the ground.

    Raises:
        ValueError: it lies in or under the ground, or no pixel shows ground within ``max_range`` m.
    """
    base_from_camera = np.linalg.inv(view.camera_from_base)
    height = base_from_camera[2, 3]
    if height < MIN_CAMERA_HEIGHT:
        raise ValueError(
            f"the camera lies {height:.2f} m over the ground; it must be at least "
            f"{MIN_CAMERA_HEIGHT} m: check its transform to the base frame"
        )
    rows, columns = max(1, view.camera.height // 32), max(1, view.camera.width // 32)
    rays = view.lower_rays[::rows, ::columns].reshape(-1, 3)
    points, meets = meet_ground(rays, view.camera_from_base)
    if not (meets & (squared_norms(points) <= max_range**2)).any():
        looks_up = round(np.degrees(np.arcsin(np.clip(base_from_camera[2, 2], -1, 1))))
        advice = f": {OPTICAL_FRAME}" if looks_up > 0 else ", and its calibration"
        raise ValueError(
            f"the camera sees no ground within {max_range:.0f} m: it lies {height:.2f} m over it "
            f"and looks up by {looks_up} degrees; check its transform to the base frame{advice}"
        )
