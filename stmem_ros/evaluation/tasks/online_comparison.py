"""What the real node made of a bag, compared with the offline replay of the same bag."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.mapper import MapUpdate
from stmem_ros.costmap.rules import CostRules
from stmem_ros.evaluation.metrics.figures import Figures, figures, percentile
from stmem_ros.evaluation.replay.replayed_frame import FrameState, FrameTimings, ReplayedFrame
from stmem_ros.evaluation.results.frame_record import FrameRecord
from stmem_ros.evaluation.results.played_bag import OUTPUT, PlayedBag
from stmem_ros.evaluation.results.record_files import RecordWriter
from stmem_ros.evaluation.tasks.bag_scorer import BagScorer
from stmem_ros.io.bags import BagReader
from stmem_ros.io.images import decode_label
from stmem_ros.io.output_topics import NODE
from stmem_ros.model.bundle import BundledSegmenter

if TYPE_CHECKING:
    from stmem_ros.evaluation.tasks.bag_task import BagTask

FIGURES = "online.json"  # of one bag and model, in the folder of its task; of all, in DIR
FRAMES = "online_frames.parquet"
NOWHERE = np.zeros((0, 3))


@dataclass(frozen=True)
class OnlineFigures:
    """One bag and model in ``online.json``.

    Attributes:
        rate, dropped_by_node, device: as of ``PlayedBag``.
        played: images played.
        unmatched: labels whose stamp no played image has; must be 0.
        frames_compared: images labelled online and offline; ``frames_equal``: those of them whose
            label is equal in every pixel.
        pixels_equal: share of the pixels of these images.
        grids_compared: images whose grid was published online and made offline; ``grids_equal``:
            those of them that lie at the same place with the same class, cost and confidence in
            every cell.
        latency_p50_ms, latency_p95_ms, latency_max_ms: from sending an image to receiving its
            label, between processes.
        figures: of the node's labels and grids, scored as those of the offline replay.
    """

    rate: float | None
    played: int
    dropped_by_node: int
    device: str
    unmatched: int
    frames_compared: int
    frames_equal: int
    pixels_equal: float | None
    grids_compared: int
    grids_equal: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_max_ms: float | None
    figures: Figures


class OnlineComparison:
    """Sees the frames of the offline replay; finds and scores what the node published for each.

    Args:
        recorded: folder with the recorded bag ``output`` and ``played.json``.
        folder: for ``online.json`` and ``online_frames.parquet``.
        scorer: for the node's frames.
        names: of the classes.
    """

    def __init__(
        self, recorded: Path, folder: Path, scorer: BagScorer, names: tuple[str, ...]
    ) -> None:
        self._folder = folder
        self._scorer = scorer
        self._names = names
        self._ages: list[float] = []  # of the node's newest grid at each frame, s
        self._rows = RecordWriter(folder / FRAMES, FrameRecord)
        self._played = PlayedBag.load(recorded)
        self._bag = BagReader(recorded / OUTPUT)
        stamps = set(self._played.stamps)
        self._labels = _InOrder(self._bag, f"{NODE}/label", stamps)
        self._confidences = _InOrder(self._bag, f"{NODE}/confidence", stamps)
        self._grids = _InOrder(self._bag, f"{NODE}/grid", stamps)
        self._statistics = _InOrder(self._bag, f"{NODE}/statistics", stamps)
        self._begun = False
        self._frames = self._equal = self._pixels = self._pixels_equal = 0
        self._maps = self._maps_equal = 0

    def add(self, frame: ReplayedFrame, record: FrameRecord) -> None:
        """Look at an image of the bag."""
        online = self._online(frame)
        if online.label is not None and frame.label is not None:
            same = int((online.label == frame.label).sum())
            self._frames += 1
            self._equal += same == frame.label.size
            self._pixels += frame.label.size
            self._pixels_equal += same
        if online.map is not None and frame.map is not None:
            self._maps += 1
            self._maps_equal += _equal(online.map.update.grid, frame.map.update.grid)
        scored = self._scorer.add(online)
        self._rows.add(scored)
        self._ages.append(float("nan") if scored.grid_age is None else scored.grid_age)

    def close(self) -> None:
        """Write the figures."""
        latencies = 1e3 * np.array(list(self._played.latencies.values()))
        result = OnlineFigures(
            rate=self._played.rate,
            played=len(self._played.stamps),
            dropped_by_node=self._played.dropped,
            device=self._played.device,
            unmatched=self._labels.unmatched,
            frames_compared=self._frames,
            frames_equal=self._equal,
            pixels_equal=self._pixels_equal / self._pixels if self._pixels else None,
            grids_compared=self._maps,
            grids_equal=self._maps_equal,
            latency_p50_ms=percentile(latencies, 50),
            latency_p95_ms=percentile(latencies, 95),
            latency_max_ms=percentile(latencies, 100),
            figures=figures(self._scorer.sums, self._names, np.array(self._ages), latencies),
        )
        (self._folder / FIGURES).write_text(json.dumps(dataclasses.asdict(result), indent=1))
        self._rows.close()
        self._bag.close()

    def _online(self, frame: ReplayedFrame) -> ReplayedFrame:
        """The same image with what the node published for it."""
        label = self._labels.take(frame.stamp)
        if label is None or frame.rgb is None:
            state = FrameState.INVALID if frame.rgb is None else FrameState.DROPPED
            reason = frame.reason if frame.rgb is None else "no label came"
            return ReplayedFrame(frame.index, frame.stamp, frame.received, state, reason)
        confidence = self._confidences.take(frame.stamp)
        statistics = self._statistics.take(frame.stamp)
        grid = self._grids.take(frame.stamp)
        restarted = frame.restarted
        if not restarted and self._begun and statistics is not None and statistics.ring_length == 1:
            restarted = "the node's ring was emptied"
        self._begun = True
        placed = None
        if grid is not None and frame.map is not None:
            update = MapUpdate(_snapshot(grid), NOWHERE, np.zeros(0, np.uint8))
            placed = dataclasses.replace(frame.map, update=update)
        return dataclasses.replace(
            frame,
            state=FrameState.LABELLED,
            reason="",
            restarted=restarted,
            label=decode_label(label),
            confidence=None if confidence is None else decode_label(confidence),
            window=0 if statistics is None else statistics.ring_length,
            map=placed,
            map_problem=frame.map_problem if placed is not None else "",
            latency=self._played.latencies.get(frame.stamp),
            timings=None if statistics is None else self._timings(statistics, frame.stamp),
        )

    def _timings(self, statistics: Any, stamp: int) -> FrameTimings:
        names = ("upload", "backbone", "stf", "mar", "decode", "costmap", "total")
        return FrameTimings(
            decode_image=1e3 * statistics.convert,
            latency=1e3 * self._played.latencies.get(stamp, float("nan")),
            **{name: 1e3 * getattr(statistics, name) for name in names},
        )


def online_comparison(
    task: BagTask, model: BundledSegmenter, rules: CostRules | None
) -> OnlineComparison | None:
    """The sink of a task that was replayed online too."""
    if not task.online:
        return None
    classes = tuple(c.name for c in model.info.classes)
    scorer = BagScorer(task.bag, task.model, len(classes), task.grid, rules)
    return OnlineComparison(Path(task.online), Path(task.folder), scorer, classes)


def gather_online(folders: dict[tuple[str, str], Path], out: Path) -> None:
    """Write ``online.json`` of an evaluation: by model, then bag, the ``OnlineFigures``.

    ``folders``: of the tasks that were replayed online, by bag and model.
    """
    content: dict[str, dict[str, Any]] = {}
    for (bag, model), folder in folders.items():
        content.setdefault(model, {})[bag] = json.loads((folder / FIGURES).read_text())
    (out / FIGURES).write_text(json.dumps(content, indent=1) + "\n")


class _InOrder:
    """Messages of a topic, taken by their stamps in the order they were published.

    Attributes:
        unmatched: messages passed over because no image has their stamp.
    """

    def __init__(self, bag: BagReader, topic: str, stamps: set[int]) -> None:
        self.unmatched = 0
        self._messages = self._read(bag, topic, stamps)
        self._next = next(self._messages, None)

    def take(self, stamp: int) -> Any:
        """The message with this stamp, None if it is not the next."""
        if self._next is None or self._next[0] != stamp:
            return None
        message = self._next[1]
        self._next = next(self._messages, None)
        return message

    def _read(self, bag: BagReader, topic: str, stamps: set[int]) -> Iterator[tuple[int, Any]]:
        for record in bag.records({topic}):
            message = bag.decode(record)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            if stamp in stamps:
                yield stamp, message
            else:
                self.unmatched += 1


def _snapshot(message: Any) -> GridSnapshot:
    """A recorded SemanticGrid; its layers are not looked at."""
    shape = (message.info.height, message.info.width)
    cost = message.cost.astype(np.int16)
    return GridSnapshot(
        origin=(message.info.origin.position.x, message.info.origin.position.y),
        resolution=message.info.resolution,
        label=message.label.reshape(shape),
        cost=np.where(cost > 100, -1, cost).astype(np.int8).reshape(shape),
        confidence=message.confidence.reshape(shape),
        layers={},
    )


def _equal(a: GridSnapshot, b: GridSnapshot) -> bool:
    return (
        np.allclose(a.origin, b.origin)
        and np.array_equal(a.label, b.label)
        and np.array_equal(a.cost, b.cost)
        and np.array_equal(a.confidence, b.confidence)
    )
