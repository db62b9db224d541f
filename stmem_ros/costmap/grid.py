"""The rolling semantic grid: fading log-odds per cell and class, in a window around the robot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.rules import ClassRule, CostRules, Kind


@dataclass(frozen=True)
class GridConfig:
    """Size and behaviour of the grid.

    Attributes:
        size: length of the square's side, m.
        resolution: length of a cell's side, m.
        max_range: ground farther from the base than this is not read, m.
        half_life: time after which the memory of a fixed class has faded by half, s.
        moving_half_life: the same for moving classes, s.
        gain: log-odds a fully trusted observation adds.
        limit: largest log-odds of a cell, so that any cell can change its mind.
        known: log-odds above which a cell counts as seen.
        max_height: what a depth image shows higher over the ground blocks nothing, m.
        level_ground: the ground is level in odom, and pitch and roll of the base there are the
            body's; else it is the base's plane z = 0, and they are the ground's.
        stale_after: what nothing has reached for longer shows the past and is forgotten, s; 0:
            never.
        blind_zone: ground around the base that is free until it is seen otherwise; see
            ``BlindZone``.
        strangeness_limit: labels of images that are stranger to the model are left out; 0: none.
    """

    size: float = 40.0
    resolution: float = 0.2
    max_range: float = 25.0
    half_life: float = 10.0
    moving_half_life: float = 1.0
    gain: float = 0.9
    limit: float = 3.5
    known: float = 0.5
    max_height: float = 2.5
    level_ground: bool = False
    stale_after: float = 2.0
    blind_zone: str = ""
    strangeness_limit: float = 0.0

    @property
    def cells(self) -> int:
        """Cells per side."""
        return max(1, round(self.size / self.resolution))


@dataclass(frozen=True)
class GridSnapshot:
    """The grid at one moment, arrays rows (y) x columns (x) from the origin.

    Attributes:
        origin: lower left corner in the grid's frame, m; a multiple of the resolution.
        resolution: length of a cell's side, m.
        label: class of each cell, uint8, 255 where none is sure.
        cost: 0..100 int8, -1 unknown; doubtful ground has one, and no label, and so has ground of
            the blind zone that was not seen: 0.
        confidence: 0..255 uint8, of doubtful ground that it is ground; 0 where nothing was seen.
        layers: cost of each layer by name, int8: of the layer's own classes, 0 where the cell is
            known to be something else, -1 unknown.
    """

    origin: tuple[float, float]
    resolution: float
    label: np.ndarray
    cost: np.ndarray
    confidence: np.ndarray
    layers: dict[str, np.ndarray]

    def centres(self) -> np.ndarray:
        """Cell centres N x 2 in the grid's frame, m, row by row."""
        return _cell_centres(self.origin, self.label.shape, self.resolution)

    def unknown(self) -> GridSnapshot:
        """The same place, of which nothing is known."""
        return replace(
            self,
            label=np.full_like(self.label, UNLABELLED),
            cost=np.full_like(self.cost, -1),
            confidence=np.zeros_like(self.confidence),
            layers={name: np.full_like(layer, -1) for name, layer in self.layers.items()},
        )


class Assumption(IntEnum):
    """What is assumed of a cell as long as nothing is known of it."""

    NONE = 0
    FREE = 1  # it lay in the blind zone
    BARRED = 2  # it does, and what was seen there last was not free


