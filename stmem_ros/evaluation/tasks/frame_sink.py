"""What sees every frame of a task and makes something of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stmem_ros.costmap.rules import CostRules
from stmem_ros.evaluation.replay.replayed_frame import ReplayedFrame
from stmem_ros.evaluation.results.frame_record import FrameRecord
from stmem_ros.evaluation.tasks.bag_task import BagTask
from stmem_ros.model.bundle import BundledSegmenter


class FrameSink(Protocol):
    """Sees every frame of a task, in order; made in the process that works on the task.

    The report's pictures and the bag of outputs are sinks; each leaves what it makes in the task's
    folder.
    """

    def add(self, frame: ReplayedFrame, record: FrameRecord) -> None:
        """Take a frame and its row; arrays must not be changed, nor kept but for a few."""

    def close(self) -> None:
        """No more frames; also called if the bag turns out to be damaged."""


# Makes the sink of a task from its model and the rules of its grid (None without one); None where
# the task needs none of the kind.
SinkMaker = Callable[[BagTask, BundledSegmenter, CostRules | None], FrameSink | None]
