"""The faults, and what is expected of the node under each.

A fault changes what one sensor sends (of the camera ``front``, or of the whole robot) for some
seconds; a second camera, where there is one, sends as before.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from robot import Sending, Sensor, turned

from stmem_ros.node.ros_messages import ROS_MESSAGES
from stmem_ros.stamps import SECOND

Change = Callable[[float, Sending], Iterable[Sending]]  # s since the fault began, and a message


class Labels(Enum):
    """What becomes of the labels of the camera that the fault is of."""

    GO_ON = "go on"
    FEWER = "fewer"
    STOP = "stop"


class Grid(Enum):
    """What becomes of the grid, of one camera alone."""

    GOES_ON = "goes on"
    TAKEN_BACK = "taken back"
    GOES_ON_OR_TOLD = "goes on, or the reason is told"


@dataclass(frozen=True)
class Fault:
    """One fault and what is expected while it lasts.

    Attributes:
        sensor, name: what it is of, and what it is.
        make: makes the change of a sensor's messages, which may remember.
        labels, grid: what becomes of them.
        told: what a status of /diagnostics says then; '' if all of them stay OK, None if they may
            say something.
        seconds: how long it lasts.
        street_from_odom: where odometry says it is, while it lasts.
        survives_alone: a second camera keeps the grid going.
        is_right_alone: grids of that camera alone are right by the street's truth; False where its
            stamps lie, which nothing can tell from images that are late.
    """

    sensor: Sensor
    name: str
    make: Callable[[], Change]
    labels: Labels = Labels.GO_ON
    grid: Grid = Grid.GOES_ON
    told: str | None = ""
    seconds: float = 3.0
    street_from_odom: np.ndarray = field(default_factory=lambda: np.eye(4))
    survives_alone: bool = True
    is_right_alone: bool = True


def always(change: Change) -> Callable[[], Change]:
    """For a change that remembers nothing."""
    return lambda: change


def nothing(elapsed: float, sending: Sending) -> list[Sending]:
    return []


def delayed(seconds: float) -> Change:
    return lambda elapsed, sending: [replace(sending, after=seconds)]


def in_bursts(elapsed: float, sending: Sending) -> list[Sending]:
    return [replace(sending, after=math.ceil(elapsed) - elapsed)]


def in_and_out(elapsed: float, sending: Sending) -> list[Sending]:
    """At 1 Hz."""
    return [sending] if elapsed % 1.0 < 0.5 else []


def twice(elapsed: float, sending: Sending) -> list[Sending]:
    return [sending, sending]


def edited(edit: Callable[[object], None]) -> Callable[[], Change]:
    """A copy of each message with something changed."""

    def change(elapsed: float, sending: Sending) -> list[Sending]:
        message = copy.deepcopy(sending.message)
        edit(message)
        return [replace(sending, message=message)]

    return always(change)


def repeated() -> Change:
    """The first message, again and again."""
    first: list[Sending] = []

    def change(elapsed: float, sending: Sending) -> list[Sending]:
        if not first:
            first.append(sending)
        return [replace(sending, message=first[0].message)]

    return change


def repeated_with_new_stamps() -> Change:
    """The content of the first message, with the stamps of those that follow."""
    first: list[Sending] = []

    def change(elapsed: float, sending: Sending) -> list[Sending]:
        if not first:
            first.append(sending)
        message = copy.deepcopy(first[0].message)
        for old, new in zip(stamped(message), stamped(sending.message), strict=True):
            old.header.stamp = new.header.stamp
        return [replace(sending, message=message)]

    return change


def swapped() -> Change:
    """Each second message before the first."""
    held: list[Sending] = []

    def change(elapsed: float, sending: Sending) -> list[Sending]:
        if not held:
            held.append(sending)
            return []
        return [sending, held.pop()]

    return change


def stamped(message: object) -> list:
    """What has headers in a message."""
    return message.transforms if hasattr(message, "transforms") else [message]


def restamped(seconds: float) -> Callable[[], Change]:
    def edit(message: object) -> None:
        for part in stamped(message):
            stamp = part.header.stamp.sec * SECOND + part.header.stamp.nanosec
            part.header.stamp = ROS_MESSAGES.time(max(0, stamp + round(seconds * SECOND)))

    return edited(edit)


def stepped_back_once(seconds: float) -> Callable[[], Change]:
    """Each fifth image has a stamp of the past."""

    def make() -> Change:
        count = 0
        back = restamped(-seconds)()

        def change(elapsed: float, sending: Sending) -> Iterable[Sending]:
            nonlocal count
            count += 1
            return back(elapsed, sending) if count % 5 == 0 else [sending]

        return change

    return make


def assigned(**fields: object) -> Callable[[], Change]:
    def edit(message: object) -> None:
        for name, value in fields.items():
            setattr(message, name, value)

    return edited(edit)


def with_frame(name: str) -> Callable[[], Change]:
    def edit(message: object) -> None:
        message.header.frame_id = name

    return edited(edit)


def cut(message: object) -> None:
    message.data = message.data[: len(message.data) // 2]


def emptied(message: object) -> None:
    message.data = message.data[:0]


def half_size(message: object) -> None:
    """Each second row and column, and nothing else is told."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, -1)
    small = rows[::2, ::2]
    message.height, message.width = small.shape[:2]
    message.step = message.step // 2
    message.data = ROS_MESSAGES.sequence(small)


