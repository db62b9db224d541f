"""Outputs of an offline replay as a bag, with topics, types and stamps as of the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stmem_ros.classes import SemanticClass
from stmem_ros.costmap.points import labelled_points
from stmem_ros.costmap.rate_limiter import Pace
from stmem_ros.costmap.rules import CostRules
from stmem_ros.drawing import overlay
from stmem_ros.evaluation.replay.replayed_frame import (
    BASE_FRAME,
    FrameState,
    PlacedMap,
    ReplayedFrame,
)
from stmem_ros.evaluation.results.frame_record import FrameRecord
from stmem_ros.evaluation.tasks.bag_task import BagTask
from stmem_ros.io import messages as bag_messages
from stmem_ros.io.bags import BagWriter, types
from stmem_ros.io.images import encode_jpeg
from stmem_ros.io.output_topics import NODE, STATISTICS, OutputTopic, output_topics
from stmem_ros.model.bundle import BundledSegmenter

COSTMAP_RATE = 10.0  # Hz, as the node's parameter costmap_rate


class OutputBag:
    """Writes labels, pictures, grids, points and statistics of each labelled frame.

    Message times are those the images were recorded at, so that a viewer shows both bags together.

    Args:
        path: folder of the new bag.
        model: name of the model.
        classes: of the model.
        rules: of the grid; None without one.
        window: frames the temporal fusion looks at.
        device: torch device.
    """

    def __init__(
        self,
        path: Path,
        model: str,
        classes: tuple[SemanticClass, ...],
        rules: CostRules | None,
        window: int,
        device: str,
    ) -> None:
        self._bag = BagWriter(path, compress=True)
        self._topics = {t.name: t for t in output_topics(rules.layers if rules else ())}
        self._model, self._classes, self._rules = model, classes, rules
        self._window, self._device = window, device
        self._pace = Pace(COSTMAP_RATE)
        self._counts = dict.fromkeys(FrameState, 0)
        self._late = 0
        self._begun = False

    def add(self, frame: ReplayedFrame, record: FrameRecord) -> None:
        """Write what the node would have published for a frame."""
        time = frame.received
        if not self._begun and self._rules is not None:
            self._write("label_info", bag_messages.label_info(self._model, self._rules, time), time)
        self._begun = True
        self._counts[frame.state] += 1
        if frame.restarted.startswith("time went back"):
            self._late += 1
            self._pace.reset()
        if frame.label is None or frame.confidence is None:
            return
        assert frame.rgb is not None
        at = (frame.stamp, frame.frame_id)
        self._write("label", bag_messages.image(frame.label, *at), time)
        self._write("confidence", bag_messages.image(frame.confidence, *at), time)
        picture = encode_jpeg(overlay(frame.rgb, frame.label, self._classes))
        self._write("overlay/compressed", bag_messages.compressed(picture, "jpeg", *at), time)
        if frame.map is not None and self._rules is not None:
            self._write_map(frame.map, frame.label, self._rules, frame.stamp, time)
        self._write("statistics", self._statistics(frame), time)

    def close(self) -> None:
        """Finish the bag."""
        self._bag.close()

    def _write_map(
        self, placed: PlacedMap, label: np.ndarray, rules: CostRules, stamp: int, time: int
    ) -> None:
        at = (stamp, placed.frame)
        points = labelled_points(placed.update, label, rules)
        self._write("points", bag_messages.point_cloud(points, stamp, BASE_FRAME), time)
        if not self._pace.due(stamp):
            return
        grid = placed.update.grid
        self._write("costmap", bag_messages.occupancy_grid(grid.cost, grid, *at), time)
        for name, cost in grid.layers.items():
            self._write(f"layers/{name}", bag_messages.occupancy_grid(cost, grid, *at), time)
        self._write("grid", bag_messages.semantic_grid(grid, rules, *at), time)

    def _statistics(self, frame: ReplayedFrame) -> Any:
        timings = frame.timings
        assert timings is not None
        milliseconds = {
            "convert": timings.decode_image, "upload": timings.upload,
            "backbone": timings.backbone, "stf": timings.stf, "mar": timings.mar,
            "decode": timings.decode, "costmap": timings.costmap, "total": timings.total,
        }  # fmt: skip
        return types().types[STATISTICS](
            header=bag_messages.header(frame.stamp, frame.frame_id),
            **{name: value / 1e3 for name, value in milliseconds.items()},
            publish=0.0,
            latency=timings.latency / 1e3 if frame.latency is None else frame.latency,
            ring_length=frame.window,
            ring_capacity=self._window,
            frames_dropped=self._counts[FrameState.DROPPED],
            frames_late=self._late,
            frames_invalid=self._counts[FrameState.INVALID],
            device=self._device,
            device_memory=0,
        )

    def _write(self, name: str, message: Any, time: int) -> None:
        topic: OutputTopic = self._topics[f"{NODE}/{name}"]
        self._bag.write(topic.name, topic.type, message, time, topic.latched)


def output_bag(task: BagTask, model: BundledSegmenter, rules: CostRules | None) -> OutputBag:
    """The sink of a task."""
    return OutputBag(
        path=task.results.output,
        model=model.info.name,
        classes=model.info.classes,
        rules=rules,
        window=model.architecture.window,
        device=str(next(model.parameters()).device),
    )
