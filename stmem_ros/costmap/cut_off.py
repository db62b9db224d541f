"""Where something that moves may stand beside an image whose side cuts it off.

What drives past leaves the image at its side, and stands on ground that was seen free before it
came. How it goes on there is not seen: too little of it is in the image to tell its direction.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.view import LabelledView
from stmem_ros.geometry.ground import squared_norms

LENGTH = 4.5  # m; so far it may reach beyond what is seen of it
WIDER = 0.3  # m; by so much it may be nearer to the camera's axis there
SIDE = 1 / 160  # of the image's width; what reaches so near to its side is cut off
OTHER_DIRECTION = np.cos(np.radians(15))  # of cosines of the optical axes of two cameras
RECENT = 0.5  # s; what another camera saw then, it sees


def cells_beside(
    view: LabelledView, points: np.ndarray, columns: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Indices of cells out of view on which something may stand that a side of the image cuts off.

    Args:
        view: the image.
        points: N x 2, where things that move are seen to stand, base frame, m.
        columns: of the pixels that show them.
        centres: of the cells, M x 2, base frame, m.
    """
    found = [np.empty(0, np.intp)]
    for side, last in _cut_off(view, points, columns):
        near = np.flatnonzero(squared_norms(centres - last) <= LENGTH**2)
        across, ahead = _in_camera(view, centres[near])
        edge_across, edge_ahead = _in_camera(view, last)
        beyond = side * np.arctan2(across, ahead) > side * np.arctan2(edge_across, edge_ahead)
        found.append(near[beyond & (side * (across - edge_across) > -WIDER)])
    return np.concatenate(found)


def _cut_off(
    view: LabelledView, points: np.ndarray, columns: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """The sides that cut something off, -1 left and 1 right, and its nearest point there."""
    labelled = np.flatnonzero((view.label[::8] != UNLABELLED).any(axis=0))
    if not len(points) or not len(labelled):
        return
    margin = view.camera.width * SIDE
    for side, inwards in ((-1, columns - labelled[0]), (1, labelled[-1] - columns)):
        cut_off = points[inwards <= margin]
        if len(cut_off):
            yield side, cut_off[squared_norms(cut_off - view.eye[:2]).argmin()]


def _in_camera(view: LabelledView, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far ground points N x 2 lie to the right of a camera and ahead of it, m."""
    right, _, ahead = view.camera_from_base[:3]
    return points @ right[:2] + right[3], points @ ahead[:2] + ahead[3]


class RecentViews:
    """The newest image of each camera of a robot, and where it was taken."""

    def __init__(self) -> None:
        self._views: list[tuple[float, LabelledView, np.ndarray]] = []

    def clear(self) -> None:
        """Forget them."""
        self._views.clear()

    def add(self, stamp: float, view: LabelledView, pose: np.ndarray) -> None:
        """Take an image in the place of the camera's last one; ``pose`` is the base's, 4 x 4."""
        self._views = [
            known
            for known in self._views
            if _looks_elsewhere(known[1], view) and abs(stamp - known[0]) <= RECENT
        ]
        self._views.append((stamp, view, pose))

    def others_see(self, view: LabelledView, places: np.ndarray) -> np.ndarray:
        """Which places N x 2 (m, the grid's frame) another camera has in its image, bool."""
        seen = np.zeros(len(places), bool)
        for _, other, pose in self._views:
            if _looks_elsewhere(other, view):
                in_camera = other.camera_from_base @ np.linalg.inv(pose)
                points = places @ in_camera[:3, :2].T + in_camera[:3, 3]
                seen |= other.camera.project(points)[1]
        return seen


def _looks_elsewhere(one: LabelledView, other: LabelledView) -> bool:
    """Whether the optical axes of two views differ, and so they are of two cameras."""
    return bool(one.camera_from_base[2, :3] @ other.camera_from_base[2, :3] < OTHER_DIRECTION)