def cropped(message: object) -> None:
    """An image of another shape than camera_info tells."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, -1)[:100]
    message.height = 100
    message.data = ROS_MESSAGES.sequence(rows)


def filled(value: float) -> Callable[[object], None]:
    def edit(message: object) -> None:
        pixels = np.full((message.height, message.width), value, np.float32)
        message.data = ROS_MESSAGES.sequence(pixels.view(np.uint8))

    return edit


def huge(message: object) -> None:
    message.height = message.width = 100_000
    message.step = 300_000


def set_matrix(k: Iterable[float]) -> Callable[[], Change]:
    values = list(k)

    def edit(message: object) -> None:
        message.k = values
        message.p = [*values[:3], 0.0, *values[3:6], 0.0, *values[6:], 0.0]

    return edited(edit)


def rescaled(message: object) -> None:
    """For images of twice the size."""
    message.width, message.height = 2 * message.width, 2 * message.height
    message.k = [2 * v for v in message.k[:6]] + [0.0, 0.0, 1.0]


def moved(pose: np.ndarray) -> Callable[[], Change]:
    """Odometry that jumped: all poses lie elsewhere."""

    def edit(message: object) -> None:
        part = message.transforms[0]
        header, child = part.header, part.child_frame_id
        translation = part.transform.translation
        here = np.eye(4)
        here[:3, 3] = translation.x, translation.y, translation.z
        message.transforms = ROS_MESSAGES.transform(pose @ here, child, header).transforms

    return edited(edit)


def each_transform(edit: Callable[[object], None]) -> Callable[[], Change]:
    def edit_all(message: object) -> None:
        for part in message.transforms:
            edit(part)

    return edited(edit_all)


def not_a_number(part: object) -> None:
    part.transform.translation.x = math.nan


def no_rotation(part: object) -> None:
    part.transform.rotation.w = 0.0
    part.transform.rotation.x = part.transform.rotation.y = part.transform.rotation.z = 0.0


def other_parent(part: object) -> None:
    part.header.frame_id = "nowhere"


def no_names(part: object) -> None:
    part.header.frame_id = part.child_frame_id = ""


def clock_shifted(seconds: float) -> Callable[[], Change]:
    def edit(message: object) -> None:
        stamp = message.clock.sec * SECOND + message.clock.nanosec
        message.clock = ROS_MESSAGES.time(max(0, stamp + round(seconds * SECOND)))

    return edited(edit)


def clock_in_disorder() -> Change:
    random = np.random.default_rng(0)

    def change(elapsed: float, sending: Sending) -> Iterable[Sending]:
        return clock_shifted(random.uniform(-0.4, 0.4))()(elapsed, sending)

    return change


def pose(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    result = turned(yaw)
    result[:2, 3] = x, y
    return result


def image_faults() -> list[Fault]:
    image, stop, fewer, gone = Sensor.IMAGE, Labels.STOP, Labels.FEWER, Grid.TAKEN_BACK
    unused = {"labels": stop, "grid": gone, "told": "images not used"}
    return [
        Fault(image, "nothing comes", always(nothing), stop, gone, "no image on"),
        Fault(image, "the same message again", repeated, stop, gone, "same stamp"),
        Fault(image, "the same pixels under new stamps", repeated_with_new_stamps,
              grid=gone, told="same pixels"),
        Fault(image, "data cut in half", edited(cut), **unused),
        Fault(image, "no data", edited(emptied), **unused),
        Fault(image, "size 0 x 0", assigned(height=0, width=0, step=0), **unused),
        Fault(image, "step 0", assigned(step=0), **unused),
        Fault(image, "a step too small", assigned(step=100), **unused),
        Fault(image, "100000 x 100000 pixels claimed", edited(huge), **unused),
        Fault(image, "an unknown encoding", assigned(encoding="rainbow12"), **unused),
        Fault(image, "no encoding", assigned(encoding=""), **unused),
        Fault(image, "an encoding of more bytes", assigned(encoding="rgba8"), **unused),
        Fault(image, "half the size of camera_info", edited(half_size), grid=gone,
              told="must be of one size"),
        Fault(image, "another shape than camera_info", edited(cropped), grid=gone,
              told="must be of one size"),
        Fault(image, "an unknown frame", with_frame("nowhere"), grid=gone, told="nowhere"),
        Fault(image, "no frame", with_frame(""), grid=gone, told="costmap not updated"),
        Fault(image, "0.3 s late", always(delayed(0.3))),
        Fault(image, "1 s late", always(delayed(1.0)), told="after the stamps", seconds=4.0),
        Fault(image, "3 s late", always(delayed(3.0)), told="after the stamps", seconds=6.0),
        Fault(image, "in bursts, once per second", always(in_bursts), fewer, told=None),
        Fault(image, "in and out at 1 Hz", always(in_and_out), fewer),
        # Told where both are taken; a busy node takes the one that came last alone.
        Fault(image, "each twice", always(twice), told=None),
        Fault(image, "pairs in the wrong order", swapped, fewer, told=None),
        Fault(image, "stamp 0", assigned_stamp(0), stop, gone, "same stamp"),
        Fault(image, "each fifth stamp 0.5 s back", stepped_back_once(0.5), fewer,
              told="came late or twice"),
        Fault(image, "stamps 0.5 s ahead", restamped(0.5), grid=gone, told="ahead of"),
        Fault(image, "stamps 5 s ahead", restamped(5.0), grid=gone, told="ahead of"),
        Fault(image, "stamps 1 h ahead", restamped(3600.0), grid=gone, told="ahead of"),
        Fault(image, "stamps 5 s back", restamped(-5.0), told="after the stamps",
              is_right_alone=False),
        Fault(image, "stamps 1 h back", restamped(-3600.0), grid=gone, told="after the stamps"),
    ]  # fmt: skip


def assigned_stamp(seconds: float) -> Callable[[], Change]:
    def edit(message: object) -> None:
        message.header.stamp = ROS_MESSAGES.time(round(seconds * SECOND))

    return edited(edit)


def camera_info_faults() -> list[Fault]:
    info, gone, refused = Sensor.CAMERA_INFO, Grid.TAKEN_BACK, "costmap not updated"
    wrong = {"grid": gone, "told": refused}
    return [
        Fault(info, "nothing comes", always(nothing)),
        Fault(info, "the same message again", repeated),
        Fault(info, "K is NaN", set_matrix([math.nan] * 9), **wrong),
        Fault(info, "K is zero", set_matrix([0.0] * 9), **wrong),
        Fault(info, "a negative focal length", set_matrix([-250, 0, 159.5, 0, 250, 113, 0, 0, 1]),
              **wrong),
        Fault(info, "D is NaN", assigned(d=[math.nan] * 5, distortion_model="plumb_bob"), **wrong),
        Fault(info, "D of 3 numbers", assigned(d=[0.1] * 3, distortion_model="plumb_bob"), **wrong),
        Fault(info, "an unknown distortion model",
              assigned(distortion_model="rainbow", d=[0.1] * 5), **wrong),
        Fault(info, "size 0 x 0", assigned(height=0, width=0), **wrong),
        Fault(info, "another shape", assigned(height=100), **wrong),
        Fault(info, "of twice the size", edited(rescaled), **wrong),
        Fault(info, "another frame", with_frame("nowhere"), told="of the frame 'nowhere'"),
        Fault(info, "0.3 s late", always(delayed(0.3))),
        Fault(info, "3 s late", always(delayed(3.0)), seconds=4.0),
        Fault(info, "in bursts, once per second", always(in_bursts)),
        Fault(info, "in and out at 1 Hz", always(in_and_out)),
        Fault(info, "stamps 5 s back", restamped(-5.0)),
    ]  # fmt: skip


def depth_faults() -> list[Fault]:
    depth, stop, gone = Sensor.DEPTH, Labels.STOP, Grid.TAKEN_BACK
    unpaired = {"labels": stop, "grid": gone, "told": "no image on"}
    refused = {"grid": gone, "told": "costmap not updated"}
    return [
        Fault(depth, "nothing comes", always(nothing), **unpaired),
        Fault(depth, "the same message again", repeated, **unpaired),
        Fault(depth, "data cut in half", edited(cut), **refused),
        Fault(depth, "no data", edited(emptied), **refused),
        Fault(depth, "size 0 x 0", assigned(height=0, width=0, step=0), **refused),
        Fault(depth, "100000 x 100000 pixels claimed", edited(huge), **refused),
        Fault(depth, "another shape than the image", edited(cropped), **refused),
        Fault(depth, "an encoding of colours", assigned(encoding="rgb8"), **refused),
        Fault(depth, "all NaN", edited(filled(math.nan))),
        Fault(depth, "all zero", edited(filled(0.0))),
        Fault(depth, "all negative", edited(filled(-3.0))),
        Fault(depth, "all infinite", edited(filled(math.inf))),
        Fault(depth, "0.3 s late", always(delayed(0.3))),
        Fault(depth, "1 s late", always(delayed(1.0)), told="after the stamps", seconds=4.0),
        Fault(depth, "in bursts, once per second", always(in_bursts), Labels.FEWER, told=None),
        Fault(depth, "in and out at 1 Hz", always(in_and_out), Labels.FEWER),
        Fault(depth, "stamps 5 s back", restamped(-5.0), **unpaired),
        Fault(depth, "stamps 0.1 s ahead", restamped(0.1), **unpaired),
    ]  # fmt: skip


def static_transform_faults() -> list[Fault]:
    static, gone, refused = Sensor.STATIC_TRANSFORM, Grid.TAKEN_BACK, "costmap not updated"
    whole = {"survives_alone": False}
    return [
        Fault(static, "sent again", always(lambda elapsed, sending: [sending])),
        Fault(static, "NaN", each_transform(not_a_number)),
        Fault(static, "a rotation of zeros", each_transform(no_rotation)),
        Fault(static, "names that are empty", each_transform(no_names)),
        Fault(static, "another parent", each_transform(other_parent), grid=gone, told=refused,
              **whole),
    ]  # fmt: skip


def odometry_faults() -> list[Fault]:
    odometry, gone, refused = Sensor.ODOMETRY, Grid.TAKEN_BACK, "costmap not updated"
    missing = {"grid": gone, "told": refused, "survives_alone": False}
    jumps = {
        "1 m": pose(x=1.0), "3 m aside": pose(y=3.0), "10 m": pose(x=10.0),
        "12 m aside": pose(y=12.0), "30 m": pose(x=-30.0), "100 m": pose(x=100.0),
        "90 degrees": pose(yaw=math.pi / 2),
    }  # fmt: skip
    return [
        Fault(odometry, "nothing comes", always(nothing), **missing),
        Fault(odometry, "the same message again", repeated, **missing),
        Fault(odometry, "NaN", each_transform(not_a_number), **missing),
        Fault(odometry, "a rotation of zeros", each_transform(no_rotation), **missing),
        Fault(odometry, "names that are empty", each_transform(no_names), **missing),
        # Just beyond what labels wait for: whether it comes in time is up to the machine.
        Fault(odometry, "0.3 s late", always(delayed(0.3)), grid=Grid.GOES_ON_OR_TOLD, told=None,
              survives_alone=False),
        Fault(odometry, "1 s late", always(delayed(1.0)), **missing),
        Fault(odometry, "3 s late", always(delayed(3.0)), seconds=4.0, **missing),
        Fault(odometry, "in bursts, once per second", always(in_bursts), told=refused),
        Fault(odometry, "in and out at 1 Hz", always(in_and_out), told=refused),
        Fault(odometry, "each twice", always(twice)),
        Fault(odometry, "pairs in the wrong order", swapped),
        Fault(odometry, "stamps 0.05 s back", restamped(-0.05)),
        Fault(odometry, "stamps 5 s back", restamped(-5.0), **missing),
        *(
            Fault(odometry, f"a jump by {name}", moved(jump),
                  told="jump" , street_from_odom=np.linalg.inv(jump))
            for name, jump in jumps.items()
        ),
    ]  # fmt: skip


def clock_faults() -> list[Fault]:
    clock = Sensor.CLOCK
    return [
        Fault(clock, "nothing comes", always(nothing), told="/clock has not moved"),
        Fault(clock, "the same message again", repeated, told="/clock has not moved"),
        Fault(clock, "in disorder by 0.4 s", clock_in_disorder, told="ahead of"),
        Fault(clock, "0.1 s late", always(delayed(0.1))),
        Fault(clock, "0.3 s late", always(delayed(0.3)), told="ahead of"),
        Fault(clock, "1 s late", always(delayed(1.0)), told="ahead of"),
        Fault(clock, "3 s late", always(delayed(3.0)), told="ahead of", seconds=4.0),
        Fault(clock, "in bursts, once per second", always(in_bursts), told="ahead of"),
        Fault(clock, "in and out at 1 Hz", always(in_and_out), told="ahead of"),
        Fault(clock, "0.1 s ahead", clock_shifted(0.1)),
        Fault(clock, "5 s ahead", clock_shifted(5.0), told="after the stamps"),
        Fault(clock, "100 s ahead", clock_shifted(100.0), told="after the stamps"),
        Fault(clock, "0.5 s back", clock_shifted(-0.5), told="ahead of"),
        Fault(clock, "5 s back", clock_shifted(-5.0), told="ahead of"),
        Fault(clock, "100 s back", clock_shifted(-100.0), told="ahead of"),
    ]  # fmt: skip


FAULTS = [
    *image_faults(),
    *camera_info_faults(),
    *depth_faults(),
    *static_transform_faults(),
    *odometry_faults(),
    *clock_faults(),
]
