"""Two replays of the same bags side by side: what got better, what got worse, how sure that is.

Frames of a drive are no independent samples, so blocks of frames in a row are resampled: a paired
moving-block bootstrap (Kuensch, Annals of Statistics 1989) with blocks that do not overlap. Each
resample takes the same blocks on both sides and works out each figure from its sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stmem_ros.evaluation.metrics.figures import known
from stmem_ros.evaluation.results.record_files import ROWS, numbers

BLOCK = 16  # frames in a row
RESAMPLES = 2000
LEVEL = 95  # percent, of the interval

BETTER, WORSE, OPEN = "better", "worse", "no difference shown"

Blocks = dict[tuple[str, int], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """One figure on both sides.

    Attributes:
        figure: a name of ``Figures``, or ``iou.CLASS``, or ``latency_mean_ms``.
        before, after: of the frames both sides share.
        low, high: the interval of after - before; None with fewer than two blocks.
        verdict: ``better``, ``worse``, or ``no difference shown`` if the interval holds 0.
    """

    figure: str
    before: float
    after: float
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """``after`` against ``before``: names of models; the baseline's with its path.

    Attributes:
        blocks: of up to 16 frames in a row, that were resampled.
    """

    before: str
    after: str
    blocks: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class _Ratio:
    """A figure that is made of sums: names of columns, and how they make it.

    ``value`` takes an array resamples x length for each column and returns one number a resample.
    """

    name: str
    columns: tuple[str, ...]
    value: Callable[..., np.ndarray]
    lower_is_better: bool = False


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return part.sum(axis=1) / whole.sum(axis=1)


def _miou(hits: np.ndarray, union: np.ndarray) -> np.ndarray:
    occurs = union > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(occurs, hits / np.maximum(union, 1), 0).sum(axis=1) / occurs.sum(axis=1)


def _boundary_f(hits: np.ndarray, totals: np.ndarray) -> np.ndarray:
    half = hits.shape[1] // 2  # of the prediction, then of the reference
    share = hits / np.maximum(totals, 1)
    precision, recall = share[:, :half], share[:, half:]
    f = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    occurs = (totals[:, :half] + totals[:, half:]) > 0
    with np.errstate(invalid="ignore"):
        return np.where(occurs, f, 0).sum(axis=1) / occurs.sum(axis=1)


RATIOS = (
    _Ratio("miou", ("hits", "union"), _miou),
    _Ratio("pixel_accuracy", ("right", "labelled"), _share),
    _Ratio("boundary_f", ("boundary_hits", "boundary_totals"), _boundary_f),
    _Ratio("temporal_consistency", ("steady_hits", "steady_union"), _miou),
    _Ratio("flicker", ("changes", "exposure"), _share, lower_is_better=True),
    _Ratio("vc8", ("vc8", "vc8#"), _share),
    _Ratio("vc16", ("vc16", "vc16#"), _share),
    _Ratio("coverage", ("known", "in_view"), _share),
    _Ratio("occupied_not_free", ("occupied_free", "occupied"), lambda *c: 1 - _share(*c)),
    _Ratio(
        "occupied_doubtful",
        ("occupied_doubtful", "occupied"),
        lambda part, rest: _share(part, part + rest),
        lower_is_better=True,
    ),
    _Ratio("ground_not_lethal", ("ground_lethal", "ground"), lambda *c: 1 - _share(*c)),
    _Ratio("latency_mean_ms", ("latency_ms", "latency_ms#"), _share, lower_is_better=True),
)
# Of single numbers that have no counts beside them the frames that have one are counted: NAME#.
_COUNTED = ("vc8", "vc16", "latency_ms")
_LISTS = ("hits", "union", "boundary_hits", "boundary_totals", "steady_hits", "steady_union",
          "changes", "exposure")  # fmt: skip
_NUMBERS = ("right", "labelled", "in_view", "occupied", "occupied_free", "occupied_doubtful",
            "ground", "ground_lethal")  # fmt: skip


def compare(
    before: tuple[Path, str],
    after: tuple[Path, str],
    names: tuple[str, str],
    classes: Sequence[str],
    seed: int,
) -> Comparison:
    """Compare two models, each the rows of its name in a ``frames.parquet``.

    Args:
        before, after: file and name of the model in it.
        names: what to call them.
        classes: of both.

    Raises:
        ValueError: they share no bag.
    """
    width, layout = _layout(len(classes))
    sides = [_block_sums(*side, width, layout) for side in (before, after)]
    shared = {bag for bag, _ in sides[0]} & {bag for bag, _ in sides[1]}
    if not shared:
        raise ValueError(f"{names[0]} and {names[1]} share no bag: nothing to compare")
    keys = sorted(key for key in sides[0].keys() | sides[1].keys() if key[0] in shared)
    sums = [np.array([side.get(key, np.zeros(width)) for key in keys]) for side in sides]
    random = np.random.default_rng([seed, 4])
    chances = np.full(len(keys), 1 / len(keys))
    resamples = [np.empty((RESAMPLES, width)) for _ in sides]
    for i in range(RESAMPLES):
        times = random.multinomial(len(keys), chances)
        for side, resample in zip(sums, resamples, strict=True):
            resample[i] = times @ side
    totals = [side.sum(axis=0)[None] for side in sums]

    differences = []
    for ratio in (*RATIOS, *_class_ratios(classes)):
        columns = [layout[column] for column in ratio.columns]
        was, now = (float(ratio.value(*(t[:, c] for c in columns))[0]) for t in totals)
        if np.isnan(was) or np.isnan(now):
            continue
        drawn = [ratio.value(*(r[:, c] for c in columns)) for r in resamples]
        low, high = _interval(drawn[1] - drawn[0], len(keys))
        verdict = OPEN
        if low is not None and high is not None and (low > 0 or high < 0):
            verdict = BETTER if (low > 0) != ratio.lower_is_better else WORSE
        differences.append(Difference(ratio.name, was, now, low, high, verdict))
    return Comparison(*names, len(keys), tuple(differences))


def _interval(drawn: np.ndarray, blocks: int) -> tuple[float | None, float | None]:
    drawn = drawn[~np.isnan(drawn)]
    if blocks < 2 or not len(drawn):
        return None, None
    low, high = np.percentile(drawn, (50 - LEVEL / 2, 50 + LEVEL / 2))
    return known(low), known(high)


def _class_ratios(classes: Sequence[str]) -> list[_Ratio]:
    def of_class(i: int) -> Callable[..., np.ndarray]:
        return lambda hits, union: _share(hits[:, i : i + 1], union[:, i : i + 1])

    return [_Ratio(f"iou.{name}", ("hits", "union"), of_class(i)) for i, name in enumerate(classes)]


def _layout(classes: int) -> tuple[int, dict[str, slice]]:
    """Where each column's numbers lie in a vector of sums, and how long that is."""
    lengths = {c: 2 * classes if c.startswith("boundary") else classes for c in _LISTS}
    lengths |= dict.fromkeys((*_NUMBERS, "known", *_COUNTED, *(f"{c}#" for c in _COUNTED)), 1)
    ends = np.cumsum(list(lengths.values())).tolist()
    starts = [0, *ends[:-1]]
    return ends[-1], {c: slice(a, b) for c, a, b in zip(lengths, starts, ends, strict=True)}


def _block_sums(path: Path, model: str, width: int, layout: dict[str, slice]) -> Blocks:
    """The sums of each block of a model's frames, by bag and number of the block."""
    columns = ["bag", "model", "index", "coverage", *_LISTS, *_NUMBERS, *_COUNTED]
    blocks: Blocks = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS, columns=columns):
            table = pa.Table.from_batches([batch])
            values = np.zeros((len(table), width))
            for name in (*_LISTS, *_NUMBERS, *_COUNTED):
                column = numbers(table, name)
                if column.size:
                    values[:, layout[name]] = np.nan_to_num(column).reshape(len(table), -1)
            for name in _COUNTED:
                values[:, layout[f"{name}#"]] = ~np.isnan(numbers(table, name))[:, None]
            seen = numbers(table, "coverage") * numbers(table, "in_view")
            values[:, layout["known"]] = np.nan_to_num(seen)[:, None]
            rows = zip(
                *(table.column(c).to_pylist() for c in ("bag", "model", "index")), strict=True
            )
            for row, (bag, of, index) in zip(values, rows, strict=True):
                if of == model:
                    key = (bag, index // BLOCK)
                    blocks[key] = blocks.get(key, 0) + row
    return blocks
