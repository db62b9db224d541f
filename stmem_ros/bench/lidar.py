"""How far a costmap of a real drive can be trusted: the pipeline on a bag, against lidar.

Nothing of it is learnt from the lidar: a bag gives images, camera_info and transforms, a folder the
lidar points of its frames. Cells of the costmap are compared with the points that fall in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from stmem_ros.bench.costmap import Labeller, model_labels
from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.grid import GridConfig, GridSnapshot
from stmem_ros.costmap.rules import CostRules
from stmem_ros.drawing import overlay
from stmem_ros.evaluation.metrics.point_cells import HIGH, LOW, cells_with, sort_cells
from stmem_ros.frames import CameraFrame, LabelledFrame, PlacedMap
from stmem_ros.geometry.transforms import TransformBuffer
from stmem_ros.io.bag_topics import find_image_topic, find_info_topic, is_rectified
from stmem_ros.io.bags import TF, BagReader, Topic
from stmem_ros.io.encodings import BitDepth
from stmem_ros.io.images import decode_image, writeable
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.pipeline import NEVER, Pipeline, PipelineConfig
from stmem_ros.stamps import nanoseconds

RANGE = 25.0  # m around the base
LIDAR_GRID = GridConfig(size=52.0, max_range=RANGE)
DIRECTIONS = 1440  # a turn is divided into, to tell what lies behind an obstacle
HEADROOM = 2.5  # m; what is higher does not close a direction


@dataclass(frozen=True)
class LidarShares:
    """Shares of cells, summed over the frames.

    Attributes:
        occupied_free: of the cells with points higher than 0.3 m, those taken for ground for sure.
        occupied_doubtful: of the same, those taken for doubtful ground.
        ground_known: of the cells with points of the ground only, those that have a cost.
        ground_sure: of the same, those that also have a class.
        ground_lethal: of the known ones of these, the lethal ones.
        open_share: of the cells with points of the ground only, those that lie before everything
            that stands in their direction; the rest is seen beneath bodies and between them.
        open_known, open_sure, open_lethal: as for the ground, of these alone.
        doubtful_occupied: of the cells of doubtful ground that hold either, the occupied ones.
    """

    occupied_free: float
    occupied_doubtful: float
    ground_known: float
    ground_sure: float
    ground_lethal: float
    open_share: float
    open_known: float
    open_sure: float
    open_lethal: float
    doubtful_occupied: float


@dataclass(frozen=True)
class LidarFrame:
    """One frame of a bag with its lidar.

    Attributes:
        frame: the image.
        camera_info: of its camera.
        points: N x 3 in the lidar's frame, m.
    """

    frame: CameraFrame
    camera_info: Any
    points: np.ndarray


@dataclass(frozen=True)
class LidarCells:
    """What lidar says about the cells of a grid, bool rows x columns each.

    Attributes:
        occupied, ground: as of ``PointCells``.
        open: ground before everything that stands in its direction.
    """

    occupied: np.ndarray
    ground: np.ndarray
    open: np.ndarray


def bench_lidar(
    bag: Path,
    lidar: Path,
    rules: CostRules,
    model: BundledSegmenter | None,
    labeller: Labeller = model_labels,
    pictures: Path | None = None,
    resolutions: tuple[float, ...] = (0.2, 0.1),
) -> dict[float, LidarShares]:
    """Map the frames of a bag that have lidar; the shares for each cell size (m).

    Args:
        bag: rosbag2 with one camera, its camera_info, and transforms to ``base_footprint`` and
            ``odom``.
        lidar: folder with ``calibration.json`` (``base_T_velodyne``, 4 x 4) and ``lidar/*.npz``
            (``xyz_cm``, int16), one file per image of the bag in the order of both.
        rules: of the classes that the labels have.
        model: causal; None: the labeller needs none.
        labeller: gives each frame its labels.
        pictures: folder for a picture per frame: labels with lidar, and the grid from above.

    Raises:
        BagError, ValueError: bag or folder cannot be used.
        OSError: a picture cannot be written.
    """
    counts = np.zeros((len(resolutions), 11), int)
    base_from_lidar, files = _lidar_files(lidar)
    with BagReader(bag) as reader:
        image = find_image_topic(reader.topics)
        transforms = TransformBuffer(keep=float("inf"))
        configs = [_config(resolution, is_rectified(image)) for resolution in resolutions]
        labelling = Pipeline(model, rules, configs[0], transforms)
        others = [Pipeline(None, rules, config, transforms) for config in configs[1:]]
        pipelines = [labelling, *others]
        for number, seen in enumerate(read_frames(reader, image, files, transforms)):
            labelled = labeller(labelling, seen.frame)
            points = _transformed(seen.points, base_from_lidar)
            for pipeline, count in zip(pipelines, counts, strict=True):
                same = pipeline.labelled_frame(seen.frame, labelled.label, labelled.confidence)
                placed = _fused(pipeline, same, seen.camera_info)
                cells = lidar_cells(placed.update.grid, placed.grid_from_base, points)
                count += _count(placed.update.grid, cells)
                if pictures is not None and pipeline is labelling:
                    pictures.mkdir(parents=True, exist_ok=True)
                    picture = lidar_picture(labelled, placed, points, cells, rules)
                    path = pictures / f"{number:04d}.png"
                    if not cv2.imwrite(str(path), picture[..., ::-1]):
                        raise OSError(f"{path} cannot be written")
    return {r: _shares(count) for r, count in zip(resolutions, counts, strict=True)}


def _config(resolution: float, rectified: bool) -> PipelineConfig:
    return PipelineConfig(
        rectified=rectified,
        inference_height=NEVER,
        transform_timeout=0.0,
        grid=replace(LIDAR_GRID, resolution=resolution),
    )


def _fused(pipeline: Pipeline, labelled: LabelledFrame, camera_info: Any) -> PlacedMap:
    """The grid after a frame.

    Raises:
        ValueError: the frame could not be mapped with odometry.
    """
    result = pipeline.fuse(labelled, camera_info)
    assert result is not None, "nothing resets the pipeline between labels and grid"
    if result.placed is None or result.problem is not None:
        raise ValueError(f"frame at {labelled.frame.stamp / 1e9:.3f} s: {result.text}")
    return result.placed


def read_frames(
    reader: BagReader, image: Topic, lidar_files: Sequence[Path], transforms: TransformBuffer
) -> Iterator[LidarFrame]:
    """The images of a bag with their lidar, as long as there is a file for each.

    Args:
        image: topic of the camera.
        lidar_files: of the images, in their order.
        transforms: takes all transforms of the bag before the first frame.

    Raises:
        BagError, ValueError: bag or folder cannot be used.
    """
    info = find_info_topic(reader.topics, image)
    if info is None:
        raise ValueError(f"bag {reader.path} holds no camera_info for {image.name}")
    for record in reader.records({"/tf", "/tf_static"}):
        if record.type == TF:
            transforms.add_message(reader.decode(record), static="static" in record.topic)
    camera_info = next(reader.decode(record) for record in reader.records({info.name}))
    records = reader.records({image.name})
    depth = BitDepth()
    for path, record in tqdm(
        zip(lidar_files, records, strict=False), total=len(lidar_files), unit="frame"
    ):
        message = reader.decode(record)
        frame = CameraFrame(
            camera="",
            rgb=writeable(decode_image(message, depth)),
            stamp=nanoseconds(message.header.stamp),
            frame_id=message.header.frame_id,
        )
        yield LidarFrame(frame, camera_info, _read_points(path))


def lidar_cells(grid: GridSnapshot, odom_from_base: np.ndarray, points: np.ndarray) -> LidarCells:
    """Sort the cells of a grid by the lidar points N x 3 (base frame, m) that fall in them."""
    places = _transformed(points, odom_from_base)[:, :2]
    heights = points[:, 2]
    distance = np.hypot(points[:, 0], points[:, 1])
    near = distance <= RANGE
    cells = sort_cells(grid, places[near], heights[near])
    direction = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) * DIRECTIONS
    direction = np.floor(direction).astype(np.int64) % DIRECTIONS
    nearest = np.full(DIRECTIONS, np.inf)
    stands = (heights > HIGH) & (heights < HEADROOM)
    np.minimum.at(nearest, direction[stands], distance[stands])
    hidden = near & (np.abs(heights) <= LOW) & (distance >= nearest[direction])
    return LidarCells(
        cells.occupied, cells.ground, cells.ground & ~cells_with(grid, places[hidden])
    )


def lidar_picture(
    labelled: LabelledFrame,
    placed: PlacedMap,
    points: np.ndarray,
    cells: LidarCells,
    rules: CostRules,
) -> np.ndarray:
    """The camera image with labels and lidar, the costmap, and both compared; uint8 RGB.

    Compared: occupied cells are brown where lethal, yellow where unknown, orange where doubtful,
    magenta where free; cells of the ground are red, blue, pale green and green.
    """
    grid, view = placed.update.grid, placed.view
    camera = overlay(labelled.frame.rgb, labelled.label, rules.classes)
    pixels, inside = view.camera.project(_transformed(points, view.camera_from_base))
    for (x, y), z in zip(pixels[inside].round().astype(int), points[inside, 2], strict=True):
        colour = (255, 60, 60) if z > HIGH else (90, 255, 90) if abs(z) <= LOW else (255, 255, 0)
        cv2.circle(camera, (int(x), int(y)), 1, colour, -1)
    costmap = np.full((*grid.cost.shape, 3), 60, np.uint8)
    known, sure, lethal = grid.cost >= 0, grid.label != UNLABELLED, grid.cost >= 100
    costmap[known] = (255 - 2.55 * grid.cost[known])[:, None]
    compared = costmap.copy()
    for which, colours in (
        (cells.occupied, ((200, 200, 0), (255, 150, 0), (255, 0, 255), (120, 80, 0))),
        (cells.ground, ((120, 120, 255), (190, 230, 190), (90, 220, 90), (255, 0, 0))),
    ):
        states = (~known, known & ~sure, sure & ~lethal, lethal)
        for state, colour in zip(states, colours, strict=True):
            compared[which & state] = colour
    size = camera.shape[1] // 2
    panels = []
    for panel in (costmap, compared):
        turned = _ahead(panel, grid, placed.grid_from_base)
        panels.append(cv2.resize(turned, (size, size), interpolation=cv2.INTER_NEAREST))
    return np.vstack([camera[:, : 2 * size], np.hstack(panels)])


def _ahead(panel: np.ndarray, grid: GridSnapshot, odom_from_base: np.ndarray) -> np.ndarray:
    """The square of cells before the vehicle, its view ahead upwards."""
    side = RANGE / grid.resolution
    base = (odom_from_base[:2, 3] - grid.origin) / grid.resolution
    forward, left = odom_from_base[:2, 0], odom_from_base[:2, 1]
    corners = [base + side * forward + 0.5 * side * left, base + side * forward - 0.5 * side * left]
    corners.append(base + 0.5 * side * left)
    target = np.array([[0, 0], [side, 0], [0, side]], np.float32)
    turn = cv2.getAffineTransform(np.array(corners, np.float32) - 0.5, target - 0.5)
    return cv2.warpAffine(panel, turn, (round(side), round(side)), flags=cv2.INTER_NEAREST)


def _count(grid: GridSnapshot, cells: LidarCells) -> np.ndarray:
    """Occupied: all, free, doubtful; ground: all, known, sure, lethal; open ground: the same."""
    known, sure, lethal = grid.cost >= 0, grid.label != UNLABELLED, grid.cost >= 100
    everything = np.ones_like(known)
    counts = [
        (cells.occupied & state).sum() for state in (everything, sure & ~lethal, known & ~sure)
    ]
    for ground in (cells.ground, cells.open):
        counts += [(ground & state).sum() for state in (everything, known, sure, lethal)]
    return np.array(counts)


def _shares(counts: np.ndarray) -> LidarShares:
    occupied, free, doubtful = counts[:3]
    ground, known, sure, lethal = counts[3:7]
    opened, open_known, open_sure, open_lethal = counts[7:]

    def share(part: float, whole: float) -> float:
        return float(part / whole) if whole else float("nan")

    return LidarShares(
        share(free, occupied),
        share(doubtful, occupied),
        share(known, ground),
        share(sure, ground),
        share(lethal, known),
        share(opened, ground),
        share(open_known, opened),
        share(open_sure, opened),
        share(open_lethal, open_known),
        share(doubtful, doubtful + known - sure),
    )


def _lidar_files(folder: Path) -> tuple[np.ndarray, list[Path]]:
    """The lidar's place on the vehicle (4 x 4), and its files in order."""
    path = folder / "calibration.json"
    try:
        pose = np.array(json.loads(path.read_text())["base_T_velodyne"], float)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be used: {error}; it must hold base_T_velodyne") from error
    files = sorted((folder / "lidar").glob("*.npz"))
    if pose.shape != (4, 4) or not files:
        raise ValueError(f"{folder} must hold base_T_velodyne of 4 x 4 values, and lidar/*.npz")
    return pose, files


def _read_points(path: Path) -> np.ndarray:
    try:
        with np.load(path) as content:
            return content["xyz_cm"].astype(float) / 100
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"lidar file {path} cannot be read: {error}") from error


def _transformed(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return points @ pose[:3, :3].T + pose[:3, 3]
