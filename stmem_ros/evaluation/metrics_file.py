"""``metrics.json``: the result of an evaluation, for machines.

    format          1
    configuration   what the figures depend on: bags, models, replay, grid, device, threads
    execution       jobs, engine, address, resume
    versions        of python, torch, numpy, opencv, rosbags
    models          by name:
        bundle        name, path, weights_sha256, memory_sha256 (null without MAR), window, causal,
                      parameters, classes (name, colour)
        totals        Figures of all bags together
        bags          by name:
            path        of the bag
            topics      image, info, label, points: the topics read; null: not there
            figures     Figures
            faults      list of Fault: index, stamp, reason; the first 1000
            faulty      how many there are
            notes       what else is wrong with the bag, a line each
            error       why the bag could not be read to its end, null if it could
            sums        the accumulators, from which totals are added exactly
    failed          list of {bag, model, error}: bags that gave nothing at all
    timing          by name of the model: {totals: TimingFigures, bags: {name: TimingFigures}}
    comparisons     list of Comparison (comparison.py): models side by side, or with a baseline

Two runs of the same configuration differ in ``timing`` and ``execution`` alone.

Folder of an evaluation (``--out DIR``):

    metrics.json
    frames.parquet, timings.parquet      rows of all bags and models (frame_record.py)
    bags/BAG/MODEL/                      results of one bag and model, written by its task:
        result.json                        BagResult; written last, so that it marks a finished task
        frames.parquet, timings.parquet
        ...                                what sinks leave (bag_task.py): pictures, the output bag
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from stmem_ros.evaluation.bag_task import FRAMES, TIMINGS, BagResult, file_digests
from stmem_ros.evaluation.comparison import Comparison, compare
from stmem_ros.evaluation.engines import Ended
from stmem_ros.evaluation.figures import Figures, TimingFigures, figures, timing_figures
from stmem_ros.evaluation.frame_record import FrameRecord, TimingRecord
from stmem_ros.evaluation.record_files import concatenate, milliseconds, numbers, read_rows
from stmem_ros.evaluation.sums import Sums
from stmem_ros.model.bundle import BundledSegmenter, bundle_folder, load_bundle

METRICS = "metrics.json"
FORMAT = 1
VERSIONS = ("torch", "numpy", "opencv-python-headless", "rosbags")


@dataclass(frozen=True)
class ModelScores:
    """What all bags together say of a model."""

    totals: Figures
    timing: TimingFigures


class MetricsError(ValueError):
    """A ``metrics.json`` cannot be used; the message names it and says why."""


def write_results(
    out: Path,
    configuration: dict[str, Any],
    execution: dict[str, Any],
    bundles: dict[str, str],
    ended: Sequence[Ended],
    baseline: Path | None = None,
) -> tuple[dict[str, ModelScores], tuple[Comparison, ...]]:
    """Add up finished tasks and write ``metrics.json``, ``frames.parquet``, ``timings.parquet``.

    Args:
        bundles: of the models, by name.
        ended: all tasks; their order is that of the rows.
        baseline: a ``metrics.json`` to compare with; the first model is compared with the others.

    Returns:
        The scores of each model by name, and the comparisons.

    Raises:
        ValueError: the baseline cannot be used.
    """
    folders = [Path(e.task.folder) for e in ended if e.error is None]
    concatenate([f / FRAMES for f in folders], out / FRAMES, FrameRecord)
    concatenate([f / TIMINGS for f in folders], out / TIMINGS, TimingRecord)
    models: dict[str, Any] = {}
    timing: dict[str, Any] = {}
    scores: dict[str, ModelScores] = {}
    for name, bundle in bundles.items():
        model = load_bundle(bundle, "cpu")
        folders = [Path(e.task.folder) for e in ended if e.error is None and e.task.model == name]
        results = [BagResult.read(folder) for folder in folders]
        classes = [c.name for c in model.info.classes]
        total = Sums.zero(len(classes))
        for result in results:
            total += result.sums
        scores[name] = ModelScores(_figures(total, classes, folders), _timing(results, folders))
        models[name] = {
            "bundle": _describe(model, bundle_folder(bundle)),
            "totals": asdict(scores[name].totals),
            "bags": {
                r.bag: _bag(r, _figures(r.sums, classes, [folder]))
                for r, folder in zip(results, folders, strict=True)
            },
        }
        timing[name] = {
            "totals": asdict(scores[name].timing),
            "bags": {r.bag: asdict(r.timing) for r in results},
        }
    classes_of = {n: [c["name"] for c in m["bundle"]["classes"]] for n, m in models.items()}
    seed = configuration["replay"]["seed"]
    comparisons = _side_by_side(out, classes_of, seed)
    if baseline is not None:
        comparisons += _with_baseline(out, classes_of, baseline, seed)
    content = {
        "format": FORMAT,
        "configuration": configuration,
        "execution": execution,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in VERSIONS},
        "models": models,
        "failed": [
            {"bag": e.task.bag, "model": e.task.model, "error": e.error}
            for e in ended
            if e.error is not None
        ],
        "timing": timing,
        "comparisons": [asdict(c) for c in comparisons],
    }
    (out / METRICS).write_text(json.dumps(content, indent=1) + "\n")
    return scores, comparisons


def read_metrics(path: Path) -> dict[str, Any]:
    """A ``metrics.json`` as :func:`write_results` left it.

    Raises:
        MetricsError: it is missing, no such file, or of another format.
    """
    try:
        content = json.loads(path.read_text())
        known = content["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetricsError(
            f"{path} is no metrics.json of `stmem evaluate`: {type(error).__name__} {error}"
        ) from error
    if known != FORMAT:
        raise MetricsError(f"{path} has the format {known}; this version reads {FORMAT}")
    return content


def check_baseline(path: Path) -> dict[str, list[str]]:
    """The models of a baseline and their classes, by name.

    Raises:
        MetricsError: it, or the frames beside it, cannot be used.
    """
    content = read_metrics(path)
    if not (path.parent / FRAMES).is_file():
        raise MetricsError(f"{path} has no {FRAMES} beside it, which a comparison needs")
    return {
        name: [c["name"] for c in model["bundle"]["classes"]]
        for name, model in content["models"].items()
    }


def _side_by_side(out: Path, models: dict[str, list[str]], seed: int) -> tuple[Comparison, ...]:
    """The first model with each other one of the same classes."""
    first, *others = models
    rows = out / FRAMES
    return tuple(
        compare((rows, first), (rows, other), (first, other), models[first], seed)
        for other in others
        if models[other] == models[first]
    )


def _with_baseline(
    out: Path, models: dict[str, list[str]], baseline: Path, seed: int
) -> tuple[Comparison, ...]:
    """Each model with the baseline's of that name, or with its only one."""
    known = check_baseline(baseline)
    comparisons = []
    for name, classes in models.items():
        before = name if name in known else next(iter(known))
        if name not in known and len(known) > 1:
            raise MetricsError(
                f"{baseline} has several models and none is {name!r}: {', '.join(known)}"
            )
        if known[before] != classes:
            raise MetricsError(f"{before!r} of {baseline} has other classes than {name!r}")
        comparisons.append(
            compare(
                (baseline.parent / FRAMES, before),
                (out / FRAMES, name),
                (f"{before} ({baseline})", name),
                classes,
                seed,
            )
        )
    return tuple(comparisons)


