"""``result.json``: what a finished task found in its bag."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from stmem_ros.evaluation.metrics.figures import TimingFigures
from stmem_ros.evaluation.metrics.sums import Sums
from stmem_ros.evaluation.results.folder import TaskFolder
from stmem_ros.evaluation.results.frame_record import Fault, MissingGrids, TimingRecord
from stmem_ros.io.parquet import numbers, read_rows
from stmem_ros.io.whole_output import whole_file

FORMAT = 2  # of a task's files; another one where what they hold changes its meaning


@dataclass(frozen=True)
class BagResult:
    """One bag through one model.

    Attributes:
        bag, model, path, key: of the task.
        topics: names of the topics read, by what they hold (``CameraTopics``); None: not there.
        classes: of the model.
        sums: of all frames.
        faults: the first frames that something is wrong with; ``faulty``: how many there are.
        notes: what else is wrong with the bag, a line each.
        missing_grids: frames without a grid, by the kind of the reason.
        rectified: whether the images were taken for rectified.
        announced, held: images that metadata.yaml counts (without it, as held), and that are there.
        error: why the bag could not be read to its end, None if it could.
        timing: measured.
    """

    bag: str
    model: str
    path: str
    key: str
    topics: dict[str, str | None]
    classes: tuple[str, ...]
    sums: Sums
    faults: tuple[Fault, ...]
    faulty: int
    notes: tuple[str, ...]
    missing_grids: tuple[MissingGrids, ...]
    rectified: bool
    announced: int
    held: int
    error: str | None
    timing: TimingFigures

    def to_json(self) -> dict[str, Any]:
        """As ``result.json`` has it."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        return content | {
            "sums": self.sums.to_json(),
            "faults": [asdict(fault) for fault in self.faults],
            "missing_grids": [asdict(missing) for missing in self.missing_grids],
            "timing": asdict(self.timing),
        }

    def write(self, folder: TaskFolder) -> None:
        """Write it, whole or not at all."""
        with whole_file(folder.result) as part:
            part.write_text(json.dumps(self.to_json()))

    @classmethod
    def read(cls, folder: TaskFolder) -> BagResult:
        """The result that a finished task left in its folder."""
        content = json.loads(folder.result.read_text())
        content["classes"] = tuple(content["classes"])
        content["sums"] = Sums.from_json(content["sums"], len(content["classes"]))
        content["faults"] = tuple(Fault(**fault) for fault in content["faults"])
        content["notes"] = tuple(content["notes"])
        content["missing_grids"] = tuple(MissingGrids(**m) for m in content["missing_grids"])
        content["timing"] = TimingFigures(**content["timing"])
        return cls(**content)


def finished_key(folder: TaskFolder) -> str | None:
    """The key of the task whose result lies there, None without a result."""
    try:
        return json.loads(folder.result.read_text())["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def milliseconds(tasks: Sequence[TaskFolder]) -> dict[str, np.ndarray]:
    """The measured columns of the timings of some tasks together."""
    names = [field.name for field in fields(TimingRecord) if field.name.endswith("_ms")]
    tables = [read_rows(task.timings, names) for task in tasks]
    return {
        name: np.concatenate([np.zeros(0), *(numbers(table, name) for table in tables)])
        for name in names
    }
