"""What the real node made of a bag, compared with the offline replay of the same bag."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.mapper import MapUpdate
from stmem_ros.costmap.messages import read_semantic_grid
from stmem_ros.costmap.rules import CostRules
from stmem_ros.evaluation.metrics.figures import figures, none_if_nan, percentile
from stmem_ros.evaluation.replay.replayed_frame import (
    FrameState,
    FrameTimings,
    ReplayedFrame,
    unlabelled,
)
from stmem_ros.evaluation.results.folder import RecordingFolder, TaskFolder
from stmem_ros.evaluation.results.frame_record import FrameRecord
from stmem_ros.evaluation.results.online_figures import OnlineFigures
from stmem_ros.evaluation.results.played_bag import PlayedBag
from stmem_ros.evaluation.tasks.bag_scorer import BagScorer
from stmem_ros.evaluation.tasks.bag_task import BagTask
from stmem_ros.io.bags import BagReader
from stmem_ros.io.images import decode_label
from stmem_ros.io.output_topics import NODE, camera_topic
from stmem_ros.io.parquet import RecordWriter
from stmem_ros.io.stamped_messages import StampedMessages
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.streaming.segmenter import Restart, RestartKind

NO_POINTS = np.zeros((0, 3))


class OnlineComparison:
    """Sees the frames of the offline replay; finds and scores what the node published for each.

    Args:
        recording: of the real node.
        folder: for the figures and the rows of its frames.
        scorer: for the node's frames.
        names: of the classes.
        camera: the one that was played.
    """

    def __init__(
        self,
        recording: RecordingFolder,
        folder: TaskFolder,
        scorer: BagScorer,
        names: tuple[str, ...],
        camera: str,
    ) -> None:
        self._folder = folder
        self._scorer = scorer
        self._names = names
        self._ages: list[float] = []  # of the node's newest grid at each frame, s
        self._rows = RecordWriter(folder.online_frames, FrameRecord)
        self._played = PlayedBag.load(recording)
        self._bag = BagReader(recording.output)
        stamps = set(self._played.stamps)
        self._labels = StampedMessages(self._bag, camera_topic("label", camera), stamps)
        self._confidences = StampedMessages(self._bag, camera_topic("confidence", camera), stamps)
        self._grid_messages = StampedMessages(self._bag, f"{NODE}/grid", stamps)
        self._statistics = StampedMessages(self._bag, camera_topic("statistics", camera), stamps)
        self._has_labelled = False
        self._frames = self._frames_equal = self._pixels = self._pixels_equal = 0
        self._grids = self._grids_equal = 0

    def add(self, frame: ReplayedFrame, record: FrameRecord) -> None:
        """Look at an image of the bag."""
        online = self._online(frame)
        if online.label is not None and frame.label is not None:
            same = int((online.label == frame.label).sum())
            self._frames += 1
            self._frames_equal += same == frame.label.size
            self._pixels += frame.label.size
            self._pixels_equal += same
        if online.map is not None and frame.map is not None:
            self._grids += 1
            self._grids_equal += _grids_equal(online.map.update.grid, frame.map.update.grid)
        online_record = self._scorer.add(online)
        self._rows.add(online_record)
        age = online_record.grid_age
        self._ages.append(float("nan") if age is None else age)

    def close(self) -> None:
        """Write the figures."""
        latencies = 1e3 * np.array(list(self._played.latencies.values()))
        OnlineFigures(
            rate=self._played.rate,
            played=len(self._played.stamps),
            dropped_by_node=self._played.dropped,
            device=self._played.device,
            unmatched=self._labels.unmatched,
            frames_compared=self._frames,
            frames_equal=self._frames_equal,
            pixels_equal=self._pixels_equal / self._pixels if self._pixels else None,
            grids_compared=self._grids,
            grids_equal=self._grids_equal,
            latency_p50_ms=percentile(latencies, 50),
            latency_p95_ms=percentile(latencies, 95),
            latency_max_ms=percentile(latencies, 100),
            figures=figures(self._scorer.sums, self._names, np.array(self._ages), latencies),
        ).write(self._folder.online)
        self._rows.close()
        self._bag.close()

    def _online(self, frame: ReplayedFrame) -> ReplayedFrame:
        """The same image with what the node published for it."""
        # All are taken, so that none waits for a frame that has passed.
        label = self._labels.take(frame.stamp)
        confidence = self._confidences.take(frame.stamp)
        statistics = self._statistics.take(frame.stamp)
        grid = self._grid_messages.take(frame.stamp)
        if label is None or frame.rgb is None:
            state = frame.state if frame.rgb is None else FrameState.DROPPED
            reason = frame.reason if frame.rgb is None else "no label came"
            return unlabelled(frame, state, reason)
        restart = frame.restart
        ring_emptied = statistics is not None and statistics.ring_length == 1
        if restart is None and self._has_labelled and ring_emptied:
            restart = Restart(RestartKind.RESET, "the node's ring was emptied")
        self._has_labelled = True
        placed = None
        if grid is not None and frame.map is not None:
            update = MapUpdate(read_semantic_grid(grid), NO_POINTS, np.zeros(0, np.uint8))
            placed = dataclasses.replace(frame.map, update=update)
        return dataclasses.replace(
            frame,
            state=FrameState.LABELLED,
            reason="",
            restart=restart,
            label=decode_label(label),
            confidence=None if confidence is None else decode_label(confidence),
            window=0 if statistics is None else statistics.ring_length,
            memory_share=None if statistics is None else none_if_nan(statistics.memory_share),
            strangeness=None if statistics is None else none_if_nan(statistics.strangeness),
            map=placed,
            map_problem=frame.map_problem if placed is not None else "",
            latency=self._played.latencies.get(frame.stamp),
            timings=None if statistics is None else self._timings(statistics, frame.stamp),
        )

    def _timings(self, statistics: Any, stamp: int) -> FrameTimings:
        names = ("upload", "backbone", "stf", "mar", "decode", "costmap", "total")
        return FrameTimings(
            decode_image=1e3 * statistics.convert,
            latency=1e3 * self._played.latencies.get(stamp, float("nan")),
            **{name: 1e3 * getattr(statistics, name) for name in names},
        )


def online_comparison(
    task: BagTask, model: BundledSegmenter, rules: CostRules | None
) -> OnlineComparison | None:
    """The sink of a task that was replayed online too."""
    if not task.online:
        return None
    classes = tuple(c.name for c in model.info.classes)
    scorer = BagScorer(task.bag, task.model, len(classes), task.parameters.grid, rules)
    recording = RecordingFolder(Path(task.online))
    (camera,) = task.parameters.cameras
    return OnlineComparison(recording, task.results, scorer, classes, camera)


def _grids_equal(a: GridSnapshot, b: GridSnapshot) -> bool:
    return (
        np.allclose(a.origin, b.origin)
        and np.array_equal(a.label, b.label)
        and np.array_equal(a.cost, b.cost)
        and np.array_equal(a.confidence, b.confidence)
    )
