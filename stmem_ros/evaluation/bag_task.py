"""One bag through one model: the unit of work that engines hand out and that can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from stmem_ros.evaluation.frame_record import FrameRecord
from stmem_ros.evaluation.replayed_frame import ReplayedFrame


class FrameSink(Protocol):
    """Sees every frame of a task, in order; made in the process that works on the task.

    The report's pictures and the bag of outputs are sinks. Each is made as ``Sink(folder, task)``
    with the task's own folder, DIR/bags/BAG/MODEL.
    """

    def add(self, frame: ReplayedFrame, record: FrameRecord) -> None:
        """Take a frame and its row; arrays must not be changed, nor kept but for a few."""

    def close(self) -> None:
        """No more frames; also called if the bag turns out to be damaged."""


def sinks(folder: Path) -> list[FrameSink]:
    """The sinks of a task; the one place that lists them."""
    return []
