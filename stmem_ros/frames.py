"""What goes through the pipeline: frames in, labelled frames, the grid after each of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from stmem_ros.costmap.grid_time import OtherTimeError
from stmem_ros.costmap.mapper import MapUpdate
from stmem_ros.geometry.camera import CameraModel
from stmem_ros.geometry.odometry import LostOdometryError
from stmem_ros.geometry.transforms import TransformError
from stmem_ros.stamps import CLOCK_RESET
from stmem_ros.streaming.segmenter import Restart, StageTimings


@dataclass(frozen=True)
class CameraFrame:
    """An image that came in.

    Attributes:
        camera: name of the camera.
        rgb: uint8 H x W x 3.
        stamp: ns.
        frame_id: the camera's optical frame.
        epoch: the pipeline's when the image came in; None: the pipeline's now.
        source: what the adapter made it from; the pipeline hands it on unread.
    """

    camera: str
    rgb: np.ndarray
    stamp: int
    frame_id: str
    source: Any = None
    epoch: int | None = None


@dataclass(frozen=True)
class LabelledFrame:
    """The labels of a frame.

    Attributes:
        frame: the frame they belong to; of a centred model one that came earlier.
        label, confidence: uint8 H x W, as in ``Segmentation``.
        window: how many different frames the temporal fusion looked at.
        timings: seconds per stage.
        restart: why the stream began anew with this frame, None if it did not.
        epoch: the pipeline's when the frame came in.
        memory_share, strangeness: as in ``Segmentation``; None if not known.
    """

    frame: CameraFrame
    label: np.ndarray
    confidence: np.ndarray
    window: int
    timings: StageTimings
    restart: Restart | None
    epoch: int
    memory_share: float | None = None
    strangeness: float | None = None


class Refusal(Enum):
    """Why a frame gets no labels."""

    INVALID = "the image cannot be used"
    LATE = "the image is not newer than one of its camera that came before"
    UNWANTED = "the camera is paused, or the image comes sooner than its rate allows"
    CUT_OFF = "a centred model needs frames that follow, and the stream ended or began anew"


@dataclass(frozen=True)
class RefusedFrame:
    """A frame that gets no labels: the kind of reason, and its text for people."""

    frame: CameraFrame
    refusal: Refusal
    text: str


def late_text(stamp: int, newest: int) -> str:
    """Why a stamp is none of now, after the ``newest`` one of its camera, ns; empty if it may be.

    What lies farther back is of another time: a bag or a simulation that began again.
    """
    lag = newest - stamp
    if not stamp and newest:
        return "its stamp is 0, which means none, where others of its camera have one"
    if not 0 <= lag <= CLOCK_RESET:
        return ""
    if not lag:
        return "its stamp is that of an image which came earlier: do its stamps stand still?"
    return f"its stamp lies {lag / 1e9:.3f} s before that of an image which came earlier"


@dataclass(frozen=True)
class LabelResult:
    """What became of some frames: those that have labels now, and those that never will."""

    labelled: tuple[LabelledFrame, ...]
    refused: tuple[RefusedFrame, ...]


@dataclass(frozen=True)
class View:
    """Where a camera looked from.

    Attributes:
        camera: intrinsics of the labelled image.
        camera_from_base: 4 x 4, base frame to the camera's optical frame.
    """

    camera: CameraModel
    camera_from_base: np.ndarray


@dataclass(frozen=True)
class PlacedMap:
    """The grid after an image, and where it lies.

    Attributes:
        update: the grid in ``frame``, obstacles in the base frame.
        frame: frame of the grid: odometry, or the base where there is no odometry.
        grid_from_base: 4 x 4, base frame to ``frame``; the identity without odometry.
        view: from where the image saw the ground.
    """

    update: MapUpdate
    frame: str
    grid_from_base: np.ndarray
    view: View


class MapProblem(Enum):
    """Why a grid was not updated with an image, or what it lacks."""

    NO_CAMERA_INFO = "no CameraInfo: labels go on, the costmap waits"
    OTHER_TIME = "the labels are more than a second older than the grid"
    NO_TRANSFORM = "a transform is not there"
    LOST_ODOMETRY = "odometry was there and is not any more"
    NO_ODOMETRY = "no odometry: the grid holds the newest image alone"
    NO_RULES = "the model's classes have no cost rules"
    STRANGE = "the image is unlike all that the model knows"
    NOT_USABLE = "labels, calibration, depth or pose cannot be used"

    @staticmethod
    def of(error: OtherTimeError | TransformError | ValueError) -> MapProblem:
        """The kind of an error that kept labels from the grid."""
        return next(problem for kind, problem in _PROBLEMS if isinstance(error, kind))


class StrangeImageError(ValueError):
    """An image is unlike all that the model knows: its labels are not to be relied on."""


_PROBLEMS: tuple[tuple[type[Exception], MapProblem], ...] = (
    (OtherTimeError, MapProblem.OTHER_TIME),
    (LostOdometryError, MapProblem.LOST_ODOMETRY),
    (TransformError, MapProblem.NO_TRANSFORM),
    (StrangeImageError, MapProblem.STRANGE),
    (ValueError, MapProblem.NOT_USABLE),
)


def check_familiar(labelled: LabelledFrame, limit: float) -> None:
    """Refuse labels of an image whose strangeness is above a limit; 0: of none.

    Raises:
        StrangeImageError: it is.
    """
    if limit and labelled.strangeness is not None and labelled.strangeness > limit:
        raise StrangeImageError(
            f"the image is unlike all that the model knows: its strangeness is "
            f"{labelled.strangeness:.1f}, costmap.strangeness_limit is {limit}"
        )


def no_odometry_text(base: str, odom: str) -> str:
    """Of a grid in ``base``, which no transforms connect to ``odom``."""
    return (
        f"no odometry (no transforms connect {base!r} to {odom!r}): "
        f"the grid lies in {base!r} and holds the newest image alone"
    )


@dataclass(frozen=True)
class MapResult:
    """What became of the labels of a frame.

    Attributes:
        placed: the grid after them; None if it stayed as it was.
        problem: the kind of what went wrong or is missing, None if all is well.
        text: of the problem, for people; empty if all is well.
        publish: whether the grid is to be published now.
    """

    placed: PlacedMap | None
    problem: MapProblem | None = None
    text: str = ""
    publish: bool = False
