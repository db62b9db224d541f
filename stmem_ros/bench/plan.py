"""What a planner makes of the costmap: paths through synthetic streets, judged by their truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from stmem_ros.bench.costmap import (
    RATE,
    STREET_GRID,
    Labeller,
    drive_grids,
    is_visible,
    true_labels,
    world_rules,
)
from stmem_ros.bench.planner import (
    GOAL_TOLERANCE,
    PathSearch,
    PlannerSettings,
    costmap_costs,
    distances,
    path_length,
)
from stmem_ros.costmap.blind_zone import AUTO
from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.rules import CostRules, Kind
from stmem_ros.data.synthetic.drive import DriveFrame, drive
from stmem_ros.data.synthetic.scene import KINDS, Scene, ground_truth, make_scene
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.pipeline import PipelineConfig

SEEDS = range(740, 748)  # scenes that nothing else uses
CONFIG = PipelineConfig(grid=replace(STREET_GRID, blind_zone=AUTO))
MOMENTS = (1, 19)  # frames after which paths are asked for: just started, and driving
SETTINGS = tuple(
    PlannerSettings(threshold, radius, allow_unknown)
    for threshold, radius, allow_unknown in product((60, 80, 100), (0.1, 0.4, 0.9), (True, False))
)
WINDOW = 24.0  # m; side of the costmap
GOALS = (4.0, 7.0, 10.0)  # m from the base
DIRECTIONS = 18  # of the goals, all around
ROOM = 0.5  # m that a goal has beyond the robot's radius


@dataclass(frozen=True)
class PlanShares:
    """What became of the paths of one setting, over all scenes.

    Attributes:
        asked: goals that can be reached, by the truth.
        found: paths that were found.
        hit_standing, hit_moving: shares of these whose line passes through a body that stands, or
            moves, where it is at that moment.
        touched: the share of these on which the robot's disc overlaps a body by more than a cell.
        clearance: 5 % of these come nearer to a body than that with their line, m.
        refused: of the goals on ground in sight, the share that no path was found to.
        length: mean length over that of the best path, by the truth.
    """

    asked: int
    found: int
    hit_standing: float
    hit_moving: float
    touched: float
    clearance: float
    refused: float
    length: float


@dataclass(frozen=True)
class _Plan:
    """One path that was asked for.

    Attributes:
        in_sight: whether the newest image shows the goal.
        path: cells N x 2; None: refused.
        standing, moving: how near it comes to what stands and what moves, m.
        length: over the best one.
    """

    in_sight: bool
    path: np.ndarray | None = None
    standing: float = np.inf
    moving: float = np.inf
    length: float = np.nan


def bench_plan(
    rules: CostRules,
    model: BundledSegmenter | None = None,
    labeller: Labeller = true_labels,
    seeds: Sequence[int] = SEEDS,
    settings: Sequence[PlannerSettings] = SETTINGS,
    pictures: Path | None = None,
) -> dict[PlannerSettings, PlanShares]:
    """Plan paths on the grids of held-out drives; what became of them, for each setting.

    Args:
        rules: of the classes that the labels have.
        model: causal; None: the labeller needs none.
        labeller: gives each frame its labels.
        pictures: folder for a picture of each grid with the paths that hit something.

    Raises:
        OSError: a picture cannot be written.
    """
    plans: dict[PlannerSettings, list[_Plan]] = {s: [] for s in settings}
    for seed in seeds:
        scene = make_scene(KINDS[seed % len(KINDS)], seed)
        frames = drive(scene, MOMENTS[-1] + 1, RATE, seed % 5)
        grids = drive_grids(rules, model, labeller, frames, CONFIG)
        for number, (grid, frame) in enumerate(grids):
            if number in MOMENTS:
                street = _Street(scene, frame, grid)
                found = {s: list(street.plans(s)) for s in settings}
                for s in settings:
                    plans[s] += found[s]
                if pictures is not None:
                    street.draw(pictures / f"{seed}_{number:02d}.png", found)
    return {s: _shares(s, found) for s, found in plans.items()}


class _Street:
    """The costmap around the base at one moment, beside the truth."""

    def __init__(self, scene: Scene, frame: DriveFrame, grid: GridSnapshot) -> None:
        self._resolution = grid.resolution
        n = round(WINDOW / grid.resolution)
        base = frame.world_from_base[:2, 3]
        column, row = np.round((base - grid.origin) / grid.resolution).astype(int) - n // 2
        self._start = n // 2, n // 2
        part = np.s_[row : row + n, column : column + n]
        self._cost = grid.cost[part]
        x, y = (axis[part] for axis in grid.centres().T.reshape(2, *grid.cost.shape))
        self._in_sight = is_visible(frame, x, y)[1]
        kinds = world_rules().kinds
        costs = np.array([rule.cost for rule in world_rules().rules], np.int8)
        bodies = [
            replace(scene, solids=tuple(s for s in scene.solids if any(s.velocity) == moves))
            for moves in (False, True)
        ]
        truth = [ground_truth(part, frame.seconds, x, y) for part in bodies]
        standing, moving = (kinds[labels] == Kind.OBSTACLE for labels in truth)
        self._to_standing = distances(standing, grid.resolution)
        self._to_moving = distances(moving, grid.resolution)
        self._true_cost = costs[np.where(moving, truth[1], truth[0])]
        self._best_paths: dict[PlannerSettings, PathSearch] = {}
        self._forward = np.arctan2(*frame.world_from_base[1::-1, 0])

    def plans(self, settings: PlannerSettings) -> Iterator[_Plan]:
        """The paths to all goals that can be reached, by the truth."""
        best = self._best(settings)
        costs = costmap_costs(self._cost, self._resolution, settings)
        search = PathSearch(costs, self._start, settings.allow_unknown)
        tolerance = round(GOAL_TOLERANCE / self._resolution)
        room = settings.radius + ROOM
        for goal in self._goals():
            best_path = best.path(goal, 0)
            if best_path is None or min(self._to_standing[goal], self._to_moving[goal]) < room:
                continue
            in_sight = bool(self._in_sight[goal])
            if (path := search.path(goal, tolerance)) is None:
                yield _Plan(in_sight)
                continue
            cells = tuple(path.T)
            yield _Plan(
                in_sight,
                path,
                float(self._to_standing[cells].min()),
                float(self._to_moving[cells].min()),
                path_length(path, self._resolution) / path_length(best_path, self._resolution),
            )

    def _best(self, settings: PlannerSettings) -> PathSearch:
        """The best paths, by the truth, of which nothing is unknown."""
        known = replace(settings, allow_unknown=False)
        if known not in self._best_paths:
            costs = costmap_costs(self._true_cost, self._resolution, known)
            self._best_paths[known] = PathSearch(costs, self._start, known.allow_unknown)
        return self._best_paths[known]

    def _goals(self) -> Iterator[tuple[int, int]]:
        for distance in GOALS:
            for direction in self._forward + np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS:
                way = distance / self._resolution * np.array([np.sin(direction), np.cos(direction)])
                row, column = np.round(np.add(self._start, way)).astype(int)
                yield int(row), int(column)

    def draw(self, file: Path, found: dict[PlannerSettings, list[_Plan]]) -> None:
        """The costmap and the truth side by side, with the paths that pass through a body.

        Raises:
            OSError: the picture cannot be written.
        """
        bad = [p for plans in found.values() for p in plans if _hits(p)]
        if not bad:
            return
        panels = []
        for cost in (self._cost, self._true_cost):
            grey = np.where(cost < 0, 110, 255 - 2.55 * cost).astype(np.uint8)
            panel = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
            panel[self._to_standing == 0] = panel[self._to_standing == 0] // 2 + (60, 0, 0)
            panel[self._to_moving == 0] = panel[self._to_moving == 0] // 2 + (0, 60, 0)
            for plan in bad:
                assert plan.path is not None
                panel[tuple(plan.path.T)] = (0, 0, 255)
            panels.append(panel[::-1])
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.resize(np.hstack(panels), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
        if not cv2.imwrite(str(file), picture):
            raise OSError(f"{file} cannot be written")


def _hits(plan: _Plan) -> bool:
    return min(plan.standing, plan.moving) == 0


def _shares(settings: PlannerSettings, plans: Sequence[_Plan]) -> PlanShares:
    found = [plan for plan in plans if plan.path is not None]
    in_sight = [plan for plan in plans if plan.in_sight]
    nearest = [min(plan.standing, plan.moving) for plan in found]
    disc = settings.radius - CONFIG.grid.resolution

    def share(is_so: Sequence[bool]) -> float:
        return float(np.mean(is_so)) if is_so else float("nan")

    return PlanShares(
        asked=len(plans),
        found=len(found),
        hit_standing=share([plan.standing == 0 for plan in found]),
        hit_moving=share([plan.moving == 0 for plan in found]),
        touched=share([near < disc or near == 0 for near in nearest]),
        clearance=float(np.quantile(nearest, 0.05)) if found else float("nan"),
        refused=share([plan.path is None for plan in in_sight]),
        length=float(np.mean([plan.length for plan in found])) if found else float("nan"),
    )
