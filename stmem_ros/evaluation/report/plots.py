"""The report's plots, as SVG to put into a page."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from stmem_ros.drawing import SERIES_COLOURS
from stmem_ros.evaluation.metrics.calibration import BINS, Calibration
from stmem_ros.evaluation.replay.replayed_frame import FrameState
from stmem_ros.evaluation.report.definitions import CURVES, Definition
from stmem_ros.evaluation.results.reader import Frames

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES = {
    FrameState.LABELLED.value: "#d5e4d8",
    FrameState.DROPPED.value: "#e8a33d",
    FrameState.LATE.value: "#7a4fb5",
    FrameState.INVALID.value: "#c4221a",
    FrameState.UNLABELLED.value: "#9aa3b0",
}
RESTART = "#4b3fae"
POINTS = 1500  # more frames than this are drawn as the mean and range of as many bins
GAP = 0.14  # inches between curves
MARGINS = (0.5, 0.1)  # inches below and above them
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are no formulas
    "svg.hashsalt": "stmem_ros",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9,
    "axes.edgecolor": "#9aa3b0",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ee",
    "xtick.color": "#626b78",
    "ytick.color": "#626b78",
}


def timeline(models: dict[str, Frames], worst: list[float]) -> str:
    """Every figure over one bag, a curve per model; above them what became of each image.

    Args:
        models: frames of each model, by its name.
        worst: seconds of the frames that are shown as the worst.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    curves = [
        c for c in CURVES if any(np.isfinite(f.values[c.name]).any() for f in models.values())
    ]
    heights = [0.1 + 0.14 * len(models), *[0.85] * len(curves)]
    with mpl.rc_context(STYLE):
        total = sum(heights) + GAP * len(curves) + MARGINS[0] + MARGINS[1]
        figure = Figure(figsize=(12, total))
        grid = {
            "left": 0.12,
            "right": 0.99,
            "bottom": MARGINS[0] / total,
            "top": 1 - MARGINS[1] / total,
            "hspace": GAP * len(heights) / sum(heights),
        }
        axes = figure.subplots(
            len(heights), 1, sharex=True, squeeze=False, height_ratios=heights, gridspec_kw=grid
        )[:, 0]
        _draw_states(axes[0], models, worst)
        for axis, curve in zip(axes[1:], curves, strict=True):
            # The first is the widest, so that curves that lie on each other are all seen.
            widths = np.arange(len(models), 0, -1) * 1.1
            for frames, colour, width in zip(
                models.values(), cycle(SERIES_COLOURS), widths, strict=False
            ):
                _draw_curve(axis, frames, curve, colour, width)
            unit = f" [{curve.unit}]" if curve.unit else ""
            axis.set_ylabel(f"{curve.title}\n{unit}".strip(), rotation=0, ha="right", va="center")
            axis.yaxis.set_label_coords(-0.05, 0.5)
            _limit(axis, curve)
        axes[-1].set_xlim(0, max(_end(frames) for frames in models.values()))
        axes[-1].set_xlabel("seconds since the first image")
        return _svg(figure)


def reliability(models: dict[str, Calibration]) -> str:
    """Share of pixels that are right against confidence, and how many pixels are how sure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 4.9), layout="constrained")
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        top.plot([0, 100], [0, 100], color="#9aa3b0", linewidth=1, linestyle="--")
        edges = np.linspace(0, 100, BINS + 1)
        for (name, calibration), colour in zip(models.items(), cycle(SERIES_COLOURS), strict=False):
            bins = calibration.bins
            known = bins.known
            filled = known > 0
            top.plot(
                100 * bins.confidence[filled] / known[filled],
                100 * bins.right[filled] / known[filled],
                color=colour, marker="o", markersize=3.5, linewidth=1.4, label=name,
            )  # fmt: skip
            below.stairs(100 * known / known.sum(), edges, color=colour, linewidth=1.4)
        top.set(ylabel="pixels that are right [%]", xlim=(0, 100), ylim=(0, 102))
        below.set(xlabel="confidence [%]", ylabel="pixels [%]")
        top.legend(frameon=False, fontsize=8)
        return _svg(figure)


def _draw_states(axis, models: dict[str, Frames], worst: list[float]) -> None:  # type: ignore[no-untyped-def]
    """A strip per model, coloured by what became of each image; a picture, as it stays small."""
    from matplotlib.colors import to_rgb

    for row, frames in enumerate(models.values()):
        if not len(frames.seconds):
            continue
        colours = np.array([to_rgb(STATES[state]) for state in frames.state])
        colours[frames.restarted] = to_rgb(RESTART)
        end = _end(frames)
        places = np.linspace(0, end, max(len(frames.seconds), POINTS), endpoint=False)
        nearest = np.searchsorted(frames.seconds, places, side="right") - 1
        strip = colours[np.maximum(nearest, 0)][None]
        axis.imshow(
            strip, extent=(0, end, -row - 0.9, -row - 0.1), aspect="auto", interpolation="nearest"
        )
    axis.plot(worst, [0.28] * len(worst), "v", color="#1d2127", markersize=4.5, clip_on=False)
    axis.set(yticks=-np.arange(len(models)) - 0.5, ylim=(-len(models), 0.5))
    axis.set_yticklabels(list(models) if len(models) > 1 else ["images"])
    for text, colour in zip(axis.get_yticklabels(), cycle(SERIES_COLOURS), strict=False):
        text.set_color(colour if len(models) > 1 else "#626b78")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def _draw_curve(axis, frames: Frames, curve: Definition, colour: str, width: float) -> None:  # type: ignore[no-untyped-def]
    values = frames.values[curve.name] * (100 if curve.unit == "%" else 1)
    seconds = frames.seconds
    if len(values) > POINTS:
        bins = np.array_split(np.arange(len(values)), POINTS)
        low, mean, high = (
            np.array([_reduce(values[b], function) for b in bins])
            for function in (np.min, np.mean, np.max)
        )
        seconds = np.array([seconds[b].mean() for b in bins])
        axis.fill_between(seconds, low, high, color=colour, alpha=0.2, linewidth=0)
        values = mean
    dots = "." if len(values) <= 400 else ""
    axis.plot(seconds, values, color=colour, linewidth=width, marker=dots, markersize=2 + width)


def _limit(axis, curve: Definition) -> None:  # type: ignore[no-untyped-def]
    """Few ticks, and noise of the last digits not drawn as large as life."""
    low, high = axis.dataLim.intervaly
    smallest = {"%": 2.0, "1/s": 0.1, "s": 0.1, "ms": 5.0}[curve.unit]
    room = max(0.12 * (high - low), (smallest - (high - low)) / 2)
    axis.set_ylim(low - room if low > room else min(0.0, low) - 0.05 * (high + room), high + room)
    axis.locator_params(axis="y", nbins=4)


def _reduce(values: np.ndarray, function: Callable[[np.ndarray], float]) -> float:
    """A function of the finite values, NaN without any."""
    finite = values[np.isfinite(values)]
    return float(function(finite)) if len(finite) else float("nan")


def _end(frames: Frames) -> float:
    """When the next image would come after the last one, s."""
    period = np.median(np.diff(frames.seconds)) if len(frames.seconds) > 1 else 0.1
    return float(frames.seconds[-1] + period) if len(frames.seconds) else 1.0


def _svg(figure: Figure) -> str:
    """The figure without the XML prologue, which has no place in a page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
