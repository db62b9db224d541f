"""Pictures of a replay's worst frames, kept while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stmem_ros.classes import SemanticClass
from stmem_ros.costmap.rules import CostRules
from stmem_ros.drawing import GridView, bird_view, error_picture, overlay
from stmem_ros.evaluation.replay.replayed_frame import ReplayedFrame
from stmem_ros.evaluation.results.folder import picture_path
from stmem_ros.evaluation.results.frame_record import FrameRecord
from stmem_ros.evaluation.tasks.bag_task import BagTask
from stmem_ros.frames import PlacedMap
from stmem_ros.io.images import encode_jpeg
from stmem_ros.model.bundle import BundledSegmenter

KEPT = 8  # frames of a bag and model
APART = 0.5  # s between two of them, so that not all show the same moment
WIDTH = 480  # pixels of a camera picture
QUALITY = 80


@dataclass(frozen=True)
class _BadFrame:
    """A frame that is kept, with its pictures as JPEG; ``badness`` is higher for worse frames."""

    index: int
    received: int
    badness: float
    pictures: dict[str, bytes]


class WorstFrames:
    """Keeps the frames with the lowest mIoU; where there are no references, lowest consistency.

    Pictures are written to ``folder`` when it is closed.
    """

    def __init__(self, folder: Path, classes: tuple[SemanticClass, ...]) -> None:
        self._folder = folder
        self._classes = classes
        self._worst: list[_BadFrame] = []  # the worst first
        self._scored = False  # there are references
        self._grid: PlacedMap | None = None

    def add(self, frame: ReplayedFrame, record: FrameRecord) -> None:
        """Look at a frame."""
        self._grid = frame.map or (None if frame.restart else self._grid)
        if record.miou is not None and not self._scored:
            self._scored, self._worst = True, []
        value = record.miou if self._scored else record.consistency
        if value is None:
            return
        near = [k for k in self._worst if abs(k.received - frame.received) < APART * 1e9]
        others = [k for k in self._worst if k not in near]
        rivals = near or others[KEPT - 1 :]  # a frame has to be worse than these to be kept
        if any(k.badness >= -value for k in rivals):
            return
        bad_frame = _BadFrame(frame.index, frame.received, -value, self._draw(frame))
        self._worst = sorted([*others[: KEPT - 1], bad_frame], key=lambda k: -k.badness)

    def close(self) -> None:
        """Write the pictures."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for bad_frame in self._worst:
            for name, data in bad_frame.pictures.items():
                picture_path(self._folder, bad_frame.index, name).write_bytes(data)

    def _draw(self, frame: ReplayedFrame) -> dict[str, bytes]:
        assert frame.rgb is not None and frame.label is not None
        height = round(frame.rgb.shape[0] * WIDTH / frame.rgb.shape[1])
        pictures = {"camera": frame.rgb, "label": overlay(frame.rgb, frame.label, self._classes)}
        if frame.reference is not None:
            pictures["reference"] = overlay(frame.rgb, frame.reference, self._classes)
            pictures["errors"] = error_picture(frame.rgb, frame.label, frame.reference)
        if self._grid is not None:
            pictures["grid"] = bird_view(_view(self._grid), self._classes, 2 * (height // 2))
        return {
            name: encode_jpeg(
                picture
                if name == "grid"
                else cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA),
                QUALITY,
            )
            for name, picture in pictures.items()
        }


def worst_frames(task: BagTask, model: BundledSegmenter, rules: CostRules | None) -> WorstFrames:
    """The sink of a task."""
    return WorstFrames(task.results.worst, model.info.classes)


def _view(placed: PlacedMap) -> GridView:
    grid = placed.update.grid
    return GridView(
        label=grid.label,
        cost=np.asarray(grid.cost),
        origin=grid.origin,
        resolution=grid.resolution,
        grid_from_base=placed.grid_from_base,
    )
