"""Results as lines and tables for a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import groupby

from stmem_ros.evaluation.evaluate_bags import Evaluation
from stmem_ros.evaluation.evaluate_dataset import Scores
from stmem_ros.evaluation.results.bag_result import BagResult
from stmem_ros.evaluation.results.comparison import BLOCK, Comparison
from stmem_ros.evaluation.results.run_faults import missing_grids_text

SHOWN = 10  # damaged frames of a bag that are listed
COMMON = 0.005  # share of the pixels from which on a class is told as the worst


def bag_table(evaluation: Evaluation) -> str:
    """The figures of all bags together, models side by side; what no model has is left out."""
    scores = evaluation.scores
    totals = [dataclasses.asdict(s.totals) for s in scores.values()]
    timings = [dataclasses.asdict(s.timing) for s in scores.values()]
    rows: list[tuple[str, list[int | float | None]]] = []
    for name, first in totals[0].items():
        if name == "iou":
            rows += [(f"iou {key}", [t[name].get(key) for t in totals]) for key in first]
        elif not isinstance(first, dict):
            rows.append((name, [t[name] for t in totals]))
    simulated = totals[0]["latency_p50_ms"] is not None
    for name in ("latency_p50_ms", "latency_p95_ms", "device_memory_mb", "seconds"):
        title = f"measured {name}" if simulated and name.startswith("latency") else name
        rows.append((title, [t[name] for t in timings]))
    cells = [
        (title, [_number(value) for value in values])
        for title, values in rows
        if any(value is not None for value in values)
    ]
    return _table(22, list(scores), cells)


def comparison_table(comparison: Comparison) -> str:
    """What got better or worse, a line per figure."""
    needs = f"which takes more than {BLOCK} frames"
    source = needs if comparison.blocks < 2 else f"from {comparison.blocks} blocks of frames"
    models = f"{comparison.after} against {comparison.before}"
    lines = [f"{models}: difference and its 95 % interval, {source}"]
    for d in comparison.differences:
        interval = "" if d.low is None else f"[{d.low:+.4f}, {d.high:+.4f}]"
        lines.append(
            f"{d.figure:>22}{d.before:>10.4f} -> {d.after:<8.4f}{d.after - d.before:>+9.4f} "
            f"{interval:<22} {d.verdict.value}"
        )
    return "\n".join(lines)


def topic_lines(evaluation: Evaluation) -> list[str]:
    """What was taken for what, a line for each choice of topics."""
    titles = {"image": "images", "info": "calibration", "label": "reference", "points": "points"}
    lines = (
        ", ".join(f"{title}: {result.topics[key] or 'none'}" for key, title in titles.items())
        + ("; images are rectified" if result.rectified else "; images are not rectified")
        for result in evaluation.results
    )
    return list(dict.fromkeys(lines))


def error_lines(evaluation: Evaluation) -> Iterator[str]:
    """Bags that gave nothing, and those that were read in part only."""
    for outcome in evaluation.outcomes:
        if outcome.error is not None:
            yield f"{outcome.task.bag}, {outcome.task.model}: {outcome.error}"
    for result in evaluation.results:
        if result.error is not None:
            yield f"{result.bag}, {result.model}: read in part only: {result.error}"


def fault_lines(evaluation: Evaluation) -> Iterator[str]:
    """What is wrong with each bag and its frames, which is the same with each model."""
    first_results: dict[str, BagResult] = {}
    for result in evaluation.results:
        first_results.setdefault(result.bag, result)
    for result in first_results.values():
        if missing := sum(m.frames for m in result.missing_grids):
            frames = result.sums.counts.frames
            reasons = missing_grids_text(result)
            yield f"{result.bag}: {missing} of {frames} frames have no grid: {reasons}"
        for note in result.notes:
            yield f"{result.bag}: {note}"
        if result.faulty:
            yield f"{result.bag}: {result.faulty} frames with something wrong"
        for reason, group in groupby(result.faults[:SHOWN], lambda fault: fault.reason):
            first, *others = group
            number = f"frame {first.index}"
            if others:
                number = f"{1 + len(others)} frames from {first.index} on, the first"
            yield f"  {number} at {first.stamp / 1e9:.3f} s: {reason}"
        if result.faulty > SHOWN:
            yield f"  ... and {result.faulty - SHOWN} more, in frames.parquet"


def dataset_table(titles: Sequence[str], scores: Sequence[Scores]) -> str:
    """Scores side by side, a line per figure; shares in percent."""
    shares: list[tuple[str, list[float | None]]] = [
        *((name, [s.iou[name] for s in scores]) for name in scores[0].iou),
        ("mIoU", [s.miou for s in scores]),
        ("pixels", [s.pixel_accuracy for s in scores]),
        ("boundary F", [s.boundary_f for s in scores]),
        ("boundary IoU", [s.boundary_iou for s in scores]),
        ("consistency", [s.temporal_consistency for s in scores]),
        ("VC8", [s.vc8 for s in scores]),
        ("VC16", [s.vc16 for s in scores]),
        ("ECE", [s.ece for s in scores]),
    ]
    rows = [
        *((name, [_percent(v) for v in vs]) for name, vs in shares),
        ("flicker, Hz", ["-" if s.flicker is None else f"{s.flicker:.3f}" for s in scores]),
        ("M parameters", [f"{s.parameters / 1e6:.2f}" for s in scores]),
        ("GFLOP per frame", [f"{s.gflop_per_frame:.2f}" for s in scores]),
        ("ms per frame", [f"{s.ms_per_frame:.2f}" for s in scores]),
    ]
    return _table(16, titles, rows)


def interval_table(titles: Sequence[str], scores: dict[str, dict[str, Scores]]) -> str:
    """mIoU of variants by disturbance; below, what they add to the first one, and its worst class.

    Args:
        titles: of the variants.
        scores: by disturbance, then by variant. Classes of less than ``COMMON`` of the pixels are
            no worst class.
    """
    lines = [" " * 22 + "".join(f"{title:>20}" for title in titles)]
    for name, of_variants in scores.items():
        baseline, *others = of_variants.values()
        cells = [_percent(variant.miou) for variant in of_variants.values()]
        lines.append(f"{name:>22}" + "".join(f"{cell:>20}" for cell in cells))
        gains = [_difference(variant.miou, baseline.miou) for variant in others]
        lines.append(f"{'difference':>22}{'':>20}" + "".join(f"{gain:>20}" for gain in gains))
        worst = [_worst_class(variant, baseline) for variant in others]
        lines.append(f"{'worst class':>22}{'':>20}" + "".join(f"{cell:>20}" for cell in worst))
    return "\n".join(lines)


def _table(width: int, titles: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A line per row with a cell per title; names of rows take ``width`` characters."""
    cell = 1 + max(14, *map(len, titles))
    lines = [("", titles), *rows]
    return "\n".join(
        f"{name:>{width}}" + "".join(f"{text:>{cell}}" for text in texts) for name, texts in lines
    )


def _worst_class(variant: Scores, baseline: Scores) -> str:
    """The common class that a variant makes worst, or least better."""
    differences = {
        name: iou - before
        for name, iou in variant.iou.items()
        if iou is not None
        and (before := baseline.iou[name]) is not None
        and baseline.class_share[name] >= COMMON
    }
    if not differences:
        return "-"
    name = min(differences, key=lambda key: differences[key])
    return f"{name} {100 * differences[name]:+.2f}"


def _difference(value: float | None, before: float | None) -> str:
    return "-" if value is None or before is None else f"{100 * (value - before):+.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _number(value: int | float | None) -> str:
    return "-" if value is None else f"{value}" if isinstance(value, int) else f"{value:.4f}"
