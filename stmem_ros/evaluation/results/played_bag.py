"""What is kept of a bag's replay through the real node, beside the recorded outputs."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

OUTPUT = "output"  # the recorded bag, in the folder of a replay
PLAYED = "played.json"


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

    def save(self, folder: Path) -> None:
        """Write it beside the recorded bag."""
        (folder / PLAYED).write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> PlayedBag:
        """Read what :meth:`save` wrote."""
        content = json.loads((folder / PLAYED).read_text())
        content["stamps"] = tuple(content["stamps"])
        content["latencies"] = {int(s): v for s, v in content["latencies"].items()}
        return cls(**content)
