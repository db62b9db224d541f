"""How far a costmap can be trusted: the pipeline against the synthetic world's ground truth."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np

from stmem_ros.bench.sightings import (
    LETHAL,
    BarredShares,
    Sighting,
    SightingLog,
    barred_shares,
)
from stmem_ros.classes import CAMVID, UNLABELLED
from stmem_ros.costmap.grid import GridConfig, GridSnapshot
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.rules import CostRules, Kind, default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, DriveFrame, drive
from stmem_ros.data.synthetic.render import render
from stmem_ros.data.synthetic.scene import ID, KINDS, Scene, Solid, ground_truth, make_scene
from stmem_ros.frames import CameraFrame, LabelledFrame
from stmem_ros.geometry.camera import CameraModel, Mounting
from stmem_ros.io.bag_create import CAMERA_FRAME
from stmem_ros.io.bags import BAG_MESSAGES
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.pipeline import Pipeline, PipelineConfig

STREET_GRID = GridConfig(size=44.0, resolution=0.1, max_range=20.0)
CONFIG = PipelineConfig(grid=STREET_GRID)
CAMERA_INFO = BAG_MESSAGES.camera_info(CAMERA, BAG_MESSAGES.header(0, CAMERA_FRAME))
SEEDS = range(700, 708)  # scenes that neither the demo nor training uses
FRAMES, COUNTED = 20, 5  # of a drive; after every fifth the grid is compared with the truth
RATE = 10.0  # Hz
DRIVABLE = "drivable"  # layer of the classes that are compared with the world's road
CROWDS = range(720, 723)  # seeds of crowded scenes for sightings of people and others
CROWD_FRAMES = 60
TURN = (5.6, 26)  # start (s) and frames of a drive that ends after the right turn
# One update of a planner's local grid from a wide image, as KITTI's camera takes them.
WIDE = CameraModel(1242, 375, ((720.0, 0.0, 610.0), (0.0, 720.0, 173.0), (0.0, 0.0, 1.0)))
LOCAL = GridConfig(size=40.0, resolution=0.2)

# Labels of a frame whose ``source`` is a ``DriveFrame``.
Labeller = Callable[[Pipeline, CameraFrame], LabelledFrame]


@dataclass(frozen=True)
class CostmapScores:
    """What ``stmem bench costmap`` reports; shares, not percent.

    Attributes:
        occupied_not_free: of the truly occupied cells in view that have a class, the share that is
            not ground.
        drivable_iou: IoU of drivable cells over the cells that have a class.
        drivable_iou_in_view: the same over all ground in view within range: where it is doubtful,
            it is not taken for drivable.
        front_edge_error_m: largest distance between a box's front edge 10 m ahead and the nearest
            cell that holds it, over several places.
        turn_iou: ``drivable_iou`` of the last window of drives round a corner of 90 degrees.
        seen: of the ground in view within range, the share that has a cost.
        sure: of the same, the share that has a class too.
        lethal_road: of the road that is seen in drives through crowds, the share that is lethal.
        sightings: what the same drives show in plain view, and how much of it is barred.
        update_ms_median: one update of a 200 x 200 grid from a 1242 x 375 image.
    """

    occupied_not_free: float
    drivable_iou: float
    drivable_iou_in_view: float
    front_edge_error_m: float
    turn_iou: float
    seen: float
    sure: float
    lethal_road: float
    sightings: tuple[BarredShares, ...]
    update_ms_median: float


class KnownPoses:
    """Transforms of a world that knows them exactly: of the camera on the base, of the base now."""

    def __init__(self, camera_from_base: np.ndarray) -> None:
        self.odom_from_base = np.eye(4)
        self._camera_from_base = camera_from_base

    def lookup(self, target: str, source: str, stamp: int) -> np.ndarray:
        """See ``TransformSource``."""
        return (
            self.odom_from_base if target == PipelineConfig.odom_frame else self._camera_from_base
        )

    def time_went_back(self) -> None:
        """Nothing was kept."""


@lru_cache(maxsize=1)
def world_rules() -> CostRules:
    """The rules of the world's own classes, whatever classes a model has."""
    return default_rules(CAMVID)


def true_labels(pipeline: Pipeline, frame: CameraFrame) -> LabelledFrame:
    """The world's own labels, beyond doubt."""
    label = frame.source.view.label
    return pipeline.labelled_frame(frame, label, np.full_like(label, 255))


