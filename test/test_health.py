"""What is told of the node's health, without ROS: each fault has its status, which clears again."""

from __future__ import annotations

import pytest

from stmem_ros.health import (
    CameraHealth,
    ClockHealth,
    GridHealth,
    HealthLimits,
    Level,
    Status,
)

LIMITS = HealthLimits()
TOPIC = "/image_raw"
CLOCK = 1000.0  # the node's, when no time has passed


class Drive:
    """A camera at 10 Hz that is labelled at once, from which tests deviate."""

    def __init__(self) -> None:
        self.health = CameraHealth(LIMITS, 0.0)
        self.now = 0.0
        self.count = 0
        self.strangeness: float | None = None

    def go_on(self, seconds: float, **image: object) -> Status:
        """Images for a while; ``image``: what is other than usual of each. The status then."""
        for _ in range(round(10 * seconds)):
            self.now += 0.1
            self.count += 1
            given = {"stamp": CLOCK + self.now - 0.02, "pixels": self.count} | image
            self.health.image_came(self.now, CLOCK + self.now, **given)
            self.health.info_came()
            self.health.image_labelled(0.05, self.strangeness)
        return self.status()

    def status(self, after: float = 0.0) -> Status:
        self.now += after
        return self.health.status(self.now, TOPIC, {})


@pytest.fixture
def drive() -> Drive:
    drive = Drive()
    assert drive.go_on(1.0).level is Level.OK
    return drive


def test_a_camera_from_which_nothing_ever_came_is_a_warning_and_soon_an_error() -> None:
    health = CameraHealth(LIMITS, 0.0)
    assert health.status(0.1, TOPIC, {}).level is Level.WARN
    status = health.status(LIMITS.age_error + 0.1, TOPIC, {})
    assert status.level is Level.ERROR and TOPIC in status.message


def test_a_camera_that_falls_silent_is_an_error_until_images_come_again(drive: Drive) -> None:
    assert drive.status(after=LIMITS.age_warn + 0.1).level is Level.WARN
    silent = drive.status(after=LIMITS.age_error)
    assert silent.level is Level.ERROR and TOPIC in silent.message
    assert float(silent.values["image_age_s"]) > LIMITS.age_error
    assert drive.go_on(1.0).level is Level.OK


@pytest.mark.parametrize(
    ("latency", "level"), [(0.4, Level.OK), (0.6, Level.WARN), (2.1, Level.ERROR)]
)
def test_labels_that_come_late_are_told(drive: Drive, latency: float, level: Level) -> None:
    drive.health.image_labelled(latency, None)
    status = drive.status()
    assert status.level is level and status.values["latency_s"] == f"{latency:.3f}"
    assert drive.go_on(1.0).level is Level.OK


def test_images_that_get_no_labels_at_all_are_told(drive: Drive) -> None:
    for i in range(30):
        drive.health.image_came(drive.now + i / 10, CLOCK + drive.now + i / 10, CLOCK + i, i)
    assert drive.status(after=2.9).level is Level.ERROR


def test_images_that_stand_still_are_told_under_whatever_stamps(drive: Drive) -> None:
    assert drive.go_on(LIMITS.still_warn - 0.5, pixels=7).level is Level.OK
    status = drive.go_on(1.0, pixels=7)
    assert status.level is Level.WARN and "pixels" in status.message
    assert drive.go_on(LIMITS.still_error, pixels=7).level is Level.ERROR
    assert drive.go_on(1.0).level is Level.OK


def test_stamps_that_stand_still_are_told(drive: Drive) -> None:
    stamp = CLOCK + drive.now
    status = drive.go_on(LIMITS.still_warn + 0.5, stamp=stamp)
    assert status.level is Level.WARN and "stamp" in status.message
    assert drive.go_on(LIMITS.still_error, stamp=stamp).level is Level.ERROR
    assert drive.go_on(1.0).level is Level.OK


def test_stamps_that_hardly_go_on_stand_still(drive: Drive) -> None:
    stamp, began = CLOCK + drive.now, drive.now
    while drive.now < began + LIMITS.still_warn + 1.0:
        status = drive.go_on(0.1, stamp=stamp)
        stamp += 1e-4
    assert status.level is Level.WARN and "stamp" in status.message


@pytest.mark.parametrize(
    ("ahead", "level"), [(0.1, Level.OK), (0.5, Level.WARN), (60.0, Level.ERROR)]
)
def test_stamps_of_the_future_are_told(drive: Drive, ahead: float, level: Level) -> None:
    status = drive.go_on(0.1, stamp=CLOCK + drive.now + 0.1 + ahead)
    assert status.level is level
    assert drive.go_on(1.0).level is Level.OK


def test_images_that_cannot_be_used_are_a_warning_and_without_any_other_an_error(
    drive: Drive,
) -> None:
    drive.health.image_refused("no such encoding")
    some = drive.go_on(0.5)
    assert some.level is Level.WARN and "no such encoding" in some.message
    drive.health.image_refused("no such encoding")
    assert drive.status().level is Level.ERROR
    assert drive.go_on(1.0).level is Level.OK


