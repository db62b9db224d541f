"""The base in the odometry frame, on robots with odometry and without."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from stmem_ros.geometry.odometry import LostOdometryError, Odometry
from stmem_ros.geometry.transforms import TransformBuffer, TransformError
from stmem_ros.stamps import SECOND

STILL = np.array([0, 0, 0, 1.0, 0, 0, 0])


def seconds_of(lookup) -> float:
    started = time.monotonic()
    lookup()
    return time.monotonic() - started


@pytest.fixture
def transforms() -> TransformBuffer:
    return TransformBuffer()


def test_a_robot_without_odometry_waits_for_it_once(transforms: TransformBuffer) -> None:
    odometry = Odometry(transforms, "odom", "base", patience=0.4)
    assert odometry.lookup(SECOND, timeout=0.3) is None
    assert 0.05 < seconds_of(lambda: odometry.lookup(SECOND, timeout=10.0)) < 9.0
    assert seconds_of(lambda: odometry.lookup(SECOND, timeout=60.0)) < 30.0


def test_the_first_odometry_is_waited_for(transforms: TransformBuffer) -> None:
    odometry = Odometry(transforms, "odom", "base", patience=60.0)
    late = threading.Timer(0.1, transforms.add, ("odom", "base", SECOND, STILL, False))
    late.start()
    pose = odometry.lookup(SECOND, timeout=60.0)
    late.join()
    assert pose is not None and np.allclose(pose, np.eye(4))


def test_odometry_that_is_not_known_at_the_stamp_is_no_missing_one(
    transforms: TransformBuffer,
) -> None:
    odometry = Odometry(transforms, "odom", "base", patience=0.0)
    transforms.add("odom", "base", 2 * SECOND, STILL, False)
    with pytest.raises(TransformError, match=r"2\.000"):
        odometry.lookup(SECOND, timeout=0.0)


def test_odometry_that_was_seen_is_missed_and_waited_for(transforms: TransformBuffer) -> None:
    odometry = Odometry(transforms, "odom", "base", patience=0.0)
    transforms.add("odom", "base", SECOND, STILL, False)
    assert odometry.lookup(SECOND, timeout=0.0) is not None
    transforms.add("elsewhere", "base", SECOND, STILL, False)
    with pytest.raises(LostOdometryError, match="'base' to 'odom'"):
        odometry.lookup(SECOND, timeout=0.0)
    back = threading.Timer(0.1, transforms.add, ("odom", "base", SECOND, STILL, False))
    back.start()
    assert odometry.lookup(SECOND, timeout=60.0) is not None
    back.join()
