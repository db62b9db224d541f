"""Scoring a replay: from each frame a row of ``frames.parquet``, and the sums of the bag."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.rules import CostRules
from stmem_ros.evaluation.metrics.figures import none_if_nan
from stmem_ros.evaluation.metrics.grid_scores import GridAgreement
from stmem_ros.evaluation.metrics.label_scorer import LabelScorer
from stmem_ros.evaluation.metrics.sums import Sums
from stmem_ros.evaluation.replay.replayed_frame import FrameState, ReplayedFrame
from stmem_ros.evaluation.results.frame_record import Fault, FrameRecord, MissingGrids, TimingRecord
from stmem_ros.streaming.segmenter import RestartKind

FAULTS = 1000  # kept of a bag; frames.parquet has them all


class BagScorer:
    """Scores the frames of one bag, offline or of the real node.

    Args:
        bag, model: names for the rows.
        classes: how many the model has.
        grid: of the frames' grids.
        rules: of the classes; None without grids.

    Attributes:
        sums: of all frames so far.
        faults: the first frames that something is wrong with.
        faulty: how many there are.
    """

    def __init__(
        self, bag: str, model: str, classes: int, grid: GridConfig, rules: CostRules | None
    ) -> None:
        self.faults: list[Fault] = []
        self.faulty = 0
        self._bag = bag
        self._model = model
        self._grid = grid
        self._rules = rules
        self._classes = classes
        self.sums = Sums.zero(classes)
        self._labels: dict[str, LabelScorer] = {}  # of each camera
        self._missing_grids: dict[str, MissingGrids] = {}  # by kind
        self._newest_map: int | None = None  # its stamp, ns
        self._dropped: dict[str, bool] = {}  # of each camera the frame before

    @property
    def missing_grids(self) -> tuple[MissingGrids, ...]:
        """Frames without a grid so far, by the kind of the reason, the most frequent first."""
        kinds = self._missing_grids.values()
        return tuple(sorted(kinds, key=lambda missing: (-missing.frames, missing.kind)))

    def add(self, frame: ReplayedFrame) -> FrameRecord:
        """Score the next frame."""
        counts = self.sums.counts
        setattr(counts, frame.state.value, getattr(counts, frame.state.value) + 1)
        self._note_faults(frame)
        self._note_missing_grid(frame)
        if frame.restart is not None:
            counts.restarts += 1
            self._scorer(frame).restart()
            if frame.restart.kind is RestartKind.TIME_WENT_BACK:
                self._newest_map = None
        return FrameRecord(
            bag=self._bag,
            model=self._model,
            index=frame.index,
            stamp=frame.stamp,
            received=frame.received,
            state=frame.state.value,
            reason=frame.reason,
            restarted="" if frame.restart is None else frame.restart.text,
            window=frame.window,
            memory_share=frame.memory_share,
            strangeness=frame.strangeness,
            reference_problem=frame.reference_problem,
            map_problem=frame.map_problem,
            latency_ms=None if frame.latency is None else 1e3 * frame.latency,
            **self._label_columns(frame),
            **self._map_columns(frame),
            camera=frame.camera,
        )

    def timing(self, frame: ReplayedFrame) -> TimingRecord | None:
        """The row of ``timings.parquet`` of a frame; None if nothing was measured."""
        if frame.timings is None:
            return None
        measured = dataclasses.asdict(frame.timings)
        return TimingRecord(
            self._bag,
            self._model,
            frame.index,
            **{f"{name}_ms": value for name, value in measured.items()},
        )

    def _scorer(self, frame: ReplayedFrame) -> LabelScorer:
        """That of the frame's camera: what came before counts of its own camera alone."""
        if frame.camera not in self._labels:
            self._labels[frame.camera] = LabelScorer(self._classes)
        return self._labels[frame.camera]

    def _note_faults(self, frame: ReplayedFrame) -> None:
        refused = frame.state in (FrameState.LATE, FrameState.INVALID)
        problem = frame.reason if refused else ""
        after_drop = self._dropped.get(frame.camera, False)
        self._dropped[frame.camera] = frame.state is FrameState.DROPPED
        if not problem and frame.restart is not None:
            if after_drop and frame.restart.kind is RestartKind.GAP:
                return  # which the drops made, not the bag
            problem = frame.restart.text
        problem = problem or frame.reference_problem
        if problem:
            self.faulty += 1
            if len(self.faults) < FAULTS:
                self.faults.append(Fault(frame.index, frame.stamp, problem))

    def _note_missing_grid(self, frame: ReplayedFrame) -> None:
        if frame.map is not None:
            return
        problem = frame.map_problem_kind
        kind = frame.state.value if problem is None else problem.name.lower()
        before = self._missing_grids.get(kind)
        first = frame.map_problem or frame.reason if before is None else before.first
        count = 1 if before is None else before.frames + 1
        self._missing_grids[kind] = MissingGrids(kind, count, first)

    def _label_columns(self, frame: ReplayedFrame) -> dict[str, Any]:
        if frame.label is None or frame.rgb is None:
            return {}
        left_out = frame.label == UNLABELLED  # by a mask or a region
        sums = self._scorer(frame).add(
            frame.rgb,
            frame.label,
            frame.confidence,
            frame.reference,
            frame.stamp / 1e9,
            left_out if left_out.any() else None,
        )
        self.sums += sums
        columns: dict[str, Any] = {"mean_confidence": none_if_nan(sums.calibration.mean_confidence)}
        if sums.counts.scored:
            confusion, boundary = sums.confusion, sums.boundary
            columns |= {
                "miou": none_if_nan(confusion.miou),
                "pixel_accuracy": none_if_nan(confusion.pixel_accuracy),
                "boundary_f": none_if_nan(boundary.f),
                "vc8": none_if_nan(sums.vc8.value),
                "vc16": none_if_nan(sums.vc16.value),
                "hits": _counts(confusion.hits),
                "union": _counts(confusion.union),
                "right": int(confusion.hits.sum()),
                "labelled": confusion.labelled,
                "boundary_hits": _counts(boundary.hits.T),
                "boundary_totals": _counts(boundary.totals.T),
            }
        if sums.steady.labelled:
            columns |= {
                "consistency": none_if_nan(sums.steady.miou),
                "flicker": none_if_nan(sums.flicker.rate),
                "steady_hits": _counts(sums.steady.hits),
                "steady_union": _counts(sums.steady.union),
                "changes": _counts(sums.flicker.changes),
                "exposure": tuple(float(v) / 1e6 for v in sums.flicker.exposure),
            }
        return columns

    def _map_columns(self, frame: ReplayedFrame) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        if frame.map is not None:
            self._newest_map = frame.stamp
            sums = Sums.zero(self._classes)
            sums.counts.maps += 1
            sums.coverage.add(frame.map, self._grid.max_range)
            if frame.points is not None and self._rules is not None:
                reach = self._grid.max_range, self._grid.max_height
                sums.agreement.add(frame.map, frame.points, self._rules, *reach)
            self.sums += sums
            columns = {
                "coverage": none_if_nan(sums.coverage.share),
                "in_view": int(sums.coverage.in_view),
                "grid_known": int((frame.map.update.grid.label != UNLABELLED).sum()),
            }
            columns |= {name: int(getattr(sums.agreement, name)) for name in GridAgreement.SUMS}
        if self._newest_map is not None:
            age = max(0, frame.stamp - self._newest_map)
            counts = self.sums.counts
            counts.grid_age += age // 1000
            counts.aged += 1
            columns["grid_age"] = age / 1e9
        return columns


def _counts(counts: np.ndarray) -> tuple[int, ...]:
    return tuple(int(v) for v in counts.reshape(-1))
