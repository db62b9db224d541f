"""The base in the odometry frame, on robots with odometry and without."""

from __future__ import annotations

import time

import numpy as np
import pytest

from stmem_ros.geometry.odometry import LostOdometryError, Odometry
from stmem_ros.geometry.transforms import TransformBuffer, TransformError
from stmem_ros.stamps import SECOND

STILL = np.array([0, 0, 0, 1.0, 0, 0, 0])


@pytest.fixture
def transforms() -> TransformBuffer:
    return TransformBuffer()


def test_a_robot_without_odometry_waits_for_it_once(transforms: TransformBuffer) -> None:
    odometry = Odometry(transforms, "odom", "base", patience=0.2)
    assert odometry.lookup(SECOND) is None
    end = time.monotonic() + 60
    assert odometry.is_awaited(SECOND)
    while odometry.is_awaited(SECOND):
        assert time.monotonic() < end
    assert not odometry.is_awaited(2 * SECOND)


def test_the_first_odometry_is_awaited(transforms: TransformBuffer) -> None:
    odometry = Odometry(transforms, "odom", "base", patience=60.0)
    assert odometry.is_awaited(SECOND)
    transforms.add("odom", "base", SECOND, STILL, False)
    assert not odometry.is_awaited(SECOND)
    assert np.allclose(odometry.lookup(SECOND), np.eye(4))


def test_odometry_that_is_not_known_at_the_stamp_is_no_missing_one(
    transforms: TransformBuffer,
) -> None:
    odometry = Odometry(transforms, "odom", "base", patience=0.0)
    transforms.add("odom", "base", 2 * SECOND, STILL, False)
    with pytest.raises(TransformError, match=r"2\.000"):
        odometry.lookup(SECOND)
    assert odometry.is_awaited(SECOND)


def test_odometry_that_was_seen_is_missed_and_awaited(transforms: TransformBuffer) -> None:
    odometry = Odometry(transforms, "odom", "base", patience=0.0)
    transforms.add("odom", "base", SECOND, STILL, False)
    assert odometry.lookup(SECOND) is not None
    transforms.add("elsewhere", "base", SECOND, STILL, False)
    with pytest.raises(LostOdometryError, match="'base' to 'odom'"):
        odometry.lookup(SECOND)
    assert odometry.is_awaited(SECOND)
    transforms.add("odom", "base", SECOND, STILL, False)
    assert not odometry.is_awaited(SECOND) and odometry.lookup(SECOND) is not None
