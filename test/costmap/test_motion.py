"""Which poses of odometry are believed."""

import numpy as np
import pytest

from stmem_ros.costmap.motion import BaseMotion


def pose(x: float, yaw: float = 0.0) -> np.ndarray:
    odom_from_base = np.eye(4)
    odom_from_base[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    odom_from_base[0, 3] = x
    return odom_from_base


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
    assert not motion.begins_anew(stamp, pose(7.9, yaw=0.8))


@pytest.mark.parametrize(("x", "yaw", "named"), [(8.1, 0.0, r"8\.1 m"), (0.0, 0.9, "52 degrees")])
def test_a_jump_is_refused_and_named(motion: BaseMotion, x: float, yaw: float, named: str) -> None:
    with pytest.raises(ValueError, match=rf"{named}.* 0\.10 s"):
        motion.begins_anew(10.1, pose(x, yaw))


def test_odometry_that_stays_after_a_jump_begins_anew(motion: BaseMotion) -> None:
    with pytest.raises(ValueError, match=r"500\.0 m"):
        motion.begins_anew(10.1, pose(500.0))
    assert motion.begins_anew(10.2, pose(501.0))


def test_odometry_that_comes_back_goes_on_and_its_next_jump_is_refused_again(
    motion: BaseMotion,
) -> None:
    with pytest.raises(ValueError, match=r"500\.0 m"):
        motion.begins_anew(10.1, pose(500.0))
    assert not motion.begins_anew(10.2, pose(1.0))
    motion.follow(10.2, pose(1.0))
    with pytest.raises(ValueError, match=r"499\.0 m"):
        motion.begins_anew(10.3, pose(500.0))


def test_odometry_that_jumps_about_is_refused_each_time(motion: BaseMotion) -> None:
    for x in (500.0, -500.0, 900.0):
        with pytest.raises(ValueError, match=f"{abs(x):.1f} m"):
            motion.begins_anew(10.1, pose(x))


def test_a_stamp_of_more_than_a_second_before_begins_anew(motion: BaseMotion) -> None:
    assert not motion.begins_anew(9.0, pose(0.0))
    assert motion.begins_anew(8.9, pose(4000.0))
