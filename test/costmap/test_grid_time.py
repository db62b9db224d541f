"""Which labels belong to the time of a grid that several cameras fill."""

import pytest

from stmem_ros.costmap.grid_time import GridTime, OtherTimeError
from stmem_ros.stamps import SECOND


def feed(time: GridTime, camera: str, seconds: float) -> str:
    """What becomes of labels; those that are not refused go into the grid."""
    stamp = round(seconds * SECOND)
    try:
        begins_anew = time.begins_anew(camera, stamp)
    except OtherTimeError:
        return "refused"
    if begins_anew:
        time.reset()
    time.follow(camera, stamp)
    return "anew" if begins_anew else "on"


@pytest.fixture
def time() -> GridTime:
    """Of a grid that two cameras filled up to 100 s."""
    time = GridTime()
    for camera in ("left", "right"):
        assert feed(time, camera, 100.0) == "on"
    return time


@pytest.mark.parametrize("seconds", [99.0, 99.9, 100.0, 500.0])
def test_labels_up_to_a_second_older_go_on(time: GridTime, seconds: float) -> None:
    assert feed(time, "left", seconds) == "on"


def test_the_grid_begins_anew_once_when_all_cameras_went_back(time: GridTime) -> None:
    fates = [feed(time, camera, 10 + i / 10) for i in range(5) for camera in ("left", "right")]
    assert fates == ["refused", "anew", *["on"] * 8]


def test_labels_that_were_on_their_way_do_not_keep_the_grid_from_that(time: GridTime) -> None:
    fates = [feed(time, "left", 10.0), feed(time, "right", 100.1)]
    fates += [feed(time, "left", 10.1), feed(time, "right", 10.1)]
    assert fates == ["refused", "on", "refused", "anew"]


def test_a_camera_with_wrong_stamps_is_refused_as_long_as_the_others_are_there(
    time: GridTime,
) -> None:
    for i in range(100):
        assert feed(time, "left", 101 + i / 10) == "on"
        assert feed(time, "right", 50 + i / 10) == "refused"


def test_a_camera_that_is_silent_is_waited_for_a_second(time: GridTime) -> None:
    fates = [feed(time, "left", 10 + i / 10) for i in range(13)]
    assert fates == [*["refused"] * 11, "anew", "on"]


def test_a_camera_that_goes_back_once_more_waits_no_longer(time: GridTime) -> None:
    assert feed(time, "left", 50.0) == "refused"
    fates = [feed(time, "left", 10 + i / 10) for i in range(12)]
    assert fates == [*["refused"] * 11, "anew"]
