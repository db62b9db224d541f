"""A replay of the synthetic world with perfect labels, frame by frame, without a bag or a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.rate_limiter import RateLimiter
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, drive
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.evaluation.replay.replayed_frame import (
    FrameState,
    FrameTimings,
    ReplayedFrame,
)
from stmem_ros.evaluation.results.frame_record import FrameRecord
from stmem_ros.frames import PlacedMap, View
from stmem_ros.pipeline import PipelineConfig

RULES = default_rules(CAMVID)
START = 1_700_000_000 * 10**9


def replayed(frames: int, rate: float = 10.0) -> Iterator[ReplayedFrame]:
    """Frames of a street, labelled as they are."""
    mapper = SemanticMapper(GridConfig(), RULES)
    rate_limiter = RateLimiter(PipelineConfig.costmap_rate)
    camera_from_base = np.linalg.inv(MOUNTING.base_from_camera())
    for i, frame in enumerate(drive(make_scene("straight", 2), frames, rate)):
        sure = np.full_like(frame.view.label, 200)
        pose = frame.world_from_base
        seen = (frame.view.label, sure, frame.stamp, CAMERA, camera_from_base, pose)
        stamp = START + round(1e9 * frame.stamp)
        yield ReplayedFrame(
            index=i,
            stamp=stamp,
            received=stamp + 5_000_000,
            state=FrameState.LABELLED,
            rgb=frame.view.rgb,
            label=frame.view.label,
            confidence=sure,
            window=min(3, i + 1),
            reference=frame.view.label,
            map=PlacedMap(mapper.update(*seen), "odom", pose, View(CAMERA, camera_from_base)),
            timings=FrameTimings(1.0, 2.0, 30.0, 10.0, 3.0, 4.0, 8.0, 60.0, 50.0),
            map_published=rate_limiter.accepts(stamp),
            frame_id="camera_optical_frame",
        )


def dropped(frame: ReplayedFrame) -> ReplayedFrame:
    """The same image, had it not reached the model."""
    return ReplayedFrame(
        frame.index, frame.stamp, frame.received, FrameState.DROPPED, "lost on the way"
    )


def row(frame: ReplayedFrame, **values: float) -> FrameRecord:
    """The row of a frame with some figures."""
    record = FrameRecord(
        "drive", "small", frame.index, frame.stamp, frame.received, frame.state.value, "", "",
        frame.window, "", "",
    )  # fmt: skip
    return replace(record, **values)