def model_labels(pipeline: Pipeline, frame: CameraFrame) -> LabelledFrame:
    """The labels of the pipeline's model.

    Raises:
        ValueError: it gives this frame none.
    """
    result = pipeline.label([frame])
    if not result.labelled:
        reason = result.refused[0].text if result.refused else "the model is centred"
        raise ValueError(f"frame at {frame.stamp / 1e9:.3f} s has no labels: {reason}")
    return result.labelled[0]


def bench_costmap(
    rules: CostRules,
    model: BundledSegmenter | None = None,
    labeller: Labeller = true_labels,
    seeds: Sequence[int] = SEEDS,
    crowds: Sequence[int] = CROWDS,
) -> CostmapScores:
    """Drive through held-out synthetic scenes and compare the grids with the truth.

    Args:
        rules: of the classes that the labels have.
        model: causal; None: the labeller needs none.
        labeller: gives each frame its labels.
    """
    counts = np.zeros(9)
    turned = np.zeros(2)
    for seed in seeds:
        scene = make_scene(KINDS[seed % len(KINDS)], seed)
        grids = drive_grids(rules, model, labeller, drive(scene, FRAMES, RATE, seed % 5))
        for grid, frame in islice(grids, COUNTED - 1, None, COUNTED):
            counts += _count(grid, scene, frame, rules)
    for seed in seeds[:4]:
        scene = make_scene("turn", seed)
        grids = drive_grids(rules, model, labeller, drive(scene, TURN[1], RATE, TURN[0]))
        [(grid, frame)] = deque(grids, 1)
        turned += _count(grid, scene, frame, rules)[2:4]
    lethal_road, sightings = _crowds(rules, model, labeller, crowds)
    return CostmapScores(
        occupied_not_free=counts[0] / counts[1],
        drivable_iou=counts[2] / counts[3],
        drivable_iou_in_view=counts[7] / counts[8],
        front_edge_error_m=max(_front_edge_errors()),
        turn_iou=turned[0] / turned[1],
        seen=counts[4] / counts[6],
        sure=counts[5] / counts[6],
        lethal_road=lethal_road,
        sightings=sightings,
        update_ms_median=_update_ms(),
    )


def _crowds(
    rules: CostRules, model: BundledSegmenter | None, labeller: Labeller, seeds: Sequence[int]
) -> tuple[float, tuple[BarredShares, ...]]:
    """In drives through crowds: the lethal share of the road in sight, and sightings."""
    sightings: list[Sighting] = []
    lethal = seen = 0
    for seed in seeds:
        scene = make_scene("crowded", seed)
        log = SightingLog(scene, STREET_GRID.max_range)
        for grid, frame in drive_grids(rules, model, labeller, drive(scene, CROWD_FRAMES, RATE)):
            log.add(frame, grid)
            x, y = grid.centres().T.reshape(2, *grid.label.shape)
            road = ground_truth(scene, frame.seconds, x, y) == ID["road"]
            road &= is_visible(frame, x, y)[1]
            lethal += int((road & (grid.cost >= LETHAL)).sum())
            seen += int(road.sum())
        sightings += log.sightings
    return lethal / seen, barred_shares(sightings)


def drive_grids(
    rules: CostRules,
    model: BundledSegmenter | None,
    labeller: Labeller,
    frames: Iterable[DriveFrame],
    config: PipelineConfig = CONFIG,
) -> Iterator[tuple[GridSnapshot, DriveFrame]]:
    """The grid after each frame."""
    poses = KnownPoses(np.linalg.inv(MOUNTING.base_from_camera()))
    pipeline = Pipeline(model, rules, config, poses)
    for frame in frames:
        poses.odom_from_base = frame.world_from_base
        stamp = round(1e9 * frame.stamp)
        # Without a model nobody looks at the colours, which take longer to paint than the labels.
        image = frame.view.rgb if model is not None else _label_picture(frame)
        camera_frame = CameraFrame("", image, stamp, CAMERA_FRAME, source=frame)
        result = pipeline.fuse(labeller(pipeline, camera_frame), CAMERA_INFO)
        assert result is not None and result.placed is not None, result
        yield result.placed.update.grid, frame


