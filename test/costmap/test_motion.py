"""Which poses of odometry are believed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from stmem_ros.costmap.motion import BaseMotion

SIZES = (1, 2, 3, 5, 8, 9, 10, 12, 14, 15, 16, 20, 29, 50, 100)  # m
RATES = (5.0, 10.0, 15.0, 30.0)  # Hz


def pose(x: float, y: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    odom_from_base = np.eye(4)
    odom_from_base[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    odom_from_base[:2, 3] = x, y
    return odom_from_base


def fates(motion: BaseMotion, poses: Iterable[tuple[float, np.ndarray]]) -> list[str]:
    """What becomes of each pose: it goes on, it is refused, or the grid begins anew with it."""
    found = []
    for stamp, odom_from_base in poses:
        try:
            begins_anew = motion.begins_anew(stamp, odom_from_base)
        except ValueError:
            found.append("refused")
            continue
        motion.follow(stamp, odom_from_base)
        found.append("anew" if begins_anew else "on")
    return found


def driving(rate: float, speed: float, frames: int, start: float = 0.0) -> list:
    """Poses along x from the origin at 10 s on."""
    times = start + np.arange(frames) / rate
    return [(10 + t, pose(speed * t)) for t in times]


@pytest.fixture
def motion() -> BaseMotion:
    """A base that was at the origin at 10 s."""
    motion = BaseMotion()
    motion.follow(10.0, pose(0.0))
    return motion


def test_the_first_pose_begins_anew_and_so_does_the_first_after_a_reset(motion: BaseMotion) -> None:
    assert BaseMotion().begins_anew(0.0, pose(0.0))
    motion.reset()
    assert motion.stamp is None and motion.begins_anew(10.1, pose(0.0))


@pytest.mark.parametrize("stamp", [10.1, 9.9])  # of another camera, whose images come later
def test_what_a_vehicle_can_have_driven_goes_on(motion: BaseMotion, stamp: float) -> None:
    assert not motion.begins_anew(stamp, pose(7.4, yaw=0.5))


@pytest.mark.parametrize(("x", "yaw", "named"), [(7.6, 0.0, r"7\.6 m"), (0.0, 0.9, "52 degrees")])
def test_a_jump_is_refused_and_named(motion: BaseMotion, x: float, yaw: float, named: str) -> None:
    with pytest.raises(ValueError, match=rf"{named}.* 0\.10 s"):
        motion.begins_anew(10.1, pose(x, yaw=yaw))


@pytest.mark.parametrize("speed", [0.0, 14.0])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("size", SIZES)
def test_odometry_that_jumps_is_refused_once_and_begins_anew_where_it_stays(
    size: float, rate: float, speed: float
) -> None:
    for direction in np.arange(8) * np.pi / 4:
        motion = BaseMotion()
        before = fates(motion, driving(rate, speed, 10))
        jump = size * np.array([np.cos(direction), np.sin(direction)])
        after = [(10 + i / rate, pose(speed * i / rate + jump[0], jump[1])) for i in range(10, 20)]
        assert before == ["anew", *["on"] * 9]
        assert fates(motion, after) == ["refused", "anew", *["on"] * 8]


@pytest.mark.parametrize("speed", [0.0, 14.0])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("degrees", [-170, -90, -30, 30, 60, 180])
def test_a_heading_that_jumps_is_refused_once_and_begins_anew(
    degrees: float, rate: float, speed: float
) -> None:
    """As where odometry begins with another heading: the base drives along it."""
    motion = BaseMotion()
    fates(motion, driving(rate, speed, 10))
    yaw = np.radians(degrees)
    begin = np.array([speed * 10 / rate, 0.0])
    after = [
        (
            10 + i / rate,
            pose(*(begin + speed * (i - 10) / rate * np.array([np.cos(yaw), np.sin(yaw)])), yaw),
        )
        for i in range(10, 16)
    ]
    assert fates(motion, after) == ["refused", "anew", *["on"] * 4]


@pytest.mark.parametrize("size", SIZES)
def test_odometry_that_comes_back_goes_on_and_its_next_jump_is_refused_again(size: float) -> None:
    for rate, speed in itertools.product(RATES, (0.0, 14.0)):
        motion = BaseMotion()
        poses = driving(rate, speed, 20)
        for i in (10, 14):
            poses[i] = poses[i][0], poses[i][1] + np.eye(4)[:, [3]] * 0
            poses[i][1][1, 3] += size
        found = fates(motion, poses)
        assert [i for i, fate in enumerate(found) if fate == "refused"] == [10, 14]
        assert found.count("anew") == 1


@pytest.mark.parametrize("frames", [2, 5, 30])
def test_a_jump_is_not_accepted_after_some_time(frames: int) -> None:
    """Poses that agree with none before are refused, however many they are."""
    motion = BaseMotion()
    fates(motion, driving(10.0, 5.0, 10))
    random = np.random.default_rng(0).uniform(-1, 1, (frames, 2))
    far = [(11 + i / 10, pose(*(900 * xy + 100 * np.sign(xy)))) for i, xy in enumerate(random)]
    assert set(fates(motion, far)) == {"refused"}


def test_a_base_that_drives_on_otherwise_after_a_jump_begins_anew() -> None:
    motion = BaseMotion()
    fates(motion, driving(5.0, 0.0, 10))
    after = [(12 + i / 5, pose(300 - 20 * i / 5)) for i in range(6)]
    assert fates(motion, after) == ["refused", "anew", *["on"] * 4]


def test_two_jumps_one_after_the_other_leave_nothing_of_the_first_place() -> None:
    motion = BaseMotion()
    fates(motion, driving(10.0, 0.0, 10))
    places = [5.0, 5.0, 10.0, 10.0, 10.0]
    found = fates(motion, [(11 + i / 10, pose(x)) for i, x in enumerate(places)])
    assert found == ["refused", "anew", "refused", "anew", "on"]


@pytest.mark.parametrize("rate", RATES)
def test_full_braking_and_starting_are_believed(rate: float) -> None:
    times = np.arange(round(8 * rate)) / rate
    speeds = np.clip(
        np.minimum(10 * (times - 1), 10 * (6 - times)), 0, 20
    )  # stands, 20 m/s, stands
    places = np.concatenate([[0], np.cumsum((speeds[1:] + speeds[:-1]) / 2 / rate)])
    found = fates(BaseMotion(), [(t, pose(x)) for t, x in zip(times, places, strict=True)])
    assert found == ["anew", *["on"] * (len(times) - 1)]


@pytest.mark.parametrize("rate", RATES)
def test_a_robot_that_turns_on_the_spot_and_on_an_arc_is_believed(rate: float) -> None:
    times = np.arange(round(6 * rate)) / rate
    rates = np.clip(np.minimum(5 * (times - 1), 5 * (4 - times)), 0, np.pi)
    yaw = np.concatenate([[0], np.cumsum((rates[1:] + rates[:-1]) / 2 / rate)])
    spot = [(t, pose(0, 0, a)) for t, a in zip(times, yaw, strict=True)]
    arc = [
        (t, pose(*(14 * np.array([np.sin(a), 1 - np.cos(a)])), a))
        for t, a in zip(times, 0.7 * times, strict=True)
    ]
    for poses in (spot, arc):
        assert fates(BaseMotion(), poses) == ["anew", *["on"] * (len(times) - 1)]


@pytest.mark.parametrize("gap", [0.5, 1.0, 1.5, 3.0])
def test_frames_that_are_missing_are_bridged_while_the_base_brakes(gap: float) -> None:
    times = [t for t in np.arange(100) / 10 if not 2 < t < 2 + gap]
    places = [14 * t - 5 * np.clip(t - 1.9, 0, 1.4) ** 2 if t < 3.3 else 36.4 for t in times]
    found = fates(BaseMotion(), [(t, pose(x)) for t, x in zip(times, places, strict=True)])
    assert found == ["anew", *["on"] * (len(times) - 1)]


@pytest.mark.parametrize("rate", RATES)
def test_jittering_stamps_and_noise_of_odometry_are_believed(rate: float) -> None:
    random = np.random.default_rng(3)
    times = np.arange(200) / rate + random.uniform(-0.3, 0.3, 200) / rate
    noise = random.uniform(-0.03, 0.03, (200, 2))
    poses = [(t, pose(14 * t + n[0], n[1])) for t, n in zip(times, noise, strict=True)]
    assert fates(BaseMotion(), poses) == ["anew", *["on"] * 199]


def test_cameras_whose_images_come_in_turn_go_on_and_see_a_jump() -> None:
    def seen(i: int, jump: float) -> list[tuple[float, np.ndarray]]:
        """Of the second camera the image is 30 ms older, and comes later."""
        stamps = (10 + i / 10, 10 + i / 10 - 0.03)
        return [(t, pose(14 * t + (jump if t > 10.99 else 0))) for t in stamps]

    for jump in SIZES:
        motion = BaseMotion()
        found = []
        for i in range(20):
            for stamp, at in seen(i, jump):
                try:
                    anew = motion.begins_anew(stamp, at)
                except ValueError:
                    found.append("refused")
                    continue
                if motion.stamp is None or anew or stamp >= motion.stamp:
                    motion.follow(stamp, at)
                found.append("anew" if anew else "on")
        assert found[:20] == ["anew", *["on"] * 19]
        assert found[20] == "refused" and found.count("anew") == 2
        assert set(found[24:]) == {"on"}


def test_images_of_before_a_jump_are_refused_after_it_however_short_it_was(
    motion: BaseMotion,
) -> None:
    """Three cameras, the third of which is late: its pose could be reached from the new place."""
    times = [(10.2, 10.2, 10.0), (10.4, 10.4, 10.2), (10.6, 10.6, 10.4), (10.8, 10.8, 10.6)]
    images = [(at, pose(3.0 if at >= 10.6 else 0.0)) for moment in times for at in moment]
    assert fates(motion, images) == [
        *("on", "on", "on"), *("on", "on", "on"),
        *("refused", "anew", "refused"), *("on", "on", "on"),
    ]  # fmt: skip
