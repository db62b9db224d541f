"""Where bodies on wheels stand: the ground is seen far under them, and it is not free.

What a camera sees of a lorry ends at its wheels and, between them, at the lower edge of a body
that hangs over the ground: there the rays pass below it. Seen from above a body is convex, and its
wheels stand under it. So its near side is at most as far as the straight lines between its wheels,
and as far as the outermost wheels where it reaches out beside them.
"""

from __future__ import annotations

import numpy as np

SIDE_OVERHANG = 0.6  # m that a body reaches out beside its outermost wheels, and half a wheel


def near_sides(feet: np.ndarray, nearest: np.ndarray, on_wheels: np.ndarray) -> np.ndarray:
    """How far bodies stand in each direction, if ground is seen up to ``feet``.

    Args:
        feet: N x 2, where the lowest obstacle of each direction seems to meet the ground, m from
            the camera, in the order of the directions; NaN where there is none.
        nearest: N, how near the obstacle may be (m), as far as the clearance under it goes. A line
            between two wheels that would pass nearer belongs to no body.
        on_wheels: N bool, whether the obstacle may be such a body.

    Returns:
        N distances, m; that of the foot where no body reaches nearer; NaN where there is no foot.
    """
    distance = np.hypot(feet[:, 0], feet[:, 1])
    near_side = distance.copy()
    steps = np.diff(np.concatenate([[0], np.isfinite(distance).astype(np.int8), [0]]))
    spans = list(zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0), strict=True))
    while spans:
        first, last = spans.pop()
        wheels = _near_hull(feet, first + np.flatnonzero(on_wheels[first:last]))
        if len(wheels) < 2:
            continue
        inside = np.arange(wheels[0], wheels[-1] + 1)
        side = _distance_of_lines(feet, distance, wheels, inside)
        shortfall = nearest[inside] - side
        worst = int(shortfall.argmax())
        if shortfall[worst] <= 0:
            near_side[inside] = np.minimum(side, _draw_ends(side, nearest[inside], feet[inside]))
        else:  # there is a gap between bodies
            spans += [(wheels[0], inside[worst]), (inside[worst] + 1, wheels[-1] + 1)]
    return near_side


def _draw_ends(side: np.ndarray, nearest: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Draw the ends of a body, which hang beside its wheels, as near as those are."""
    angle = np.arctan2(directions[:, 1], directions[:, 0])
    drawn = side.copy()
    for end in (0, -1):
        beside = np.abs(angle - angle[end]) * side < SIDE_OVERHANG
        wheel = side[beside].min()
        # A straight side recedes too, but by less than this within so short a stretch.
        drawn[beside & (nearest <= wheel) & (side > wheel + SIDE_OVERHANG)] = wheel
    return drawn


def _near_hull(feet: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Those of the candidates (indices in order) on the near side of their convex hull."""
    x, y = feet[candidates].T.tolist()
    turn = 1 if len(x) < 2 or x[0] * y[-1] - y[0] * x[-1] >= 0 else -1  # left or right, as seen
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if turn * ((x[b] - x[a]) * (y[i] - y[a]) - (y[b] - y[a]) * (x[i] - x[a])) < 0:
                break
            hull.pop()
        hull.append(i)
    return candidates[hull]


def _distance_of_lines(
    feet: np.ndarray, distance: np.ndarray, wheels: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """Distances at which the directions ``inside`` meet the lines between successive wheels."""
    after = np.searchsorted(wheels, inside, side="right").clip(1, len(wheels) - 1)
    a, b = feet[wheels[after - 1]], feet[wheels[after]]
    line, direction = b - a, feet[inside] / distance[inside, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        side = (a[:, 0] * line[:, 1] - a[:, 1] * line[:, 0]) / (
            direction[:, 0] * line[:, 1] - direction[:, 1] * line[:, 0]
        )
    return np.where(np.isfinite(side) & (side > 0), side, distance[inside])
