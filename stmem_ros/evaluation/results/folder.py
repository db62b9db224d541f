"""The folder of an evaluation: the one place that says what lies where.

metrics.json                    all figures; written by summary.py, read by report and baseline
report.html                     for people (report/page.py)
frames.parquet, timings.parquet rows of all bags and models (frame_record.py)
online.json                     replays through the real node (online_figures.py)
bags/BAG/MODEL/                 of one bag and model, written by its task (tasks/)
    result.json                 BagResult; written last, so that it marks a finished task
    frames.parquet, timings.parquet
    online.json, online_frames.parquet
    output/                     bag of outputs (tasks/output_bag.py)
    worst/INDEX_NAME.jpg        pictures of the worst frames (tasks/worst_frames.py)
online/BAG/MODEL/               recording of the real node (online/online_replay.py)
    played.json                 PlayedBag
    output/                     bag of what the node published
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

FRAMES = "frames.parquet"
TIMINGS = "timings.parquet"
ONLINE = "online.json"
PICTURES = ("camera", "label", "reference", "errors", "grid")  # in the order they are shown


class TaskFolder:
    """Results of one bag and model."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.result = path / "result.json"
        self.frames = path / FRAMES
        self.timings = path / TIMINGS
        self.online = path / ONLINE
        self.online_frames = path / "online_frames.parquet"
        self.output = path / "output"
        self.worst = path / "worst"


class RecordingFolder:
    """A bag's replay through the real node."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.played = path / "played.json"
        self.output = path / "output"


class EvaluationFolder:
    """Results of all bags and models."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.json"
        self.report = path / "report.html"
        self.frames = path / FRAMES
        self.timings = path / TIMINGS
        self.online = path / ONLINE
        self.tasks = path / "bags"

    def task(self, bag: str, model: str) -> TaskFolder:
        """Folder of one bag and model, by their names in ``metrics.json``."""
        return TaskFolder(self.tasks / bag / model)

    def recording(self, bag: str, model: str) -> RecordingFolder:
        """Folder of the replay of a bag through the real node with a model."""
        return RecordingFolder(self.path / "online" / bag / model)


def picture_path(worst: Path, index: int, name: str) -> Path:
    """A picture of a frame, in the folder ``worst`` of a task; ``name`` of ``PICTURES``."""
    return worst / f"{index:06d}_{name}.jpg"


def pictured_frames(worst: Path) -> Iterator[int]:
    """Indices of the frames that have pictures, in order."""
    for camera in sorted(worst.glob("*_camera.jpg")):
        yield int(camera.name.split("_")[0])
