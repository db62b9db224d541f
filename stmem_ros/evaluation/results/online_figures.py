"""``online.json``: what the real node made of bags, compared with their offline replay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stmem_ros.evaluation.metrics.figures import Figures
from stmem_ros.evaluation.results.bag_result import BagResult
from stmem_ros.evaluation.results.folder import EvaluationFolder
from stmem_ros.io.whole_output import whole_file


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

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))


def gather_online(folder: EvaluationFolder, results: Sequence[BagResult]) -> None:
    """Write ``online.json`` of an evaluation: by model, then bag, what each task left."""
    content: dict[str, dict[str, Any]] = {}
    for result in results:
        written = folder.task(result.bag, result.model).online.read_text()
        content.setdefault(result.model, {})[result.bag] = json.loads(written)
    with whole_file(folder.online) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")
