"""The results of an evaluation, read back from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stmem_ros.evaluation.metrics.calibration import Calibration
from stmem_ros.evaluation.metrics.confusion import ConfusionMatrix
from stmem_ros.evaluation.results.folder import (
    PICTURES,
    EvaluationFolder,
    TaskFolder,
    picture_path,
    pictured_frames,
)
from stmem_ros.evaluation.results.metrics_file import read_metrics
from stmem_ros.io.parquet import numbers, read_rows

NUMBERS = (
    "index", "miou", "boundary_f", "vc8", "consistency", "flicker", "mean_confidence",
    "coverage", "grid_age", "occupied", "occupied_free", "latency_ms",
)  # fmt: skip
TEXTS = ("state", "restarted")


@dataclass(frozen=True)
class Frames:
    """Rows of ``frames.parquet`` of one bag and model, by column; numbers without a value are NaN.

    Attributes:
        seconds: since the bag's first image.
        state: names of ``FrameState``.
        restarted: whether the stream began anew.
        values: curves by name (``definitions.CURVES``).
    """

    index: np.ndarray
    seconds: np.ndarray
    state: np.ndarray
    restarted: np.ndarray
    values: dict[str, np.ndarray]


@dataclass(frozen=True)
class WorstFrame:
    """A bad frame and its pictures (JPEG), by name as in ``folder.PICTURES``."""

    bag: str
    model: str
    index: int
    seconds: float
    values: dict[str, float]
    pictures: dict[str, bytes]


@dataclass(frozen=True)
class Results:
    """What is in the folder of an evaluation.

    Attributes:
        folder: of the evaluation.
        metrics: ``metrics.json``.
        online: ``online.json``: replays through the real node, by model and bag; empty without.
    """

    folder: EvaluationFolder
    metrics: dict[str, Any]
    online: dict[str, Any]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.metrics["models"])

    @cached_property
    def bags(self) -> tuple[str, ...]:
        """Names of all bags that gave results, in order."""
        return tuple(
            dict.fromkeys(bag for m in self.metrics["models"].values() for bag in m["bags"])
        )

    def of_bag(self, bag: str) -> dict[str, dict[str, Any]]:
        """The entries of a bag in ``metrics.json``, by model; at least one."""
        models = self.metrics["models"].items()
        return {name: model["bags"][bag] for name, model in models if bag in model["bags"]}

    def classes(self, model: str) -> list[dict[str, Any]]:
        """Name and colour of each class of a model."""
        return self.metrics["models"][model]["bundle"]["classes"]

    def confusion(self, model: str) -> ConfusionMatrix:
        """Of all bags together."""
        total = ConfusionMatrix(len(self.classes(model)))
        for bag in self.metrics["models"][model]["bags"].values():
            total += ConfusionMatrix(len(total.counts)).load_json(bag["sums"]["confusion"])
        return total

    def calibration(self, model: str) -> Calibration:
        """Of all bags together."""
        total = Calibration()
        for bag in self.metrics["models"][model]["bags"].values():
            total += Calibration().load_json(bag["sums"]["calibration"])
        return total

    def frames(self, bag: str, model: str, online: bool = False) -> Frames | None:
        """Frame by frame, as replayed offline or by the real node; None where that was not done."""
        task = self.folder.task(bag, model)
        path = task.online_frames if online else task.frames
        if not path.is_file():
            return None
        table = read_rows(path, ("received", *NUMBERS, *TEXTS))
        values = {name: numbers(table, name) for name in NUMBERS}
        texts = {name: np.array(table.column(name).to_pylist(), object) for name in TEXTS}
        if np.isnan(values["latency_ms"]).all() and not online:
            values["latency_ms"] = _measured_latency(task, values["index"])
        with np.errstate(invalid="ignore", divide="ignore"):
            values["occupied_not_free"] = 1 - values.pop("occupied_free") / values.pop("occupied")
        received = table.column("received").to_numpy()
        return Frames(
            index=values.pop("index").astype(int),
            seconds=(received - received[:1]) / 1e9,
            state=texts["state"],
            restarted=texts["restarted"] != "",
            values=values,
        )

    def worst(self, bag: str, model: str) -> list[WorstFrame]:
        """The worst frames that pictures were kept of, the worst first."""
        frames = self.frames(bag, model)
        folder = self.folder.task(bag, model).worst
        if frames is None or not folder.is_dir():
            return []
        worst = []
        for index in pictured_frames(folder):
            (row,) = np.flatnonzero(frames.index == index)
            paths = {name: picture_path(folder, index, name) for name in PICTURES}
            worst.append(
                WorstFrame(
                    bag=bag,
                    model=model,
                    index=index,
                    seconds=float(frames.seconds[row]),
                    values={name: float(column[row]) for name, column in frames.values.items()},
                    pictures={n: p.read_bytes() for n, p in paths.items() if p.is_file()},
                )
            )
        scored = any(not np.isnan(frame.values["miou"]) for frame in worst)
        name = "miou" if scored else "consistency"
        return sorted(worst, key=lambda frame: frame.values[name])


def read_results(path: Path) -> Results:
    """Read the results that are in the folder ``path``."""
    folder = EvaluationFolder(path)
    return Results(
        folder=folder,
        metrics=read_metrics(folder.metrics),
        online=json.loads(folder.online.read_text()) if folder.online.is_file() else {},
    )


def _measured_latency(task: TaskFolder, index: np.ndarray) -> np.ndarray:
    """Latency of each frame as it was measured, ms; NaN without."""
    table = read_rows(task.timings, ("index", "latency_ms"))
    latency = np.full(len(index), np.nan)
    rows = np.searchsorted(index, numbers(table, "index"))
    latency[rows] = numbers(table, "latency_ms")
    return latency
