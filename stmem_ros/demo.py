"""What the demo leaves behind: overlay video, costmap picture, page, summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED, SemanticClass
from stmem_ros.costmap.messages import read_semantic_grid
from stmem_ros.drawing import GridView, bird_view, overlay
from stmem_ros.evaluation.metrics.confusion import ConfusionMatrix
from stmem_ros.geometry.transforms import TransformBuffer, TransformError
from stmem_ros.io.bag_contents import MessageError
from stmem_ros.io.bags import TF, BagReader, Topic
from stmem_ros.io.encodings import BitDepth, ImageError
from stmem_ros.io.images import decode_image, decode_label
from stmem_ros.io.pages import render
from stmem_ros.io.whole_output import whole_file
from stmem_ros.pipeline import PipelineConfig
from stmem_ros.stamps import nanoseconds

BASE_FRAME = PipelineConfig.base_frame  # the demo's node runs with the defaults
PANEL = 360  # height of the video, pixels


@dataclass(frozen=True)
class DemoSummary:
    """``summary.json``: what went in and came out, how fast, how well.

    Attributes:
        latency_ms: p50 and p95 from sending an image to receiving its label, between processes.
        miou: against the bag's labels, None where it has none of the model's classes.
    """

    frames_in: int
    labels_out: int
    costmaps_out: int
    dropped: int
    latency_ms: dict[str, float | None]
    miou: float | None
    model: str
    device: str


@dataclass(frozen=True)
class Moment:
    """One played frame: stamp (ns), camera image, the node's label and the grid of that time."""

    stamp: int
    rgb: np.ndarray
    label: np.ndarray
    grid: GridView | None


class Recording:
    """The input bag and the node's output side by side.

    Attributes:
        left_out: why messages of the input cannot be read, by the names of their topics.
    """

    def __init__(self, source: BagReader, image: Topic, output: Path) -> None:
        self.source = source
        self.image = image
        self.left_out: dict[str, str] = {}
        self.labels: dict[int, np.ndarray] = {}
        self.grids: dict[int, Any] = {}  # messages
        self.model = ""
        self.classes: tuple[SemanticClass, ...] = ()
        with BagReader(output) as bag:
            for record in bag.records():
                message = bag.decode(record)
                stamp = nanoseconds(message.header.stamp)
                if record.topic.endswith("/label"):
                    self.labels[stamp] = decode_label(message)
                elif record.topic.endswith("/grid"):
                    self.grids[stamp] = message
                elif record.topic.endswith("/label_info"):
                    self.model = message.model
                    self.classes = tuple(_class(c) for c in message.classes)

    def moments(self) -> Iterator[Moment]:
        """All frames that were labelled, in order."""
        transforms = self._transforms()
        grid: Any = None
        depth = BitDepth()
        for _, message in self._messages({self.image.name}):
            stamp = nanoseconds(message.header.stamp)
            grid = self.grids.get(stamp, grid)
            if stamp not in self.labels:
                continue
            view = None
            if grid is not None:
                try:
                    frame = grid.header.frame_id
                    view = _view(grid, transforms.lookup(frame, BASE_FRAME, stamp))
                except TransformError:
                    grid = None
            yield Moment(stamp, decode_image(message, depth), self.labels[stamp], view)

    def miou(self, reference: Topic | None) -> float | None:
        """mIoU of the labels against the bag's own, None without any of the model's classes."""
        if reference is None or not self.classes:
            return None
        confusion = ConfusionMatrix(len(self.classes))
        for topic, message in self._messages({reference.name}):
            if (label := self.labels.get(nanoseconds(message.header.stamp))) is not None:
                try:
                    truth = decode_label(message)
                except ImageError as error:
                    self.left_out.setdefault(topic, str(error))
                    continue
                if truth.shape != label.shape:
                    self.left_out.setdefault(
                        topic, "its labels are of another size than the images"
                    )
                    continue
                if truth[truth != UNLABELLED].max(initial=0) >= len(self.classes):
                    return None  # they are of another label set
                confusion.add(truth, label)
        return confusion.miou if confusion.counts.any() else None

    def _transforms(self) -> TransformBuffer:
        buffer = TransformBuffer(keep=float("inf"))
        tf = {t.name: t.name.endswith("static") for t in self.source.topics if t.type == TF}
        for topic, message in self._messages(set(tf)):
            buffer.add_message(message, tf[topic])
        return buffer

    def _messages(self, topics: set[str]) -> Iterator[tuple[str, Any]]:
        """Topic and message of what was recorded on some topics, but what cannot be read."""
        for record in self.source.records(topics):
            try:
                yield record.topic, self.source.decode(record)
            except MessageError as error:
                self.left_out.setdefault(record.topic, error.reason)