def _label_picture(frame: DriveFrame) -> np.ndarray:
    return np.repeat(frame.view.label[..., None], 3, axis=-1)


def _count(grid: GridSnapshot, scene: Scene, frame: DriveFrame, rules: CostRules) -> np.ndarray:
    """Occupied not free, occupied; drivable in both, in either; ground seen, sure, in view;
    of the ground in view drivable in both, in either."""
    kind = world_rules().kinds
    drivable = [i for i, rule in enumerate(rules.rules) if rule.layer == DRIVABLE]
    x, y = grid.centres().T.reshape(2, *grid.label.shape)
    truth = ground_truth(scene, frame.seconds, x, y)
    sure = grid.label != UNLABELLED
    in_view, shown = is_visible(frame, x, y)
    occupied = sure & in_view & (kind[truth] == Kind.OBSTACLE)
    free = sure & (rules.kinds[grid.label] == Kind.GROUND)
    predicted, true = np.isin(grid.label, drivable), truth == ID["road"]
    visible = shown & (kind[truth] == Kind.GROUND)
    return np.array(
        [
            (occupied & ~free).sum(),
            occupied.sum(),
            (predicted & true).sum(),
            (predicted | sure & true).sum(),
            (visible & (grid.cost >= 0)).sum(),
            (visible & sure).sum(),
            visible.sum(),
            (visible & predicted & true).sum(),
            (visible & (predicted | true)).sum(),
        ],
        float,
    )


def is_visible(frame: DriveFrame, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ground points in the last image's view within range, and those nothing stands before."""
    camera_from_world = np.linalg.inv(frame.world_from_base @ MOUNTING.base_from_camera())
    points = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], axis=-1).reshape(-1, 4)
    seen = (points @ camera_from_world.T)[:, :3]
    pixels, inside = CAMERA.project(seen)
    column, row = np.rint(pixels[inside]).astype(int).T
    in_view, shown = np.zeros(len(points), bool), np.zeros(len(points), bool)
    near = (
        np.hypot(*(points[:, :2] - frame.world_from_base[:2, 3]).T)[inside] < STREET_GRID.max_range
    )
    depth = frame.view.depth[row, column]
    in_view[inside] = near
    shown[inside] = near & (np.abs(depth - seen[inside, 2]) < 0.05 * seen[inside, 2])
    return in_view.reshape(x.shape), shown.reshape(x.shape)


def _front_edge_errors() -> Iterator[float]:
    """Errors for boxes 10 m ahead of the base, at several places across and of the base."""
    rules = world_rules()
    empty = make_scene("straight", 0)
    for start, across in ((2.0, 0.0), (2.03, 1.5), (2.06, -2.2), (2.09, 3.0)):
        front = start + 10.0
        box = Solid("box", (front + 1.0, across, 0.75), (2.0, 1.8, 1.5), ID["car"], (90, 90, 90))
        scene = Scene("straight", 0, (box,), empty.sun, empty.haze)
        pose = np.eye(4)
        pose[0, 3] = start
        view = render(scene, 0.0, CAMERA, pose @ MOUNTING.base_from_camera())
        [(grid, _)] = drive_grids(rules, None, true_labels, [DriveFrame(0.0, 0.0, view, pose)])
        x, y = grid.centres().T.reshape(2, *grid.label.shape)
        lethal = grid.cost >= LETHAL
        for row in np.flatnonzero(np.abs(y[:, 0] - across) < 0.8):
            hits = np.flatnonzero(lethal[row])
            yield abs(x[row, hits[0]] - grid.resolution / 2 - front) if len(hits) else np.inf


def _update_ms(repeats: int = 30) -> float:
    scene = make_scene("crowded", SEEDS[0])
    mounting = Mounting(height=1.65)
    view = render(scene, 0.0, WIDE, mounting.base_from_camera())
    sure = np.full_like(view.label, 255)
    mapper = SemanticMapper(LOCAL, world_rules())
    camera_from_base = np.linalg.inv(mounting.base_from_camera())
    seconds = []
    for i in range(repeats):
        pose = np.eye(4)
        pose[0, 3] = 0.13 * i
        start = time.perf_counter()
        mapper.update(view.label, sure, 0.1 * i, WIDE, camera_from_base, pose)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds[3:]))
