"""One bag through one model: the unit of work that engines hand out and that can be resumed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stmem_ros.evaluation.replay.replay_options import ReplayOptions
from stmem_ros.evaluation.results.bag_result import FORMAT, finished_key
from stmem_ros.evaluation.results.folder import TaskFolder
from stmem_ros.io.digests import file_digests
from stmem_ros.parameters import NodeParameters
from stmem_ros.resources import package_version


@dataclass(frozen=True)
class BagTask:
    """What one task is about; plain values, so that it travels between processes.

    Attributes:
        bag, model: names, as in ``metrics.json``.
        path: of the bag.
        bundle: shipped name or folder.
        device: torch device, ``auto`` for a GPU if there is one.
        threads: CPU threads of the network; the last digits depend on it.
        options: of the replay.
        parameters: of the node that drives.
        folder: where the results go.
        frames: images of the bag, for progress.
        topics: names of the topics that are read, by what they hold.
        online: folder of the bag's replay through the real node, empty without.
        key: tells whether results that lie there already are of the same task.
    """

    bag: str
    model: str
    path: str
    bundle: str
    device: str
    threads: int
    options: ReplayOptions
    parameters: NodeParameters
    folder: str
    frames: int
    topics: dict[str, str | None]
    online: str
    key: str

    @property
    def results(self) -> TaskFolder:
        """Where the results go."""
        return TaskFolder(Path(self.folder))

    @property
    def is_finished(self) -> bool:
        """Whether the results are there."""
        return finished_key(self.results) == self.key


@dataclass(frozen=True)
class TaskOutcome:
    """How a task ended: well, or with the last error, one line."""

    task: BagTask
    error: str | None = None


def task_key(path: Path, bundle: Path, settings: dict[str, Any]) -> str:
    """A digest of all that a task's results depend on, and of what they are written by.

    Of the bag, names, sizes and times of its files stand for their content.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    bag = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    made_by = [package_version(), FORMAT]
    parts = [str(path.resolve()), bag, file_digests(bundle), settings, made_by]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
