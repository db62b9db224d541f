"""The product: frames of all cameras in, labels and one grid out. All policy is here.

What drives (the node), what scores (replay, benches) and what shows (the demo) are adapters of this
module: they turn messages or records into frames, and its results into messages or figures. In the
order of a frame's way:

- An image that cannot be used is refused, and so is a late one, whose stamp lies at most a second
  before the newest of its camera, or is 0; nothing else changes (camera_intake.py).
- Images of a camera that is paused are left out, and those that come sooner than its rate allows
  (``unwanted``). What its mask covers, and lies outside its region, has no label
  (streaming/image_area.py).
- A stamp that lies farther back, a long gap or a new image size begins that camera's stream anew.
- A reset, or a ROS clock that went back, begins a new *epoch* (``reset``, ``time_went_back``): what
  came in before it is forgotten. Labels of an earlier epoch are not fused, and the grid forgets
  with the epoch (``fuse``).
- Labels more than a second older than the grid are not fused, unless all cameras that fill it went
  back: then it begins anew (costmap/grid_time.py).
- Without CameraInfo or a transform to the camera the grid stays as it is, and so it does where
  odometry is lost; where it never was, the grid holds the newest image alone (``_place``).
- Odometry that jumps is refused until it stays (costmap/motion.py), and so are images that stand
  still while the base moves (costmap/still_images.py).
- A grid that no labels have reached for a while is forgotten (``expire_grid``).
- Grids are published no faster than a rate (``MapResult.publish``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from stmem_ros.camera_intake import CameraIntake
from stmem_ros.costmap.depth import read_depth
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.grid_time import GridTime, OtherTimeError
from stmem_ros.costmap.mapper import Points, SemanticMapper
from stmem_ros.costmap.rate_limiter import RateLimiter
from stmem_ros.costmap.rules import CostRules
from stmem_ros.costmap.staleness import Staleness
from stmem_ros.costmap.still_images import StillImages
from stmem_ros.frames import (
    CameraFrame,
    LabelledFrame,
    LabelResult,
    MapProblem,
    MapResult,
    PlacedMap,
    RefusedFrame,
    View,
    check_familiar,
    no_odometry_text,
)
from stmem_ros.geometry.calibrations import Calibrations
from stmem_ros.geometry.image_poses import ImagePoses
from stmem_ros.geometry.transforms import TransformError, TransformSource
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.memory import MemoryBank
from stmem_ros.streaming.execution import Execution, swap_memory
from stmem_ros.streaming.image_area import WHOLE, ImageArea
from stmem_ros.streaming.segmenter import StageTimings, StreamingSegmenter, push_together

T = TypeVar("T")
AS_TRAINED, NEVER = 0, -1  # values of inference_height
DEPTH_SLOP = 20_000_000  # ns that the stamps of an image and its depth image may lie apart


@dataclass(frozen=True)
class PipelineConfig:
    """What the pipeline may be told; the node's parameters of the same names.

    Attributes:
        cameras: their names.
        areas: what of the images of each camera is labelled; one: of all.
        inference_rates: how many images of each are labelled in a second at most, Hz, 0: all; one:
            of all.
        rectified: the images are rectified: P of camera_info counts, and no distortion.
        inference_height: pixels that images are scaled to for the network; 0: the height the model
            was trained at, -1: never.
        max_gap: a longer pause between images of a camera begins its stream anew, s.
        execution: how the network is run.
        odom_frame, base_frame: the fixed frame of the grid; the robot's frame on the ground.
        transform_timeout: how long the grid waits for late transforms, s.
        costmap_rate: highest rate of published grids, Hz of the image stamps.
        grid: size and behaviour of the grid.
        points: which points are told beside it.
    """

    cameras: tuple[str, ...] = ("",)
    areas: tuple[ImageArea, ...] = (WHOLE,)
    inference_rates: tuple[float, ...] = (0.0,)
    rectified: bool = False
    inference_height: int = AS_TRAINED
    max_gap: float = 1.0
    execution: Execution = field(default_factory=Execution)
    odom_frame: str = "odom"
    base_frame: str = "base_footprint"
    transform_timeout: float = 0.2
    costmap_rate: float = 10.0
    grid: GridConfig = field(default_factory=GridConfig)
    points: Points = Points.CONTACTS


class Pipeline:
    """Labels the frames of some cameras, and keeps the grid that all of them fill.

    One thread may call ``unwanted`` and ``label``, another one ``is_due`` and ``fuse``; any may
    call ``pause``, ``reset``, ``time_went_back`` and ``swap_memory``: they wait for neither.

    Args:
        model: causal, or centred for offline work; None: frames come labelled (``labelled_frame``).
        rules: of the model's classes; None: labels alone.
        transforms: where frames are at a time.

    Attributes:
        streams: the stream of each camera.
        epoch: how often what was seen had to be forgotten.

    Raises:
        ValueError: a value of the configuration is not allowed.
    """

    def __init__(
        self,
        model: BundledSegmenter | None,
        rules: CostRules | None,
        config: PipelineConfig,
        transforms: TransformSource,
    ) -> None:
        self.config = config
        self.streams: dict[str, StreamingSegmenter] = {}
        if model is not None:
            areas = _of_each(config.areas, config.cameras)
            self.streams = {name: _stream(model, config, area) for name, area in areas.items()}
        self._model = model
        self._transforms = transforms
        names = config.odom_frame, config.base_frame
        self._poses = ImagePoses(transforms, *names, config.transform_timeout)
        self._calibrations = Calibrations(config.rectified)
        self._mapper = (
            SemanticMapper(config.grid, rules, config.points) if rules is not None else None
        )
        self._rate = RateLimiter(config.costmap_rate)
        self._staleness = Staleness(config.grid.stale_after)
        self._still_images = StillImages()
        self._grid_time = GridTime()
        rates = _of_each(config.inference_rates, config.cameras)
        self._intakes = {
            name: CameraIntake(self.streams.get(name), rate) for name, rate in rates.items()
        }
        self.epoch = 0
        self._mapped_epoch = 0  # of what the grid holds
        self._new_memory: MemoryBank | None = None

    @property
    def device(self) -> torch.device:
        """The model's."""
        return next(iter(self.streams.values())).device

    @property
    def precision(self) -> str:
        """What the network runs in."""
        return next(iter(self.streams.values())).runner.execution.precision

    @property
    def execution_problem(self) -> str:
        """Why the network is not run as the configuration says; empty if it is."""
        return next(iter(self.streams.values())).runner.problem

    @property
    def window(self) -> int:
        """How many frames the temporal fusion looks at."""
        return next(iter(self.streams.values())).ring.capacity

    # Frames to labels

    def pause(self, camera: str, pauses: bool) -> None:
        """Label no image of a camera, or go on."""
        self._intakes[camera].is_paused = pauses

    def is_paused(self, camera: str) -> bool:
        """Whether no image of a camera is labelled."""
        return self._intakes[camera].is_paused

    def unwanted(self, camera: str, stamp: int, epoch: int | None = None) -> str:
        """Why an image need not even be decoded, as ``label`` would refuse it; empty if it must.

        ``stamp``, ``epoch``: as in ``CameraFrame``.
        """
        return self._intakes[camera].unwanted(stamp, self.epoch if epoch is None else epoch)

    def label(self, frames: Sequence[CameraFrame]) -> LabelResult:
        """Label frames of different cameras that came together, as one batch.

        A centred model labels the frame in the middle of its window: results are of earlier frames.

        Raises:
            Exception: what the network raises; all cameras of ``frames`` begin anew then.
        """
        self._load_memory()
        refused: list[RefusedFrame] = []
        usable: list[CameraFrame] = []
        for frame in frames:
            epoch = self.epoch if frame.epoch is None else frame.epoch
            refusal = self._intakes[frame.camera].refusal(frame, epoch)
            if refusal is None:
                usable.append(frame)
            else:
                refused.append(refusal)
        if not usable:
            return LabelResult((), tuple(refused))
        try:
            segmentations = push_together(
                [self.streams[f.camera] for f in usable],
                [f.rgb for f in usable],
                [f.stamp / 1e9 for f in usable],
            )
        except Exception:
            for frame in usable:
                self._intakes[frame.camera].finish()
            raise
        labelled = []
        for frame, segmentation in zip(usable, segmentations, strict=True):
            intake = self._intakes[frame.camera]
            refused += intake.cut_off(segmentation.restart)
            if (target := intake.target(frame, segmentation)) is not None:
                labelled.append(target)
        return LabelResult(tuple(labelled), tuple(refused))

    def labelled_frame(
        self, frame: CameraFrame, label: np.ndarray, confidence: np.ndarray
    ) -> LabelledFrame:
        """A frame with labels that are known already, uint8 H x W."""
        return LabelledFrame(
            frame=frame,
            label=label,
            confidence=confidence,
            window=1,
            timings=StageTimings(0.0, 0.0, 0.0, 0.0, 0.0),
            restart=None,
            epoch=self.epoch,
        )

    def finish(self) -> tuple[RefusedFrame, ...]:
        """The stream ends: the frames that a centred model has not labelled."""
        return tuple(refused for i in self._intakes.values() for refused in i.finish())

    def swap_memory(self, bank: MemoryBank) -> None:
        """Use another memory bank from the next frame on; ``load_memory`` checks that it fits."""
        self._new_memory = bank

    def reset(self) -> None:
        """Forget all frames that came in so far, and the grid.

        Frames on their way are still labelled, with those before them, but reach no grid.
        """
        self.epoch += 1

    def time_went_back(self) -> None:
        """The ROS clock went back: forget all that is of its time before, transforms too."""
        self.reset()
        self._transforms.time_went_back()

    def _load_memory(self) -> None:
        bank, self._new_memory = self._new_memory, None
        if bank is not None and self._model is not None:
            swap_memory(self._model, bank)

    # Labels to the grid

    def is_due(self, labelled: LabelledFrame, waited: float) -> bool:
        """Whether labels that have waited so many seconds wait for no late transforms any more."""
        frame, is_old = labelled.frame, labelled.epoch != self.epoch
        return is_old or not self._poses.are_awaited(frame.frame_id, frame.stamp, waited)

    def fuse(
        self,
        labelled: LabelledFrame,
        camera_info: Any,
        depth: Any = None,
        now: float | None = None,
    ) -> MapResult | None:
        """Fuse the labels of a frame into the grid; None if what they show was forgotten since.

        It waits for nothing; ``is_due`` tells when it is worth it.

        Args:
            camera_info: the camera's newest sensor_msgs/CameraInfo, of ROS or of a bag; None: none
                has come.
            depth: sensor_msgs/Image of REP-118 of the same moment; None: labels are placed on the
                ground.
            now: of the clock that tells how old the grid is, s; None: the frame's stamp.
        """
        assert self._mapper is not None, "the pipeline has no cost rules"
        if labelled.epoch != self.epoch:
            return None
        if labelled.epoch != self._mapped_epoch:
            self._forget_grid()
            self._mapped_epoch = labelled.epoch
        now = labelled.frame.stamp / 1e9 if now is None else now
        self.expire_grid(now)
        if camera_info is None:
            return MapResult(None, MapProblem.NO_CAMERA_INFO, MapProblem.NO_CAMERA_INFO.value)
        try:
            if self._grid_time.begins_anew(labelled.frame.camera, labelled.frame.stamp):
                self._forget_grid()
                self._transforms.time_went_back()
            result = self._place(self._mapper, labelled, camera_info, depth)
        except (OtherTimeError, TransformError, ValueError) as error:
            return MapResult(None, MapProblem.of(error), str(error))
        self._staleness.renew(now)
        return result

    def expire_grid(self, now: float) -> bool:
        """Forget a grid that is stale, by the clock of ``fuse``; whether it just became so.

        The thread that calls ``fuse`` asks, also while nothing comes.
        """
        if is_stale := self._staleness.expires(now):
            self._forget_grid()
        return is_stale

    def _forget_grid(self) -> None:
        if self._mapper is not None:
            self._mapper.reset()
        self._rate.reset()
        self._grid_time.reset()

    def _place(
        self, mapper: SemanticMapper, labelled: LabelledFrame, camera_info: Any, depth: Any
    ) -> MapResult:
        frame, base, odom = labelled.frame, self.config.base_frame, self.config.odom_frame
        check_familiar(labelled, self.config.grid.strangeness_limit)
        camera = self._calibrations.camera(frame.camera, camera_info, *labelled.label.shape)
        camera_from_base, odom_from_base = self._poses.lookup(frame.frame_id, frame.stamp)
        self._still_images.check(frame.camera, frame.rgb, odom_from_base)
        update = mapper.update(
            labelled.label,
            labelled.confidence,
            frame.stamp / 1e9,
            camera,
            camera_from_base,
            odom_from_base,
            None if depth is None else read_depth(depth, frame.frame_id),
            self._poses.between(mapper.newest, frame.stamp),
        )
        view = View(camera, camera_from_base)
        publish = self._rate.accepts(frame.stamp)
        if odom_from_base is not None:
            self._grid_time.follow(frame.camera, frame.stamp)
            return MapResult(PlacedMap(update, odom, odom_from_base, view), publish=publish)
        placed = PlacedMap(update, base, np.eye(4), view)
        return MapResult(placed, MapProblem.NO_ODOMETRY, no_odometry_text(base, odom), publish)


def _of_each(values: tuple[T, ...], cameras: tuple[str, ...]) -> dict[str, T]:
    """Values by camera: there is one of each, or one of all."""
    of_each = values * len(cameras) if len(values) == 1 else values
    return dict(zip(cameras, of_each, strict=True))


def _stream(model: BundledSegmenter, config: PipelineConfig, area: ImageArea) -> StreamingSegmenter:
    heights = {AS_TRAINED: model.info.height, NEVER: None}
    height = heights.get(config.inference_height, config.inference_height)
    return StreamingSegmenter(model, config.max_gap, height, config.execution, area)