def _figures(sums: Sums, classes: Sequence[str], folders: Sequence[Path]) -> Figures:
    tables = [read_rows(folder / FRAMES, ["grid_age", "latency_ms"]) for folder in folders]
    ages, latencies = (
        np.concatenate([np.zeros(0), *(numbers(table, name) for table in tables)])
        for name in ("grid_age", "latency_ms")
    )
    return figures(sums, classes, ages, latencies)


def _timing(results: Sequence[BagResult], folders: Sequence[Path]) -> TimingFigures:
    memory = [r.timing.device_memory_mb for r in results if r.timing.device_memory_mb is not None]
    return timing_figures(
        milliseconds([folder / TIMINGS for folder in folders]),
        ", ".join(sorted({r.timing.device for r in results})),
        max(memory, default=None),
        sum(r.timing.seconds for r in results),
    )


def _bag(result: BagResult, scored: Figures) -> dict[str, Any]:
    content = result.to_json()
    kept = ("path", "topics", "faults", "faulty", "notes", "error", "sums")
    return {"figures": asdict(scored)} | {name: content[name] for name in kept}


def _describe(model: BundledSegmenter, folder: Path) -> dict[str, Any]:
    digests = file_digests(folder)
    return {
        "name": model.info.name,
        "path": str(folder),
        "weights_sha256": digests["weights.safetensors"],
        "memory_sha256": digests.get("memory.safetensors"),
        "window": model.architecture.window,
        "causal": model.architecture.causal,
        "parameters": sum(p.numel() for p in model.parameters()),
        "classes": [{"name": c.name, "colour": list(c.colour)} for c in model.info.classes],
    }
