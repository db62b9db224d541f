"""``played.json``: how a bag was played to the real node, beside the recorded outputs."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from stmem_ros.evaluation.results.folder import RecordingFolder


@dataclass(frozen=True)
class PlayedBag:
    """How a bag was played to the node.

    Attributes:
        rate: speed, 1 is real time; None: each image waited for the label of the one before.
        stamps: of the images, ns, in the order they were played.
        latencies: stamp in ns of each image that was labelled: seconds from sending the image to
            receiving its label, between processes.
        dropped: images the node itself counted as replaced by newer ones.
        device: torch device of the node.
    """

    rate: float | None
    stamps: tuple[int, ...]
    latencies: dict[int, float]
    dropped: int
    device: str

    def save(self, folder: RecordingFolder) -> None:
        """Write it beside the recorded bag."""
        folder.played.write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def load(cls, folder: RecordingFolder) -> PlayedBag:
        """Read what :meth:`save` wrote."""
        content = json.loads(folder.played.read_text())
        content["stamps"] = tuple(content["stamps"])
        content["latencies"] = {int(s): v for s, v in content["latencies"].items()}
        return cls(**content)
