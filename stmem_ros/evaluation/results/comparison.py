"""Two replays of the same bags side by side: what got better, what got worse, how sure that is.

Frames of a drive are no independent samples, so blocks of frames in a row are resampled: a paired
moving-block bootstrap (Kuensch, Annals of Statistics 1989) with blocks that do not overlap. Each
resample takes the same blocks on both sides and works out each figure from its sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stmem_ros.evaluation.metrics.figures import none_if_nan
from stmem_ros.io.parquet import ROWS, numbers

BLOCK = 16  # frames in a row
RESAMPLES = 2000
LEVEL = 95  # percent, of the interval


# What a frame is known by on both sides: bag, camera, stamp in ns, how often that came before.
Frame = tuple[str, str, int, int]


class Verdict(str, Enum):
    """What the interval of a difference says."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "no difference shown"  # the interval holds 0


@dataclass(frozen=True)
class Difference:
    """One figure on both sides.

    Attributes:
        figure: a name of ``Figures``, or ``iou.CLASS``, or ``latency_mean_ms``.
        before, after: of the frames both sides share.
        low, high: the interval of after - before; None with fewer than two blocks.
    """

    figure: str
    before: float
    after: float
    low: float | None
    high: float | None
    verdict: Verdict


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

    ``value`` takes an array resamples x length for each column and returns one number per resample.
    """

    name: str
    columns: tuple[str, ...]
    value: Callable[..., np.ndarray]
    lower_is_better: bool = False

    def of(self, sums: np.ndarray, columns: dict[str, slice]) -> np.ndarray:
        """The figure of vectors of sums, N x length, whose columns lie as ``_layout`` says."""
        return self.value(*(sums[:, columns[name]] for name in self.columns))


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
    """Compare two models on the frames both have, each the rows of its name in a
    ``frames.parquet``. A frame is known by its bag, camera and stamp.

    Args:
        before, after: file and name of the model in it.
        names: what to call them.
        classes: of both.

    Raises:
        ValueError: they share no frame.
    """
    layout = _layout(len(classes))
    columns = layout[1]
    frames = [_frame_keys(*side) for side in (before, after)]
    blocks = _numbered_blocks(*frames)
    if not blocks:
        raise ValueError(f"{names[0]} and {names[1]} share no frame: nothing to compare")
    sums = [
        _block_sums(*side, own, blocks, layout)
        for side, own in zip((before, after), frames, strict=True)
    ]
    totals = [side.sum(axis=0)[None] for side in sums]
    resamples = _resample(sums, seed)
    differences = []
    for ratio in (*RATIOS, *_class_ratios(classes)):
        old, new = (float(ratio.of(side, columns)[0]) for side in totals)
        if np.isnan(old) or np.isnan(new):
            continue
        resampled = [ratio.of(side, columns) for side in resamples]
        low, high = _interval(resampled[1] - resampled[0], len(sums[0]))
        verdict = _verdict(low, high, ratio.lower_is_better)
        differences.append(Difference(ratio.name, old, new, low, high, verdict))
    return Comparison(*names, len(sums[0]), tuple(differences))


def _resample(sides: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Sums of blocks drawn at random, the same on both sides; RESAMPLES x length each."""
    blocks, width = sides[0].shape
    random = np.random.default_rng([seed, 4])
    chances = np.full(blocks, 1 / blocks)
    resamples = [np.empty((RESAMPLES, width)) for _ in sides]
    for i in range(RESAMPLES):
        times = random.multinomial(blocks, chances)
        for side, resample in zip(sides, resamples, strict=True):
            resample[i] = times @ side
    return resamples


def _interval(resampled: np.ndarray, blocks: int) -> tuple[float | None, float | None]:
    resampled = resampled[~np.isnan(resampled)]
    if blocks < 2 or not len(resampled):
        return None, None
    low, high = np.percentile(resampled, (50 - LEVEL / 2, 50 + LEVEL / 2))
    return none_if_nan(low), none_if_nan(high)


