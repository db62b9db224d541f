"""What the demo leaves behind: overlay video, costmap picture, page, summary."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from stmem_ros.costmap.transforms import TransformBuffer, TransformError
from stmem_ros.data.bags import TF, BagReader, Topic
from stmem_ros.data.classes import SemanticClass, palette
from stmem_ros.data.images import decode_image, decode_label
from stmem_ros.evaluation.confusion import ConfusionMatrix
from stmem_ros.evaluation.overlay import overlay

PANEL = 360  # height of the video, pixels
BEHIND = 5.0  # m shown behind the robot in the costmap panel
AHEAD = 25.0  # m shown ahead of it


@dataclass(frozen=True)
class DemoSummary:
    """``summary.json``: what went in and came out, how fast, how well.

    Attributes:
        latency_ms: p50 and p95 from sending an image to receiving its label, between processes.
        miou: against the bag's labels, None where it has none.
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
class Grid:
    """A recorded grid: classes and costs of cells, its frame and place (m)."""

    frame: str
    label: np.ndarray
    cost: np.ndarray
    resolution: float
    origin: tuple[float, float]


@dataclass(frozen=True)
class Moment:
    """One played frame: stamp (ns), camera image, the node's label and the grid of that time."""

    stamp: int
    rgb: np.ndarray
    label: np.ndarray
    grid: Grid | None
    odom_from_base: np.ndarray | None


class Recording:
    """The input bag and the node's output side by side."""

    def __init__(self, source: BagReader, image: Topic, output: Path) -> None:
        self.source = source
        self.image = image
        self.labels: dict[int, np.ndarray] = {}
        self.grids: dict[int, Grid] = {}
        self.model = ""
        self.classes: tuple[SemanticClass, ...] = ()
        with BagReader(output) as bag:
            for record in bag.records():
                message = bag.decode(record)
                stamp = _stamp(message)
                if record.topic.endswith("/label"):
                    self.labels[stamp] = decode_label(message)
                elif record.topic.endswith("/grid"):
                    self.grids[stamp] = _grid(message)
                elif record.topic.endswith("/label_info"):
                    self.model = message.model
                    self.classes = tuple(_class(c) for c in message.classes)

    def moments(self) -> Iterator[Moment]:
        """All frames that were labelled, in order."""
        transforms = self._transforms()
        grid: Grid | None = None
        for record in self.source.records({self.image.name}):
            message = self.source.decode(record)
            stamp = _stamp(message)
            grid = self.grids.get(stamp, grid)
            if stamp not in self.labels:
                continue
            pose = None
            if grid is not None:
                try:
                    pose = transforms.lookup(grid.frame, "base_footprint", stamp, 0)
                except TransformError:
                    grid = None
            rgb = decode_image(message)
            yield Moment(stamp, rgb, self.labels[stamp], grid, pose)

    def miou(self, reference: Topic | None) -> float | None:
        """mIoU of the labels against the bag's own, None without any."""
        if reference is None or not self.classes:
            return None
        confusion = ConfusionMatrix(len(self.classes))
        for record in self.source.records({reference.name}):
            message = self.source.decode(record)
            if (label := self.labels.get(_stamp(message))) is not None:
                confusion.add(decode_label(message), label)
        return confusion.miou if confusion.counts.any() else None

    def _transforms(self) -> TransformBuffer:
        buffer = TransformBuffer(keep=float("inf"))
        tf = {t.name: t.name.endswith("static") for t in self.source.topics if t.type == TF}
        for record in self.source.records(set(tf)):
            buffer.add_message(self.source.decode(record), tf[record.topic])
        return buffer


def write_report(recording: Recording, summary: DemoSummary, out: Path) -> None:
    """Write ``overlay.mp4``, ``costmap.png``, ``summary.json`` and ``index.html`` into ``out``."""
    total = len(recording.labels)
    chosen = total // 2
    stamps = sorted(recording.labels)
    period = float(np.median(np.diff(stamps))) / 1e9 if total > 1 else 0.1
    with Video(out / "overlay.mp4", rate=1 / period) as video:
        progress = tqdm(recording.moments(), total=total, desc="drawing", unit="frame")
        for i, moment in enumerate(progress):
            picture = draw(moment, recording.classes)
            video.add(picture)
            if i == chosen:
                cv2.imwrite(str(out / "costmap.png"), picture[..., ::-1])
    (out / "summary.json").write_text(json.dumps(summary.__dict__, indent=1) + "\n")
    (out / "index.html").write_text(_page(summary, recording.classes))


