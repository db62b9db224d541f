"""Figures: what sums come to, for labels and for whole drives (``metrics.json``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from stmem_ros.evaluation.metrics.sums import Sums

F = TypeVar("F", bound="LabelFigures")


@dataclass(frozen=True)
class LabelFigures:
    """How good labels are; shares, not percent. None: not measured, or nothing to measure it on.

    Attributes:
        miou, pixel_accuracy: of all scored pixels; ``iou`` the same per class, by name.
        boundary_f, boundary_iou: agreement of the edges, mean over classes.
        temporal_consistency: mIoU of labels against the flow-warped labels of the frame before.
        vc8, vc16: video consistency over 8 and 16 frames (Miao et al., CVPR 2021).
        flicker: label changes per pixel and second along the flow.
        ece: expected calibration error of the confidence, 15 bins of equal width.
    """

    miou: float | None
    iou: dict[str, float | None]
    pixel_accuracy: float | None
    boundary_f: float | None
    boundary_iou: float | None
    temporal_consistency: float | None
    vc8: float | None
    vc16: float | None
    flicker: float | None
    ece: float | None

    @classmethod
    def of(cls: type[F], sums: Sums, names: Sequence[str], **others: Any) -> F:
        """The figures of sums, whatever they were added from.

        Args:
            names: of the classes.
            others: the fields that a subclass adds.
        """
        return cls(
            miou=none_if_nan(sums.confusion.miou),
            iou=_by_name(names, sums.confusion.iou),
            pixel_accuracy=none_if_nan(sums.confusion.pixel_accuracy),
            boundary_f=none_if_nan(sums.boundary.f),
            boundary_iou=none_if_nan(sums.boundary.iou),
            temporal_consistency=none_if_nan(sums.steady.miou),
            vc8=none_if_nan(sums.vc8.value),
            vc16=none_if_nan(sums.vc16.value),
            flicker=none_if_nan(sums.flicker.rate),
            ece=none_if_nan(sums.calibration.ece),
            **others,
        )


@dataclass(frozen=True)
class Figures(LabelFigures):
    """Figures of labelled drives; the same in every run.

    The names of the numbers are those that ``--fail-under`` and ``--fail-over`` take.

    Attributes:
        frames: images replayed: labelled + dropped + late + invalid + unlabelled.
        labelled, dropped, late, invalid, unlabelled: by what became of them (``FrameState``).
        restarts: times the stream began anew in the middle.
        scored: labelled frames with a reference.
        drop_rate: dropped / frames.
        mean_confidence: of all labelled pixels.
        class_flicker: the flicker by the class before the change.
        maps: frames that updated the grid.
        coverage: share of the ground in view within range that has a class, over all frames.
        grid_age_mean_s, grid_age_max_s: age of the newest grid when an image arrives.
        occupied_not_free: of the cells that reference points fill and that have a class, the share
            that is not free.
        occupied_doubtful: of the cells that reference points fill and that have a class or are
            doubtful ground, the share that is doubtful.
        ground_not_lethal: of the cells where reference points show ground alone and that have a
            class, the share that is not lethal.
        latency_p50_ms, latency_p95_ms, latency_max_ms: of the simulated machine.
    """

    frames: int
    labelled: int
    dropped: int
    late: int
    invalid: int
    unlabelled: int
    restarts: int
    scored: int
    drop_rate: float | None
    mean_confidence: float | None
    class_flicker: dict[str, float | None]
    maps: int
    coverage: float | None
    grid_age_mean_s: float | None
    grid_age_max_s: float | None
    occupied_not_free: float | None
    occupied_doubtful: float | None
    ground_not_lethal: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_max_ms: float | None


@dataclass(frozen=True)
class TimingFigures:
    """What was measured on the machine at hand; never the same twice.

    Attributes:
        latency_p50_ms, latency_p95_ms, latency_max_ms: image in to label out (``FrameTimings``).
        stages_ms: median of each stage, by name.
        device: torch device.
        device_memory_mb: largest memory held on it; on a CPU, of the process.
        seconds: wall time, of all bags added.
    """

    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_max_ms: float | None
    stages_ms: dict[str, float]
    device: str
    device_memory_mb: float | None
    seconds: float


def figures(sums: Sums, names: Sequence[str], ages: np.ndarray, latencies: np.ndarray) -> Figures:
    """The figures of the sums of drives.

    Args:
        names: of the classes.
        ages: of the grid at each frame, s, in any order; NaN before the first grid.
        latencies: of the simulated machine, ms, in any order; NaN without.
    """
    counts = sums.counts
    return Figures.of(
        sums,
        names,
        frames=counts.frames,
        labelled=int(counts.labelled),
        dropped=int(counts.dropped),
        late=int(counts.late),
        invalid=int(counts.invalid),
        unlabelled=int(counts.unlabelled),
        restarts=int(counts.restarts),
        scored=int(counts.scored),
        drop_rate=float(counts.dropped / counts.frames) if counts.frames else None,
        mean_confidence=none_if_nan(sums.calibration.mean_confidence),
        class_flicker=_by_name(names, sums.flicker.class_rates),
        maps=int(counts.maps),
        coverage=none_if_nan(sums.coverage.share),
        grid_age_mean_s=float(counts.grid_age / counts.aged / 1e6) if counts.aged else None,
        grid_age_max_s=percentile(ages, 100),
        occupied_not_free=none_if_nan(sums.agreement.occupied_not_free),
        occupied_doubtful=none_if_nan(sums.agreement.doubtful_share),
        ground_not_lethal=none_if_nan(sums.agreement.ground_not_lethal),
        latency_p50_ms=percentile(latencies, 50),
        latency_p95_ms=percentile(latencies, 95),
        latency_max_ms=percentile(latencies, 100),
    )


def timing_figures(
    columns: dict[str, np.ndarray], device: str, memory_mb: float | None, seconds: float
) -> TimingFigures:
    """Timing figures of the columns of ``timings.parquet`` that end in ``_ms``, in any order."""
    latencies = columns["latency_ms"]
    stages = {name.removesuffix("_ms"): percentile(v, 50) for name, v in columns.items()}
    return TimingFigures(
        latency_p50_ms=percentile(latencies, 50),
        latency_p95_ms=percentile(latencies, 95),
        latency_max_ms=percentile(latencies, 100),
        stages_ms={name: ms for name, ms in stages.items() if ms is not None},
        device=device,
        device_memory_mb=memory_mb,
        seconds=seconds,
    )


def percentile(values: np.ndarray, percent: float) -> float | None:
    """A percentile of the values that are not NaN, None without any."""
    values = values[~np.isnan(values)]
    return float(np.percentile(values, percent)) if len(values) else None


def none_if_nan(value: float) -> float | None:
    """The value, None for NaN (which JSON does not have)."""
    return None if np.isnan(value) else float(value)


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    return {name: none_if_nan(value) for name, value in zip(names, values, strict=True)}
