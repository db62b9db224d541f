"""One bag through one model: the unit of work that engines hand out and that can be resumed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import torch

from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.rules import CostRules, default_rules
from stmem_ros.evaluation.metrics.figures import TimingFigures, timing_figures
from stmem_ros.evaluation.metrics.sums import Sums
from stmem_ros.evaluation.replay.bag_replay import BagReplay, ReplayOptions
from stmem_ros.evaluation.replay.replayed_frame import ReplayedFrame
from stmem_ros.evaluation.results.frame_record import Fault, FrameRecord, TimingRecord
from stmem_ros.evaluation.results.record_files import RecordWriter, milliseconds
from stmem_ros.evaluation.tasks.bag_scorer import BagScorer
from stmem_ros.evaluation.tasks.online_comparison import online_comparison
from stmem_ros.evaluation.tasks.output_bag import output_bag
from stmem_ros.evaluation.tasks.worst_frames import worst_frames
from stmem_ros.io.bags import BagReader
from stmem_ros.io.whole_file import whole_file
from stmem_ros.model.bundle import BundledSegmenter, load_bundle

RESULT = "result.json"
FRAMES = "frames.parquet"
TIMINGS = "timings.parquet"


class FrameSink(Protocol):
    """Sees every frame of a task, in order; made in the process that works on the task.

    The report's pictures and the bag of outputs are sinks. Each is made from the task, the model
    and the rules of its grid (None without one) and leaves what it makes in ``task.folder``.
    """

    def add(self, frame: ReplayedFrame, record: FrameRecord) -> None:
        """Take a frame and its row; arrays must not be changed, nor kept but for a few."""

    def close(self) -> None:
        """No more frames; also called if the bag turns out to be damaged."""


SinkMaker = Callable[["BagTask", BundledSegmenter, CostRules | None], FrameSink | None]
# Of every task, the one place that lists them; None where a task needs none of the kind.
SINKS: tuple[SinkMaker, ...] = (output_bag, worst_frames, online_comparison)


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
        grid: of the costmap.
        folder: where the results go.
        frames: images of the bag, for progress.
        online: folder of the bag's replay through the real node (``online.py``), empty without.
        key: tells whether results that lie there already are of the same task.
    """

    bag: str
    model: str
    path: str
    bundle: str
    device: str
    threads: int
    options: ReplayOptions
    grid: GridConfig
    folder: str
    frames: int
    online: str
    key: str

    @property
    def done(self) -> bool:
        """Whether the results are there."""
        try:
            return json.loads((Path(self.folder) / RESULT).read_text())["key"] == self.key
        except (OSError, ValueError, KeyError, TypeError):
            return False


@dataclass(frozen=True)
class BagResult:
    """``result.json`` of a task.

    Attributes:
        bag, model, path, key: of the task.
        topics: names of the topics read, by what they hold (``ReplayTopics``); None: not there.
        classes: of the model.
        sums: of all frames.
        faults: the first frames that something is wrong with; ``faulty``: how many there are.
        notes: what else is wrong with the bag, a line each.
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
    error: str | None
    timing: TimingFigures

    def to_json(self) -> dict[str, Any]:
        """As ``result.json`` has it."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return content | {
            "sums": self.sums.to_json(),
            "faults": [dataclasses.asdict(fault) for fault in self.faults],
            "timing": dataclasses.asdict(self.timing),
        }

    @classmethod
    def read(cls, folder: Path) -> BagResult:
        """The result that a finished task left in its folder."""
        content = json.loads((folder / RESULT).read_text())
        content["classes"] = tuple(content["classes"])
        content["sums"] = Sums.from_json(content["sums"], len(content["classes"]))
        content["faults"] = tuple(Fault(**fault) for fault in content["faults"])
        content["notes"] = tuple(content["notes"])
        content["timing"] = TimingFigures(**content["timing"])
        return cls(**content)


def run_task(task: BagTask, progress: Callable[[], object] = lambda: None) -> None:
    """Replay and score a bag; leaves ``result.json`` in the task's folder as its last act.

    Args:
        progress: called after each frame.

    Raises:
        BagError: the bag gives nothing: it is missing, unreadable, or has no camera.
        BundleError, ValueError: the model or the device cannot be used.
    """
    start = time.perf_counter()
    torch.set_num_threads(task.threads)
    cv2.setNumThreads(task.threads)
    model = _model(task.bundle, task.device)
    folder = Path(task.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    classes = model.info.classes
    try:
        rules = default_rules(classes)
    except ValueError:
        rules = None  # labels without a grid; the replay says why
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    scorer = BagScorer(task.bag, task.model, len(classes), task.grid, rules)
    with (
        BagReader(Path(task.path)) as bag,
        RecordWriter(folder / FRAMES, FrameRecord) as rows,
        RecordWriter(folder / TIMINGS, TimingRecord) as timings,
    ):
        replay = BagReplay(bag, model, task.options, task.grid, rules)
        made = (make(task, model, rules) for make in SINKS)
        sinks = [sink for sink in made if sink is not None]
        try:
            for frame in replay.frames():
                record = scorer.add(frame)
                rows.add(record)
                if (timing := scorer.timing(frame)) is not None:
                    timings.add(timing)
                for sink in sinks:
                    sink.add(frame, record)
                progress()
        finally:
            for sink in sinks:
                sink.close()
    seconds = time.perf_counter() - start
    result = BagResult(
        task.bag,
        task.model,
        task.path,
        task.key,
        {name: topic and topic.name for name, topic in vars(replay.topics).items()},
        tuple(c.name for c in classes),
        scorer.sums,
        tuple(scorer.faults),
        scorer.faulty,
        replay.notes,
        replay.error or None,
        timing_figures(milliseconds([folder / TIMINGS]), str(device), _memory_mb(device), seconds),
    )
    with whole_file(folder / RESULT) as part:
        part.write_text(json.dumps(result.to_json()))


def task_key(path: Path, bundle: Path, settings: dict[str, Any]) -> str:
    """A digest of all that a task's results depend on.

    Of the bag, names, sizes and times of its files stand for their content.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    bag = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    parts = [str(path.resolve()), bag, file_digests(bundle), settings]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@lru_cache
def file_digests(bundle: Path) -> dict[str, str]:
    """SHA-256 of each file of a bundle, by name."""
    return {
        f.name: hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(bundle.iterdir())
        if f.is_file()
    }


@lru_cache(maxsize=1)
def _model(bundle: str, device: str) -> BundledSegmenter:
    """A worker's model, kept from task to task."""
    return load_bundle(bundle, device)


def _memory_mb(device: torch.device) -> float:
    """Largest memory held on a GPU; on a CPU, of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