class RollingGrid:
    """A square of cells that follows the robot; what rolls out of it is forgotten.

    ``evidence`` has a plane for each class, and a last one for ground of any kind: where that is
    all there is, ground is doubtful. ``assumed`` holds an ``Assumption`` for each cell.
    """

    def __init__(self, config: GridConfig, rules: CostRules) -> None:
        self.config = config
        self.rules = rules
        self._planes = (*rules.rules, ClassRule(Kind.GROUND, rules.doubtful, moving=True))
        self._kinds = np.array([rule.kind for rule in self._planes])
        self._half_lives = np.array(
            [config.moving_half_life if r.moving else config.half_life for r in self._planes]
        )
        # However often a cell was seen free, what comes there is an obstacle when it is seen twice.
        self._lowest = np.where(self._kinds == Kind.OBSTACLE, -config.gain, -config.limit)
        self._lowest = self._lowest[:, None].astype(np.float32)
        self.corner = (-(config.cells // 2),) * 2  # x and y of the lower left cell, in cells
        self.evidence = self._empty()
        self.assumed = np.zeros((config.cells, config.cells), np.uint8)

    def _empty(self) -> np.ndarray:
        n = self.config.cells
        return np.zeros((len(self._planes), n, n), np.float32)

    def clear(self) -> None:
        """Forget everything."""
        self.evidence[:] = 0
        self.assumed[:] = Assumption.NONE

    def roll_to(self, x: float, y: float) -> None:
        """Move the window so that its centre lies at (x, y), m, to the nearest cell."""
        n = self.config.cells
        corner = (
            round(x / self.config.resolution - n / 2),
            round(y / self.config.resolution - n / 2),
        )
        dx, dy = corner[0] - self.corner[0], corner[1] - self.corner[1]
        self.corner = corner
        if not dx and not dy:
            return
        moved, assumed = self._empty(), np.zeros_like(self.assumed)
        if abs(dx) < n and abs(dy) < n:
            to = np.s_[..., max(0, -dy) : n - max(0, dy), max(0, -dx) : n - max(0, dx)]
            since = np.s_[..., max(0, dy) : n + min(0, dy), max(0, dx) : n + min(0, dx)]
            moved[to] = self.evidence[since]
            assumed[to] = self.assumed[since]
        self.evidence, self.assumed = moved, assumed

    def fade(self, seconds: float) -> None:
        """Let the memory age."""
        factors = 0.5 ** (seconds / self._half_lives)
        self.evidence *= factors[:, None, None].astype(np.float32)

    @property
    def origin(self) -> tuple[float, float]:
        """Lower left corner in the grid's frame, m."""
        x, y = self.corner
        return x * self.config.resolution, y * self.config.resolution

    def centres(self) -> np.ndarray:
        """Cell centres N x 2 in the grid's frame, m, row by row."""
        n = self.config.cells
        return _cell_centres(self.origin, (n, n), self.config.resolution)

    def cells_of(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points N x 2 (m) to flat cell indices, and which of them lie in the window."""
        n = self.config.cells
        index = np.floor(points / self.config.resolution).astype(np.int64) - self.corner
        inside = np.logical_and.reduce((index >= 0) & (index < n), axis=1)
        return index[:, 1] * n + index[:, 0], inside

    def distances(self, places: np.ndarray) -> np.ndarray:
        """From each cell, in flat order, to the nearest of places N x 2 in the window, m."""
        n = self.config.cells
        cells, inside = self.cells_of(places)
        if not inside.any():
            return np.full(n * n, np.inf, np.float32)
        empty = np.ones(n * n, np.uint8)
        empty[cells[inside]] = 0
        distance = cv2.distanceTransform(empty.reshape(n, n), cv2.DIST_L2, 3)
        return distance.ravel() * self.config.resolution

    def add(self, cells: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> None:
        """Add observations: each cell (unique) was seen to be of a class, with a weight 0..1."""
        step = (self.config.gain * weights).astype(np.float32)
        flat = self.evidence.reshape(len(self._planes), -1)
        evidence = flat[:, cells] - step
        evidence[labels, np.arange(len(cells))] += 2 * step
        evidence[-1] += np.where(self._kinds[labels] == Kind.GROUND, 2 * step, 0)
        flat[:, cells] = np.clip(evidence, self._lowest, self.config.limit)

    def clear_negative_evidence(self, cells: np.ndarray, labels: np.ndarray) -> None:
        """Forget what speaks against classes in cells: something that moves may have come there."""
        flat = self.evidence.reshape(len(self._planes), -1)
        flat[labels, cells] = np.maximum(flat[labels, cells], 0)

    def forget_free(self, cells: np.ndarray) -> None:
        """Forget what class of ground cells had that something may now stand on, or moves before.

        What was seen free just before a car drove there is doubtful, and soon unknown.
        """
        flat = self.evidence.reshape(len(self._planes), -1)
        for ground in np.flatnonzero(self._kinds[:-1] == Kind.GROUND):
            flat[ground, cells] = 0

    def forget_ground(self, cells: np.ndarray) -> None:
        """Forget that ground was seen in cells: they are unknown but for obstacles."""
        self.forget_free(cells)
        self.evidence.reshape(len(self._planes), -1)[-1, cells] = 0

    def add_doubtful_ground(self, cells: np.ndarray, weights: np.ndarray) -> None:
        """Add ground that was seen in cells (unique) but may not be free, with a weight 0..1."""
        step = (self.config.gain * weights).astype(np.float32)
        flat = self.evidence.reshape(len(self._planes), -1)
        for ground in np.flatnonzero(self._kinds[:-1] == Kind.GROUND):
            flat[ground, cells] = np.maximum(flat[ground, cells] - step, -self.config.limit)
        flat[-1, cells] = np.minimum(flat[-1, cells] + step, self.config.limit)

    def weaken_obstacles(self, cells: np.ndarray) -> None:
        """Take evidence of obstacles from cells in which none touches the ground (any more).

        As much as a sure observation gives; they do not become free.
        """
        flat = self.evidence.reshape(len(self._planes), -1)
        for obstacle in np.flatnonzero(self._kinds == Kind.OBSTACLE):
            evidence = flat[obstacle, cells]
            weaker = np.maximum(evidence - self.config.gain, np.minimum(evidence, 0))
            flat[obstacle, cells] = weaker

    def assume_free(self, corners: np.ndarray) -> None:
        """Take cells of a polygon, N x 2 in m, for free ground as long as they were never seen.

        Where an obstacle or doubtful ground was seen last, they are not, however long ago.
        """
        zone = np.zeros_like(self.assumed)
        places = np.floor(corners / self.config.resolution).astype(np.int32) - self.corner
        cv2.fillPoly(zone, [places.astype(np.int32)], 1)
        cells = np.flatnonzero(zone)
        assumed = self.assumed.ravel()[cells]
        known = self.evidence.reshape(len(self._planes), -1)[:, cells] > self.config.known
        ground = known[:-1][self._kinds[:-1] == Kind.GROUND].any(axis=0)
        barred = known[self._kinds == Kind.OBSTACLE].any(axis=0) | (known[-1] & ~ground)
        assumed[~known.any(axis=0) & (assumed == Assumption.NONE)] = Assumption.FREE
        assumed[ground] = Assumption.NONE
        assumed[barred] = Assumption.BARRED
        self.assumed.ravel()[cells] = assumed

    def snapshot(self) -> GridSnapshot:
        """The grid as arrays. A cell that may hold an obstacle is one, whatever else it may be."""
        n = self.config.cells
        flat = self.evidence.reshape(len(self._planes), -1)
        known_cells = np.flatnonzero(flat.max(axis=0) > self.config.known)
        evidence = flat[:, known_cells]
        # Obstacles outrank ground of a class, and that outranks ground of which none is sure.
        lift = np.where(self._kinds == Kind.OBSTACLE, 2 * self.config.limit, 0).astype(np.float32)
        lift[-1] = -2 * self.config.limit
        rank = np.where(evidence > self.config.known, evidence + lift[:, None], -np.inf)
        best = rank.argmax(axis=0)
        strength = evidence[best, np.arange(len(known_cells))]
        has_class = best < len(self.rules.rules)

        def fill(unknown: int, values: np.ndarray, kind: type) -> np.ndarray:
            cells: np.ndarray = np.full(n * n, unknown, kind)
            cells[known_cells] = values
            return cells.reshape(n, n)

        costs = np.array([rule.cost for rule in self._planes], np.int8)[best]
        layers = np.array([rule.layer for rule in self._planes])
        cost = fill(-1, costs, np.int8)
        cost[(cost < 0) & (self.assumed == Assumption.FREE)] = 0
        return GridSnapshot(
            origin=self.origin,
            resolution=self.config.resolution,
            label=fill(UNLABELLED, np.where(has_class, best, UNLABELLED), np.uint8),
            cost=cost,
            confidence=fill(0, 255 / (1 + np.exp(-strength)), np.uint8),
            layers={
                name: fill(-1, np.where((layers == name)[best], costs, has_class - 1), np.int8)
                for name in self.rules.layers
            },
        )


def _cell_centres(
    origin: tuple[float, float], shape: tuple[int, ...], resolution: float
) -> np.ndarray:
    """Centres N x 2 (m) of rows x columns of cells from the lower left corner on, row by row."""
    rows, columns = shape
    x = origin[0] + (np.arange(columns) + 0.5) * resolution
    y = origin[1] + (np.arange(rows) + 0.5) * resolution
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
