"""The transform buffer that stands in for tf2."""

import numpy as np
import pytest

from stmem_ros.geometry.transforms import (
    FramesNotConnectedError,
    TransformBuffer,
    TransformError,
)

S = 10**9


def pose(x: float, yaw: float = 0.0) -> np.ndarray:
    return np.array([x, 0, 0, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])


@pytest.fixture
def buffer() -> TransformBuffer:
    b = TransformBuffer()
    b.add("odom", "base", 0, pose(0.0), static=False)
    b.add("odom", "base", S, pose(2.0, np.pi / 2), static=False)
    b.add("base", "camera", 0, pose(1.0), static=True)
    return b


def test_poses_are_interpolated_between_stamps(buffer: TransformBuffer) -> None:
    found = buffer.lookup("odom", "base", S // 2)
    assert np.allclose(found[:3, 3], (1, 0, 0))
    assert np.isclose(np.arctan2(found[1, 0], found[0, 0]), np.pi / 4)


def test_a_transform_out_of_order_takes_its_place(buffer: TransformBuffer) -> None:
    buffer.add("odom", "base", 2 * S, pose(4.0), static=False)
    buffer.add("odom", "base", 3 * S // 2, pose(5.0), static=False)
    assert np.allclose(buffer.lookup("odom", "base", 2 * S)[:3, 3], (4, 0, 0))
    assert np.allclose(buffer.lookup("odom", "base", 3 * S // 2)[:3, 3], (5, 0, 0))


def test_chains_are_joined_in_both_directions(buffer: TransformBuffer) -> None:
    there = buffer.lookup("odom", "camera", S)
    assert np.allclose(there[:3, 3], (2, 1, 0))
    assert np.allclose(buffer.lookup("camera", "odom", S) @ there, np.eye(4))


def test_frames_that_are_not_connected_are_named(buffer: TransformBuffer) -> None:
    with pytest.raises(FramesNotConnectedError, match=r"'moon'.*'odom'.*base"):
        buffer.lookup("odom", "moon", 0)


def test_a_time_outside_what_is_known_is_named(buffer: TransformBuffer) -> None:
    with pytest.raises(TransformError, match=r"5\.000 s.*odom.*base.*0\.000.*1\.000"):
        buffer.lookup("odom", "base", 5 * S)


def test_time_that_goes_back_replaces_what_was_later(buffer: TransformBuffer) -> None:
    buffer.add("odom", "base", 3 * S, pose(4.0), static=False)
    buffer.add("odom", "base", S // 4, pose(9.0), static=False)
    assert np.isclose(buffer.lookup("odom", "base", S // 4)[0, 3], 9.0)
    with pytest.raises(TransformError):
        buffer.lookup("odom", "base", S)


def test_poses_that_are_not_finite_are_left_out(buffer: TransformBuffer) -> None:
    buffer.add("odom", "base", 2 * S, pose(float("nan")), static=False)
    with pytest.raises(TransformError):
        buffer.lookup("odom", "base", 2 * S)


@pytest.mark.parametrize("wrong", [[float("nan"), 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]])
def test_a_pose_that_was_left_out_is_named_where_it_is_missed(wrong: list[float]) -> None:
    buffer = TransformBuffer()
    buffer.add("base", "camera", 0, np.array(wrong, float), static=True)
    with pytest.raises(FramesNotConnectedError, match="base -> camera cannot be used"):
        buffer.lookup("base", "camera", 0)
