"""Finished tasks added up: ``metrics.json``, ``frames.parquet``, ``timings.parquet``."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from stmem_ros.evaluation.metrics.figures import (
    Figures,
    TimingFigures,
    figures,
    timing_figures,
)
from stmem_ros.evaluation.metrics.sums import Sums
from stmem_ros.evaluation.results.bag_result import BagResult, milliseconds
from stmem_ros.evaluation.results.baseline import (
    EvaluatedModel,
    compare_models,
    compare_with_baseline,
)
from stmem_ros.evaluation.results.comparison import Comparison
from stmem_ros.evaluation.results.folder import EvaluationFolder
from stmem_ros.evaluation.results.frame_record import FrameRecord, TimingRecord
from stmem_ros.evaluation.results.metrics_file import write_metrics
from stmem_ros.evaluation.results.run_faults import RunFault
from stmem_ros.io.digests import file_digests
from stmem_ros.io.parquet import (
    concatenate,
    numbers,
    read_rows,
)
from stmem_ros.model.bundle import (
    MEMORY,
    WEIGHTS,
    BundledSegmenter,
    bundle_folder,
    load_bundle,
)


@dataclass(frozen=True)
class ModelScores:
    """What all bags together say of a model."""

    totals: Figures
    timing: TimingFigures


@dataclass(frozen=True)
class Failure:
    """A bag that gave nothing at all through a model; ``error`` is one line."""

    bag: str
    model: str
    error: str


@dataclass(frozen=True)
class Configuration:
    """What an evaluation was asked for.

    Attributes:
        options: what the figures depend on (``configuration`` of ``metrics.json``).
        execution: what they do not depend on (``execution``).
        bundles: of the models, by name.
        seed: of the resamples of comparisons.
        baseline: a ``metrics.json`` to compare with, None without.
    """

    options: dict[str, Any]
    execution: dict[str, Any]
    bundles: dict[str, str]
    seed: int
    baseline: Path | None = None


def write_summary(
    folder: EvaluationFolder,
    configuration: Configuration,
    results: Sequence[BagResult],
    failures: Sequence[Failure],
    faults: Sequence[RunFault] = (),
) -> tuple[dict[str, ModelScores], tuple[Comparison, ...]]:
    """Add up finished tasks, compare the models, and write the files of the whole evaluation.

    Args:
        results: of the tasks that gave something; their order is that of the rows.
        faults: what they came to nothing in.

    Returns:
        The scores of each model by name, and the comparisons.

    Raises:
        ValueError: the baseline cannot be used.
    """
    tasks = [folder.task(result.bag, result.model) for result in results]
    concatenate([task.frames for task in tasks], folder.frames, FrameRecord)
    concatenate([task.timings for task in tasks], folder.timings, TimingRecord)
    scores: dict[str, ModelScores] = {}
    models: dict[str, Any] = {}
    timing: dict[str, Any] = {}
    for name, bundle in configuration.bundles.items():
        model = load_bundle(bundle, "cpu")
        classes = [c.name for c in model.info.classes]
        model_results = [result for result in results if result.model == name]
        totals = _figures(folder, model_results, classes)
        scores[name] = ModelScores(totals, _timing_figures(folder, model_results))
        models[name] = {
            "bundle": _bundle_entry(model, bundle_folder(bundle)),
            "totals": asdict(totals),
            "bags": {r.bag: _bag_entry(r, _figures(folder, [r], classes)) for r in model_results},
        }
        timing[name] = {
            "totals": asdict(scores[name].timing),
            "bags": {r.bag: asdict(r.timing) for r in model_results},
        }
    comparisons = _comparisons(folder, models, configuration)
    content = {
        "configuration": configuration.options,
        "execution": configuration.execution,
        "versions": _versions(),
        "models": models,
        "failed": [asdict(failure) for failure in failures],
        "faults": [asdict(fault) for fault in faults],
        "timing": timing,
        "comparisons": [asdict(c) for c in comparisons],
    }
    write_metrics(folder.metrics, content)
    return scores, comparisons


def _figures(
    folder: EvaluationFolder, results: Sequence[BagResult], classes: Sequence[str]
) -> Figures:
    """Of some bags through one model together."""
    sums = Sums.zero(len(classes))
    for result in results:
        sums += result.sums
    tasks = [folder.task(result.bag, result.model) for result in results]
    tables = [read_rows(task.frames, ["grid_age", "latency_ms"]) for task in tasks]
    ages, latencies = (
        np.concatenate([np.zeros(0), *(numbers(table, name) for table in tables)])
        for name in ("grid_age", "latency_ms")
    )
    return figures(sums, classes, ages, latencies)


def _timing_figures(folder: EvaluationFolder, results: Sequence[BagResult]) -> TimingFigures:
    memory = [r.timing.device_memory_mb for r in results if r.timing.device_memory_mb is not None]
    return timing_figures(
        milliseconds([folder.task(r.bag, r.model) for r in results]),
        ", ".join(sorted({r.timing.device for r in results})),
        max(memory, default=None),
        sum(r.timing.seconds for r in results),
    )


def _bag_entry(result: BagResult, bag_figures: Figures) -> dict[str, Any]:
    content = result.to_json()
    names = ("path", "topics", "rectified", "faults", "faulty", "missing_grids", "announced",
             "held", "notes", "error", "sums")  # fmt: skip
    return {"figures": asdict(bag_figures)} | {name: content[name] for name in names}


def _bundle_entry(model: BundledSegmenter, folder: Path) -> dict[str, Any]:
    digests = file_digests(folder)
    return {
        "name": model.info.name,
        "path": str(folder),
        "weights_sha256": digests[WEIGHTS],
        "memory_sha256": digests.get(MEMORY),
        "window": model.architecture.window,
        "causal": model.architecture.causal,
        "parameters": sum(p.numel() for p in model.parameters()),
        "classes": [{"name": c.name, "colour": list(c.colour)} for c in model.info.classes],
    }


def _comparisons(
    folder: EvaluationFolder, models: dict[str, Any], configuration: Configuration
) -> tuple[Comparison, ...]:
    evaluated = [EvaluatedModel(name, entry, folder) for name, entry in models.items()]
    comparisons = list(compare_models(evaluated, configuration.seed))
    if configuration.baseline is not None:
        comparisons += compare_with_baseline(evaluated, configuration.baseline, configuration.seed)
    return tuple(comparisons)


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "rosbags": version("rosbags"),
    }
