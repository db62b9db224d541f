"""What a replay yields for each image of a bag, whoever made it: offline core or the real node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np

from stmem_ros.frames import MapProblem, PlacedMap
from stmem_ros.streaming.segmenter import Restart


class FrameState(str, Enum):
    """What became of an image."""

    LABELLED = "labelled"
    DROPPED = "dropped"  # it never reached the model: lost, replaced by a newer one, or left out
    LATE = "late"  # a newer image of its camera came before it
    INVALID = "invalid"  # it could not be decoded or used
    UNLABELLED = "unlabelled"  # it was used, but no label came (the last frames of a centred model)


class BagImage(Protocol):
    """An image of a bag, of whichever camera; the attributes as of ``ReplayedFrame``."""

    @property
    def camera(self) -> str: ...

    @property
    def index(self) -> int: ...

    @property
    def stamp(self) -> int: ...

    @property
    def received(self) -> int: ...


@dataclass(frozen=True)
class FrameTimings:
    """Measured milliseconds of one frame; never the same twice.

    Attributes:
        decode_image: message to RGB.
        upload, backbone, stf, mar, decode: stages of the model.
        costmap: fusing the labels into the grid.
        total: image message in to grid out.
        latency: image in to label out: offline what the core took, online from sending the image to
            receiving its label.
    """

    decode_image: float
    upload: float
    backbone: float
    stf: float
    mar: float
    decode: float
    costmap: float
    total: float
    latency: float


@dataclass(frozen=True)
class ReplayedFrame:
    """One image of a bag and all that became of it.

    Frames come in the order of the images in the bag, each once.

    Attributes:
        index: number of the image among those replayed, from 0.
        stamp: of its header, ns; of its recording where the message cannot be read.
        received: when it was recorded, ns.
        state: what became of it.
        reason: why it is not labelled; empty if it is.
        restart: why the stream began anew with it (a stamp that went back, a gap, a new image
            size); None if it did not.
        rgb: H x W x 3 uint8; None for frames that were dropped or cannot be decoded.
        label, confidence: H x W uint8; None unless labelled.
        window: how many frames the temporal fusion looked at, 0 unless labelled.
        memory_share, strangeness: as in ``Segmentation``.
        reference: reference labels H x W uint8, 255 unlabelled; None without.
        reference_problem: why there is a reference that cannot be used; empty otherwise.
        map: the grid after this image; None if it was not updated with it.
        map_problem: why not, or what it lacks (odometry); empty if all is well.
        map_problem_kind: its kind; None if all is well, or not known.
        map_published: whether the node publishes this grid, by ``costmap_rate``.
        points: reference points of lidar or depth, N x 3 in the base frame, m; None without.
        latency: seconds from the image's arrival to its label, of a simulated machine; None without
            such a simulation.
        timings: measured; None unless labelled.
        frame_id: of its header: the camera's optical frame.
        camera: name of the camera, as of the node's parameter ``cameras``.
    """

    index: int
    stamp: int
    received: int
    state: FrameState
    reason: str = ""
    restart: Restart | None = None
    rgb: np.ndarray | None = None
    label: np.ndarray | None = None
    confidence: np.ndarray | None = None
    window: int = 0
    memory_share: float | None = None
    strangeness: float | None = None
    reference: np.ndarray | None = None
    reference_problem: str = ""
    map: PlacedMap | None = None
    map_problem: str = ""
    map_problem_kind: MapProblem | None = None
    map_published: bool = False
    points: np.ndarray | None = None
    latency: float | None = None
    timings: FrameTimings | None = None
    frame_id: str = ""
    camera: str = ""


def unlabelled(image: BagImage, state: FrameState, reason: str) -> ReplayedFrame:
    """The frame of an image that gets no label."""
    return ReplayedFrame(
        camera=image.camera,
        index=image.index,
        stamp=image.stamp,
        received=image.received,
        state=state,
        reason=reason,
    )