def _verdict(low: float | None, high: float | None, lower_is_better: bool) -> Verdict:
    if low is None or high is None or low <= 0 <= high:
        return Verdict.OPEN
    return Verdict.BETTER if (low > 0) != lower_is_better else Verdict.WORSE


def _class_ratios(classes: Sequence[str]) -> list[_Ratio]:
    def iou(i: int) -> Callable[..., np.ndarray]:
        return lambda hits, union: _share(hits[:, i : i + 1], union[:, i : i + 1])

    return [_Ratio(f"iou.{name}", ("hits", "union"), iou(i)) for i, name in enumerate(classes)]


def _layout(classes: int) -> tuple[int, dict[str, slice]]:
    """Where each column's numbers lie in a vector of sums, and how long that is."""
    lengths = {c: 2 * classes if c.startswith("boundary") else classes for c in _LISTS}
    lengths |= dict.fromkeys((*_NUMBERS, "known", *_COUNTED, *(f"{c}#" for c in _COUNTED)), 1)
    ends = np.cumsum(list(lengths.values())).tolist()
    starts = [0, *ends[:-1]]
    return ends[-1], {c: slice(a, b) for c, a, b in zip(lengths, starts, ends, strict=True)}


def _frame_keys(path: Path, model: str) -> list[Frame]:
    """The frames of a model in the order of the rows; the only camera of a bag needs no name."""
    columns = ["bag", "model", "stamp"]
    with pq.ParquetFile(path) as file:
        if "camera" in file.schema_arrow.names:  # which files of earlier versions have not
            columns.append("camera")
        rows = file.read(columns).to_pylist()
    rows = [row for row in rows if row["model"] == model]
    cameras: dict[str, set[str]] = {}
    for row in rows:
        cameras.setdefault(row["bag"], set()).add(row.get("camera", ""))
    seen: Counter[tuple[str, str, int]] = Counter()
    frames = []
    for row in rows:
        camera = row["camera"] if len(cameras[row["bag"]]) > 1 else ""
        frame = (row["bag"], camera, row["stamp"])
        frames.append((*frame, seen[frame]))
        seen[frame] += 1
    return frames


def _numbered_blocks(before: Sequence[Frame], after: Sequence[Frame]) -> dict[Frame, int]:
    """The block of each frame that both have: ``BLOCK`` of a bag in a row."""
    both = set(after)
    counts: Counter[str] = Counter()
    places: dict[Frame, tuple[str, int]] = {}
    for frame in before:
        if frame in both:
            places[frame] = (frame[0], counts[frame[0]] // BLOCK)
            counts[frame[0]] += 1
    numbers_of = {place: i for i, place in enumerate(sorted(set(places.values())))}
    return {frame: numbers_of[place] for frame, place in places.items()}


def _block_sums(
    path: Path,
    model: str,
    frames: Sequence[Frame],
    blocks: dict[Frame, int],
    layout: tuple[int, dict[str, slice]],
) -> np.ndarray:
    """The sums of each block of a model's frames, blocks x length of a row.

    Args:
        frames: of the model, in the order of the rows.
        blocks: of the frames that count.
    """
    width, places = layout
    sums = np.zeros((max(blocks.values()) + 1, width))
    keys = iter(frames)
    columns = ["model", "coverage", *_LISTS, *_NUMBERS, *_COUNTED]
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS, columns=columns):
            table = pa.Table.from_batches([batch])
            values = np.zeros((len(table), width))
            for name in (*_LISTS, *_NUMBERS, *_COUNTED):
                column = numbers(table, name)
                if column.size:
                    values[:, places[name]] = np.nan_to_num(column).reshape(len(table), -1)
            for name in _COUNTED:
                values[:, places[f"{name}#"]] = ~np.isnan(numbers(table, name))[:, None]
            known_cells = numbers(table, "coverage") * numbers(table, "in_view")
            values[:, places["known"]] = np.nan_to_num(known_cells)[:, None]
            for row, row_model in zip(values, table.column("model").to_pylist(), strict=True):
                if row_model == model and (block := blocks.get(next(keys))) is not None:
                    sums[block] += row
    return sums