def test_images_that_are_lost_on_their_way_are_told_and_forgotten(drive: Drive) -> None:
    for _ in range(60):
        drive.health.info_came()
    status = drive.go_on(0.1)
    assert status.level is Level.WARN and "camera_info" in status.message
    assert drive.go_on(4.0).level is Level.OK


def test_where_fewer_images_than_camera_info_are_right_no_loss_is_told() -> None:
    health = CameraHealth(LIMITS, 0.0, compares_infos=False)
    for _ in range(60):
        health.info_came()
    health.image_came(0.1, CLOCK, CLOCK, 1)
    health.image_labelled(0.01, None)
    assert health.status(0.2, TOPIC, {}).level is Level.OK


def test_rates_are_those_since_the_last_status(drive: Drive) -> None:
    assert drive.go_on(1.0).values["image_rate_hz"] == "10.0"
    status = drive.status(after=1.0)
    assert status.values["image_rate_hz"] == status.values["label_rate_hz"] == "0.0"
    assert status.values["received"] == 20  # since activation, as all counts


def test_the_grid_tells_what_it_lacks_and_what_is_missing_for_long_is_an_error() -> None:
    health = GridHealth(LIMITS, ("left", "right"), 0.0)
    assert health.status(0.1, {}).level is Level.WARN
    health.updated("left", 0.2)
    health.not_updated("right", "no CameraInfo")
    status = health.status(0.3, {})
    assert status.level is Level.WARN
    assert "right: no CameraInfo" in status.message and "left" not in status.message
    health.updated("left", LIMITS.age_error)
    assert health.status(LIMITS.age_error + 0.1, {}).level is Level.ERROR
    health.updated("right", LIMITS.age_error + 0.1)
    assert health.status(LIMITS.age_error + 0.2, {}).level is Level.OK
    assert health.status(2 * LIMITS.age_error + 0.2, {}).level is Level.ERROR


def test_labels_that_did_not_reach_the_grid_are_told_though_others_came_since() -> None:
    health = GridHealth(LIMITS, ("",), 0.0)
    health.updated("", 0.1)
    health.not_updated("", "odometry jumps")
    health.updated("", 0.3)
    status = health.status(0.4, {})
    assert status.level is Level.WARN and "odometry jumps" in status.message
    health.updated("", 0.5)
    assert health.status(0.6, {}).level is Level.OK


def test_a_grid_that_is_new_but_lacks_something_is_a_warning() -> None:
    health = GridHealth(LIMITS, ("",), 0.0)
    health.updated("", 9.0, "no odometry")
    status = health.status(9.1, {})
    assert status.level is Level.WARN and status.values["updates"] == 1


def test_a_simulations_clock_that_stands_still_is_told() -> None:
    health = ClockHealth(LIMITS)
    assert health.status(100.0, 5.0).level is Level.OK
    assert health.status(101.0, 5.1).level is Level.OK
    assert health.status(101.5 + LIMITS.age_warn, 5.1).level is Level.WARN
    status = health.status(101.5 + LIMITS.age_error, 5.1)
    assert status.level is Level.ERROR and "/clock" in status.message
    assert health.status(110.0, 5.2).level is Level.OK


def test_images_unlike_all_that_the_model_knows_are_told_while_they_come(drive: Drive) -> None:
    for strangeness, level in ((0.6, Level.OK), (1.6, Level.WARN), (4.0, Level.ERROR)):
        drive.strangeness = strangeness
        status = drive.go_on(1.0)
        assert status.level is level and status.values["strangeness"] == f"{strangeness:.2f}"
    drive.strangeness = 0.6
    assert drive.go_on(1.0).level is Level.OK


def test_one_strange_image_among_others_is_no_news(drive: Drive) -> None:
    drive.health.image_labelled(0.05, 4.0)
    drive.strangeness = 0.6
    assert drive.go_on(0.9).level is Level.OK


def test_images_that_are_left_out_do_not_wait_for_labels() -> None:
    health = CameraHealth(LIMITS, 0.0)
    for i in range(1, 40):
        health.image_came(0.1 * i, 100 + 0.1 * i, 100 + 0.1 * i, i)
        health.image_left_out()
    status = health.status(4.0, TOPIC, {})
    assert (status.level, status.message) == (Level.OK, "OK")
    assert status.values["left_out"] == 39


def test_a_camera_that_is_paused_is_not_missed_in_the_grid() -> None:
    grid = GridHealth(LIMITS, ("front", "rear"), 0.0)
    for camera in ("front", "rear"):
        grid.updated(camera, 1.0)
    grid.paused("rear", 60.0)
    grid.updated("front", 60.0)
    assert grid.status(60.0, {}).level is Level.OK
    assert grid.status(62.0, {}).level is Level.WARN  # it went on since