def write_report(recording: Recording, summary: DemoSummary, out: Path) -> None:
    """Write ``overlay.mp4``, ``costmap.png``, ``summary.json`` and ``index.html`` into ``out``.

    Without any grid, as of a video, the pictures show the camera alone.
    """
    total = len(recording.labels)
    chosen = total // 2
    stamps = sorted(recording.labels)
    period = float(np.median(np.diff(stamps))) / 1e9 if total > 1 else 0.1
    with whole_file(out / "overlay.mp4") as part, Video(part, rate=1 / period) as video:
        progress = tqdm(recording.moments(), total=total, desc="drawing", unit="frame")
        for i, moment in enumerate(progress):
            picture = draw(moment, recording.classes, with_costmap=bool(recording.grids))
            video.add(picture)
            if i == chosen:
                cv2.imwrite(str(out / "costmap.png"), picture[..., ::-1])
    with whole_file(out / "summary.json") as part:
        part.write_text(json.dumps(summary.__dict__, indent=1) + "\n")
    page = render(
        "demo.html.j2",
        title="stmem_ros demo",
        classes=recording.classes,
        with_costmap=bool(recording.grids),
        figures={name: _readable(value) for name, value in summary.__dict__.items()},
    )
    with whole_file(out / "index.html") as part:
        part.write_text(page)


def draw(moment: Moment, classes: tuple[SemanticClass, ...], with_costmap: bool) -> np.ndarray:
    """The camera image with its labels; if asked, the costmap around the robot beside it; RGB."""
    view = overlay(moment.rgb, moment.label, classes)
    width = 2 * round(view.shape[1] * PANEL / view.shape[0] / 2)
    view = cv2.resize(view, (width, PANEL), interpolation=cv2.INTER_AREA)
    return np.hstack([view, bird_view(moment.grid, classes, PANEL)]) if with_costmap else view


class Video:
    """An H.264 video that browsers play; frames are RGB of one size, even on both sides."""

    def __init__(self, path: Path, rate: float) -> None:
        self._container = av.open(str(path), "w", options={"movflags": "faststart"})
        self._stream = self._container.add_stream("h264", rate=max(1, round(rate)))
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "23", "preset": "veryfast"}

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()

    def add(self, picture: np.ndarray) -> None:
        if not self._stream.codec_context.is_open:
            self._stream.height, self._stream.width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._container.mux(self._stream.encode(frame))


def _view(message: Any, grid_from_base: np.ndarray) -> GridView:
    grid = read_semantic_grid(message)
    return GridView(
        label=grid.label,
        cost=grid.cost,
        origin=grid.origin,
        resolution=grid.resolution,
        grid_from_base=grid_from_base,
    )


def _class(message: Any) -> SemanticClass:
    c = message.colour
    return SemanticClass(
        message.id, message.name, (round(c.r * 255), round(c.g * 255), round(c.b * 255))
    )


def _readable(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_readable(v)}" for k, v in value.items())
    if isinstance(value, float):
        return f"{value:.3f}" if value < 1 else f"{value:.1f}"
    return "none" if value is None else str(value)
