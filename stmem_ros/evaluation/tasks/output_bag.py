"""Outputs of an offline replay as a bag, with topics, types and stamps as of the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stmem_ros.classes import SemanticClass
from stmem_ros.costmap.messages import label_info, obstacle_cloud, occupancy_grid, semantic_grid
from stmem_ros.costmap.rules import CostRules
from stmem_ros.drawing import overlay
from stmem_ros.evaluation.replay.replayed_frame import FrameState, ReplayedFrame
from stmem_ros.evaluation.results.frame_record import FrameRecord
from stmem_ros.evaluation.tasks.bag_task import BagTask
from stmem_ros.frames import PlacedMap
from stmem_ros.io.bags import BAG_MESSAGES, BagWriter
from stmem_ros.io.compressed_format import RGB_JPEG
from stmem_ros.io.images import encode_jpeg
from stmem_ros.io.messages import nan_if_none
from stmem_ros.io.output_topics import (
    NODE,
    STATISTICS,
    OutputTopic,
    camera_topic,
    output_topics,
)
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.parameters import NodeParameters


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
        parameters: of the node that drives.
    """

    def __init__(
        self,
        path: Path,
        model: str,
        classes: tuple[SemanticClass, ...],
        rules: CostRules | None,
        window: int,
        device: str,
        parameters: NodeParameters,
    ) -> None:
        self._bag = BagWriter(path, compress=True)
        topics = output_topics(rules.layers if rules else (), parameters.cameras)
        self._topics = {topic.name: topic for topic in topics}
        self._model, self._classes, self._rules = model, classes, rules
        self._window, self._device = window, device
        self._parameters = parameters
        self._counts = dict.fromkeys(FrameState, 0)
        self._begun = False

    def add(self, frame: ReplayedFrame, record: FrameRecord) -> None:
        """Write what the node would have published for a frame."""
        time = frame.received
        if not self._begun and self._rules is not None:
            header = BAG_MESSAGES.header(time, "")
            info = label_info(BAG_MESSAGES, self._model, self._rules, header)
            self._write(f"{NODE}/label_info", info, time)
        self._begun = True
        self._counts[frame.state] += 1
        if frame.label is None or frame.confidence is None:
            return
        assert frame.rgb is not None
        header = BAG_MESSAGES.header(frame.stamp, frame.frame_id)
        for name, pixels in (("label", frame.label), ("confidence", frame.confidence)):
            message = BAG_MESSAGES.image(pixels, header)
            self._write(camera_topic(name, frame.camera), message, time)
        jpeg = encode_jpeg(overlay(frame.rgb, frame.label, self._classes))
        picture = BAG_MESSAGES.compressed_image(jpeg, RGB_JPEG, header)
        self._write(camera_topic("overlay/compressed", frame.camera), picture, time)
        if frame.map is not None and self._rules is not None:
            self._write_points(frame.map, frame.label, self._rules, frame.stamp, time)
            if frame.map_published:
                self._write_grid(frame.map, self._rules, frame.stamp, time)
        self._write(camera_topic("statistics", frame.camera), self._statistics(frame), time)

    def close(self) -> None:
        """Finish the bag."""
        self._bag.close()

    def _write_points(
        self, placed: PlacedMap, label: np.ndarray, rules: CostRules, stamp: int, time: int
    ) -> None:
        header = BAG_MESSAGES.header(stamp, self._parameters.base_frame)
        points = obstacle_cloud(BAG_MESSAGES, placed.update, label, rules, header)
        self._write(f"{NODE}/points", points, time)

    def _write_grid(self, placed: PlacedMap, rules: CostRules, stamp: int, time: int) -> None:
        grid = placed.update.grid
        header = BAG_MESSAGES.header(stamp, placed.frame)
        unseen = self._parameters.unseen_cost
        costmap = occupancy_grid(BAG_MESSAGES, grid.cost, grid, header, unseen)
        self._write(f"{NODE}/costmap", costmap, time)
        for name, cost in grid.layers.items():
            layer = occupancy_grid(BAG_MESSAGES, cost, grid, header, unseen)
            self._write(f"{NODE}/layers/{name}", layer, time)
        self._write(f"{NODE}/grid", semantic_grid(BAG_MESSAGES, grid, rules, header), time)

    def _statistics(self, frame: ReplayedFrame) -> Any:
        timings = frame.timings
        assert timings is not None
        milliseconds = {
            "convert": timings.decode_image, "upload": timings.upload,
            "backbone": timings.backbone, "stf": timings.stf, "mar": timings.mar,
            "decode": timings.decode, "costmap": timings.costmap, "total": timings.total,
        }  # fmt: skip
        return BAG_MESSAGES.make(
            STATISTICS,
            header=BAG_MESSAGES.header(frame.stamp, frame.frame_id),
            **{name: value / 1e3 for name, value in milliseconds.items()},
            publish=0.0,
            latency=timings.latency / 1e3 if frame.latency is None else frame.latency,
            ring_length=frame.window,
            ring_capacity=self._window,
            memory_share=nan_if_none(frame.memory_share),
            strangeness=nan_if_none(frame.strangeness),
            frames_dropped=self._counts[FrameState.DROPPED],
            frames_late=self._counts[FrameState.LATE],
            frames_invalid=self._counts[FrameState.INVALID],
            device=self._device,
            device_memory=0,
        )

    def _write(self, name: str, message: Any, time: int) -> None:
        topic: OutputTopic = self._topics[name]
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
        parameters=task.parameters,
    )