def draw(moment: Moment, classes: tuple[SemanticClass, ...]) -> np.ndarray:
    """The camera image with its labels, and the costmap around the robot beside it, RGB."""
    view = overlay(moment.rgb, moment.label, classes)
    width = 2 * round(view.shape[1] * PANEL / view.shape[0] / 2)
    view = cv2.resize(view, (width, PANEL), interpolation=cv2.INTER_AREA)
    return np.hstack([view, _bird_view(moment, classes)])


def _bird_view(moment: Moment, classes: tuple[SemanticClass, ...]) -> np.ndarray:
    """The grid seen from above, the robot's heading upwards, PANEL x PANEL."""
    panel = np.full((PANEL, PANEL, 3), (32, 32, 36), np.uint8)
    if moment.grid is None or moment.odom_from_base is None:
        cv2.putText(panel, "no costmap", (110, 185), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (200,) * 3)
        return panel
    grid = moment.grid
    colours = palette(classes)[grid.label]
    colours[grid.cost > 100] = (32, 32, 36)  # unknown is 255
    lethal = grid.cost == 100
    colours[lethal] = colours[lethal] // 2 + np.array([127, 20, 20], np.uint8)
    # Panel pixel -> base frame -> grid frame -> cell.
    metres = (AHEAD + BEHIND) / PANEL
    base_from_panel = np.array([[0, -metres, AHEAD], [-metres, 0, metres * PANEL / 2], [0, 0, 1.0]])
    pose = moment.odom_from_base
    grid_from_base = np.array([[*pose[0, :2], pose[0, 3]], [*pose[1, :2], pose[1, 3]], [0, 0, 1.0]])
    cell_from_grid = np.array(
        [
            [1 / grid.resolution, 0, -grid.origin[0] / grid.resolution - 0.5],
            [0, 1 / grid.resolution, -grid.origin[1] / grid.resolution - 0.5],
            [0, 0, 1.0],
        ]
    )
    cv2.warpAffine(
        colours,
        (cell_from_grid @ grid_from_base @ base_from_panel)[:2],
        (PANEL, PANEL),
        dst=panel,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    at = (PANEL // 2, round(AHEAD / metres))
    nose = np.array([[0, -12], [-7, 6], [7, 6]]) + at
    cv2.fillPoly(panel, [nose.astype(np.int32)], (255, 255, 255))
    for distance in (5, 10, 15, 20):
        cv2.circle(panel, at, round(distance / metres), (90, 90, 96), 1, cv2.LINE_AA)
        where = (at[0] + 3, at[1] - round(distance / metres) - 3)
        cv2.putText(panel, f"{distance} m", where, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (230,) * 3)
    return panel


class Video:
    """An H.264 video that browsers play; frames are RGB of one size, even on both sides."""

    def __init__(self, path: Path, rate: float) -> None:
        import av

        self._av = av
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
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._container.mux(self._stream.encode(frame))


def _stamp(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def _grid(message: Any) -> Grid:
    shape = (message.info.height, message.info.width)
    return Grid(
        frame=message.header.frame_id,
        label=np.asarray(message.label, np.uint8).reshape(shape),
        cost=np.asarray(message.cost, np.uint8).reshape(shape),
        resolution=message.info.resolution,
        origin=(message.info.origin.position.x, message.info.origin.position.y),
    )


def _class(message: Any) -> SemanticClass:
    c = message.colour
    return SemanticClass(
        message.id, message.name, (round(c.r * 255), round(c.g * 255), round(c.b * 255))
    )


def _page(summary: DemoSummary, classes: tuple[SemanticClass, ...]) -> str:
    rows = "\n".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(_readable(value))}</td></tr>"
        for name, value in summary.__dict__.items()
    )
    legend = " ".join(
        f'<span><i style="background:rgb{c.colour}"></i>{html.escape(c.name)}</span>'
        for c in classes
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>stmem_ros demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       background: #17181c; color: #e8e8ea; }}
video, img {{ width: 100%; border-radius: 6px; }}
th {{ text-align: left; padding-right: 2rem; font-weight: 600; }}
i {{ display: inline-block; width: 1em; height: 1em; margin: 0 .3em 0 1em;
    vertical-align: -.15em; }}
</style>
<h1>stmem_ros demo</h1>
<p>Left: the camera with the node's labels. Right: its costmap from above, the robot heading up;
obstacles are reddened, cells never seen are dark.</p>
<video src="overlay.mp4" controls autoplay loop muted playsinline></video>
<p>{legend}</p>
<h2>Figures</h2>
<table>{rows}</table>
<h2>One moment</h2>
<img src="costmap.png" alt="labels and costmap of one frame">
<p>The node's messages are in the bag <code>output/</code>, its log in <code>node.log</code>.</p>
</html>
"""


def _readable(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_readable(v)}" for k, v in value.items())
    if isinstance(value, float):
        return f"{value:.3f}" if value < 1 else f"{value:.1f}"
    return "none" if value is None else str(value)
