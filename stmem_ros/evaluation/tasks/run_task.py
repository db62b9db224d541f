"""Working on a task: its bag is replayed, scored, and shown to the sinks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import torch

from stmem_ros.costmap.rules import CostRules, default_rules, load_rules
from stmem_ros.evaluation.metrics.figures import timing_figures
from stmem_ros.evaluation.replay.bag_replay import BagReplay
from stmem_ros.evaluation.results.bag_result import BagResult, milliseconds
from stmem_ros.evaluation.results.folder import EARLIER_TASK, TaskFolder
from stmem_ros.evaluation.results.frame_record import FrameRecord, TimingRecord
from stmem_ros.evaluation.tasks.bag_scorer import BagScorer
from stmem_ros.evaluation.tasks.bag_task import BagTask
from stmem_ros.evaluation.tasks.frame_sink import FrameSink, SinkMaker
from stmem_ros.evaluation.tasks.online_comparison import online_comparison
from stmem_ros.evaluation.tasks.output_bag import output_bag
from stmem_ros.evaluation.tasks.worst_frames import worst_frames
from stmem_ros.io.bags import BagReader
from stmem_ros.io.output_folder import renew_folder
from stmem_ros.io.parquet import RecordWriter
from stmem_ros.io.peak_memory import peak_memory_mb
from stmem_ros.model.bundle import BundledSegmenter, load_bundle, load_memory
from stmem_ros.parameters import pipeline_config
from stmem_ros.streaming.execution import swap_memory

SINKS: tuple[SinkMaker, ...] = (output_bag, worst_frames, online_comparison)  # of every task


def run_task(task: BagTask, progress: Callable[[], object] = lambda: None) -> None:
    """Replay and score a bag; leaves ``result.json`` in the task's folder as its last act.

    Args:
        progress: called after each frame.

    Raises:
        BagError: the bag gives nothing: it is missing, unreadable, or has no camera.
        BundleError, ValueError: the model, the device or the task's folder cannot be used.
    """
    start = time.perf_counter()
    torch.set_num_threads(task.threads)
    cv2.setNumThreads(task.threads)
    model = _load_model(task.bundle, task.device, task.parameters.memory_bank)
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    folder = task.results
    renew_folder(folder.path, EARLIER_TASK)
    rules = _rules(model, task.parameters.cost_rules)
    scorer = BagScorer(task.bag, task.model, len(model.info.classes), task.parameters.grid, rules)
    with BagReader(Path(task.path)) as bag:
        replay = BagReplay(bag, model, task.options, pipeline_config(task.parameters), rules)
        sinks = [sink for make in SINKS if (sink := make(task, model, rules)) is not None]
        try:
            _score_frames(replay, scorer, folder, sinks, progress)
        finally:
            for sink in sinks:
                sink.close()
    seconds = time.perf_counter() - start
    columns = milliseconds([folder])
    BagResult(
        bag=task.bag,
        model=task.model,
        path=task.path,
        key=task.key,
        topics=replay.topics,
        classes=tuple(c.name for c in model.info.classes),
        sums=scorer.sums,
        faults=tuple(scorer.faults),
        faulty=scorer.faulty,
        notes=replay.notes,
        missing_grids=scorer.missing_grids,
        rectified=replay.rectified,
        announced=replay.announced,
        held=replay.held,
        error=replay.error or None,
        timing=timing_figures(columns, str(device), peak_memory_mb(device), seconds),
    ).write(folder)


def _score_frames(
    replay: BagReplay,
    scorer: BagScorer,
    folder: TaskFolder,
    sinks: Sequence[FrameSink],
    progress: Callable[[], object],
) -> None:
    """Score every frame, write its rows, and show it to the sinks."""
    with (
        RecordWriter(folder.frames, FrameRecord) as rows,
        RecordWriter(folder.timings, TimingRecord) as timings,
    ):
        for frame in replay.frames():
            record = scorer.add(frame)
            rows.add(record)
            if (timing := scorer.timing(frame)) is not None:
                timings.add(timing)
            for sink in sinks:
                sink.add(frame, record)
            progress()


@lru_cache(maxsize=1)
def _load_model(bundle: str, device: str, memory_bank: str) -> BundledSegmenter:
    """A worker's model, kept from task to task."""
    model = load_bundle(bundle, device)
    if memory_bank:
        swap_memory(model, load_memory(Path(memory_bank), model))
    return model


def _rules(model: BundledSegmenter, path: str) -> CostRules | None:
    """The rules of a file, or those shipped for the classes; None without: the replay says why."""
    if path:
        return load_rules(Path(path), model.info.classes)
    try:
        return default_rules(model.info.classes)
    except ValueError:
        return None
