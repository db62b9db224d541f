"""``metrics.json``: the result of an evaluation, for machines.

    format          2
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
    report.html                          for people (report/page.py)
    frames.parquet, timings.parquet      rows of all bags and models (frame_record.py)
    online.json, online/BAG/MODEL/       replays through the real node (online.py, played_bag.py)
    bags/BAG/MODEL/                      results of one bag and model, written by its task:
        result.json                        BagResult; written last, so that it marks a finished task
        frames.parquet, timings.parquet
        ...                                what sinks leave (bag_task.py): pictures, the output bag
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from stmem_ros.evaluation.metrics.figures import Figures, TimingFigures, figures, timing_figures
from stmem_ros.evaluation.metrics.sums import Sums
from stmem_ros.evaluation.results.comparison import Comparison, compare
from stmem_ros.evaluation.results.frame_record import FrameRecord, TimingRecord
from stmem_ros.evaluation.results.record_files import (
    concatenate,
    milliseconds,
    numbers,
    read_rows,
)
from stmem_ros.evaluation.tasks.bag_task import FRAMES, TIMINGS, BagResult, file_digests
from stmem_ros.evaluation.tasks.engines import Ended
from stmem_ros.model.bundle import BundledSegmenter, bundle_folder, load_bundle

METRICS = "metrics.json"
FORMAT = 2


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
    seed = configuration["replay"]["seed"]
    comparisons = tuple(_side_by_side(out, models, seed))
    if baseline is not None:
        comparisons += tuple(_with_baseline(out, models, baseline, seed))
    content = {
        "format": FORMAT,
        "configuration": configuration,
        "execution": execution,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "rosbags": version("rosbags"),
        },
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


def check_baseline(path: Path, models: dict[str, list[str]], bags: Sequence[str]) -> None:
    """Refuse a baseline that cannot be compared with.

    Args:
        models: names of the classes of each model to be compared.
        bags: names of the bags.

    Raises:
        MetricsError: it, or the frames beside it, cannot be used; or there is nothing to compare.
    """
    known = read_metrics(path)["models"]
    if not (path.parent / FRAMES).is_file():
        raise MetricsError(f"{path} has no {FRAMES} beside it, which a comparison needs")
    for name, classes in models.items():
        before = _counterpart(name, known)
        if before is None:
            raise MetricsError(f"{path} has several models, none is {name!r}: {', '.join(known)}")
        if classes != _classes(known[before]):
            raise MetricsError(f"{before!r} of {path} has other classes than {name!r}")
        if not set(known[before]["bags"]) & set(bags):
            have = ", ".join(known[before]["bags"]) or "none"
            raise MetricsError(f"{path} has none of these bags; its bags: {have}")


def _counterpart(name: str, known: dict[str, Any]) -> str | None:
    """The model of a baseline that ``name`` is compared with: of that name, or the only one."""
    if name in known:
        return name
    return next(iter(known)) if len(known) == 1 else None


def _side_by_side(out: Path, models: dict[str, Any], seed: int) -> Iterator[Comparison]:
    """The first model with each other one of the same classes."""
    first, *others = models
    for other in others:
        yield from _compared((out, first, models[first]), (out, other, models[other]), first, seed)


def _with_baseline(
    out: Path, models: dict[str, Any], path: Path, seed: int
) -> Iterator[Comparison]:
    known = read_metrics(path)["models"]
    for name, model in models.items():
        if (before := _counterpart(name, known)) is not None:
            sides = (path.parent, before, known[before]), (out, name, model)
            yield from _compared(*sides, f"{before} ({path})", seed)


def _compared(
    before: tuple[Path, str, Any], after: tuple[Path, str, Any], title: str, seed: int
) -> Iterator[Comparison]:
    """A comparison of two models (folder, name, entry in ``models``), if they share anything."""
    classes = _classes(before[2])
    if classes == _classes(after[2]) and set(before[2]["bags"]) & set(after[2]["bags"]):
        rows = [(folder / FRAMES, name) for folder, name, _ in (before, after)]
        yield compare(rows[0], rows[1], (title, after[1]), classes, seed)


def _classes(model: dict[str, Any]) -> list[str]:
    return [c["name"] for c in model["bundle"]["classes"]]


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
