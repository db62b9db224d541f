"""The results of an evaluation as its report needs them, read from the folder they are in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stmem_ros.evaluation.metrics.calibration import Calibration
from stmem_ros.evaluation.metrics.confusion import ConfusionMatrix
from stmem_ros.evaluation.results.metrics_file import METRICS, read_metrics
from stmem_ros.evaluation.results.record_files import numbers, read_rows
from stmem_ros.evaluation.tasks.bag_task import FRAMES, TIMINGS
from stmem_ros.evaluation.tasks.online_comparison import FIGURES as ONLINE_FIGURES
from stmem_ros.evaluation.tasks.online_comparison import FRAMES as ONLINE_FRAMES
from stmem_ros.evaluation.tasks.worst_frames import PICTURES

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
    """A bad frame and its pictures (JPEG), by name as in ``worst_frames.PICTURES``."""

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

    folder: Path
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

    def classes(self, model: str) -> list[dict[str, Any]]:
        """Name and colour of each class of a model."""
        return self.metrics["models"][model]["bundle"]["classes"]

    def confusion(self, model: str) -> ConfusionMatrix:
        """Of all bags together."""
        total = ConfusionMatrix(len(self.classes(model)))
        for bag in self.metrics["models"][model]["bags"].values():
            one = ConfusionMatrix(len(total.counts))
            total += one.load_json(bag["sums"]["confusion"])
        return total

    def calibration(self, model: str) -> Calibration:
        """Of all bags together."""
        total = Calibration()
        for bag in self.metrics["models"][model]["bags"].values():
            total += Calibration().load_json(bag["sums"]["calibration"])
        return total

    def frames(self, bag: str, model: str, online: bool = False) -> Frames | None:
        """Frame by frame, as replayed offline or by the real node; None where that was not done."""
        folder = self.folder / "bags" / bag / model
        path = folder / (ONLINE_FRAMES if online else FRAMES)
        if not path.is_file():
            return None
        table = read_rows(path, ("received", *NUMBERS, *TEXTS))
        values = {name: numbers(table, name) for name in NUMBERS}
        texts = {name: np.array(table.column(name).to_pylist(), object) for name in TEXTS}
        if np.isnan(values["latency_ms"]).all() and not online:
            values["latency_ms"] = _measured_latency(folder, values["index"])
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
        folder = self.folder / "bags" / bag / model / "worst"
        if frames is None or not folder.is_dir():
            return []
        found = []
        for camera in sorted(folder.glob("*_camera.jpg")):
            index = int(camera.name.split("_")[0])
            (row,) = np.flatnonzero(frames.index == index)
            paths = {name: folder / f"{index:06d}_{name}.jpg" for name in PICTURES}
            found.append(
                WorstFrame(
                    bag=bag,
                    model=model,
                    index=index,
                    seconds=float(frames.seconds[row]),
                    values={name: float(column[row]) for name, column in frames.values.items()},
                    pictures={n: p.read_bytes() for n, p in paths.items() if p.is_file()},
                )
            )
        scored = any(not np.isnan(frame.values["miou"]) for frame in found)
        name = "miou" if scored else "consistency"
        return sorted(found, key=lambda frame: frame.values[name])


def read_results(folder: Path) -> Results:
    """Read the results that are in ``folder``."""
    online = folder / ONLINE_FIGURES
    return Results(
        folder=folder,
        metrics=read_metrics(folder / METRICS),
        online=json.loads(online.read_text()) if online.is_file() else {},
    )


def _measured_latency(folder: Path, index: np.ndarray) -> np.ndarray:
    """Latency of each frame as it was measured, ms; NaN without."""
    table = read_rows(folder / TIMINGS, ("index", "latency_ms"))
    latency = np.full(len(index), np.nan)
    rows = np.searchsorted(index, numbers(table, "index"))
    latency[rows] = numbers(table, "latency_ms")
    return latency
