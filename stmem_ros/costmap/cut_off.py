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
OTHER_PLACE = 0.5  # m between two cameras
OTHER_LENS = 0.1  # of the logarithm of two cameras' focal lengths
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
    cells = np.concatenate(found)
    return cells[~_shows(view, centres[cells])]


def _cut_off(
    view: LabelledView, points: np.ndarray, columns: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """The sides that cut something off, -1 left and 1 right, and its nearest point there."""
    if not len(points):
        return
    labelled = np.flatnonzero((view.label[::8] != UNLABELLED).any(axis=0))
    if not len(labelled):
        return
    margin = view.camera.width * SIDE
    for side, inwards in ((-1, columns - labelled[0]), (1, labelled[-1] - columns)):
        cut_off = points[inwards <= margin]
        if len(cut_off):
            # Of many points, as with depth, some are wrong.
            order = squared_norms(cut_off - view.eye[:2]).argsort()
            yield side, cut_off[order[len(order) // 10]]


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
            if _is_of_another_camera(known[1], view) and known[0] >= stamp - RECENT
        ]
        self._views.append((stamp, view, pose))

    def others_see(self, stamp: float, view: LabelledView, places: np.ndarray) -> np.ndarray:
        """Which places N x 2 (m, the grid's frame) another camera shows, bool."""
        seen = np.zeros(len(places), bool)
        for other_stamp, other, pose in self._views:
            if other_stamp >= stamp - RECENT and _is_of_another_camera(other, view):
                base_from_grid = np.linalg.inv(pose[:2, :2])  # as ``SemanticMapper._centres``
                seen |= _shows(other, (places - pose[:2, 3]) @ base_from_grid.T)
        return seen


def _shows(view: LabelledView, points: np.ndarray) -> np.ndarray:
    """Which ground points N x 2 (m, base frame) a view has in its image, and labelled, bool."""
    in_camera = points @ view.camera_from_base[:3, :2].T + view.camera_from_base[:3, 3]
    pixels, shown = view.camera.project(in_camera)
    column, row = np.rint(pixels[shown]).astype(np.intp).T
    shown[shown] = view.label[row, column] != UNLABELLED
    return shown


def _is_of_another_camera(one: LabelledView, other: LabelledView) -> bool:
    """Whether two views differ so much in place, direction or lens that two cameras took them."""
    zoom = one.camera.matrix[0][0] / other.camera.matrix[0][0]
    return bool(
        one.camera_from_base[2, :3] @ other.camera_from_base[2, :3] < OTHER_DIRECTION
        or np.linalg.norm(one.eye - other.eye) > OTHER_PLACE
        or abs(np.log(zoom)) > OTHER_LENS
    )
