"""Which frames arrive."""

from __future__ import annotations

import numpy as np

from stmem_ros.data.disturbance import INTERVALS, Disturbance


def frames(run: list[tuple[int, int]]) -> list[int]:
    return [frame for _, frame in run]


def test_every_frame_is_seen_by_one_stream() -> None:
    runs = [frames(run) for run in Disturbance("slow", every=4).runs(10)]
    assert runs == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]


def test_a_run_shorter_than_the_interval_has_a_stream_per_frame() -> None:
    runs = Disturbance("slow", every=12).runs(3)
    assert [frames(run) for run in runs] == [[0], [1], [2]]


def test_dropped_frames_are_about_the_share_and_always_the_same() -> None:
    dropping = Disturbance("half", dropped=0.5)
    (run,) = dropping.runs(200)
    assert 80 < len(run) < 120 and dropping.runs(200) == [run]


def test_the_first_of_the_intervals_is_the_stream_as_it_is() -> None:
    assert INTERVALS[0].runs(5) == [[(i, i) for i in range(5)]]


def test_a_cut_run_goes_on_in_time_and_shows_each_frame_once() -> None:
    (run,) = Disturbance("cut", cut=2).runs(7)
    assert run == list(enumerate([0, 1, 4, 5, 2, 3, 6]))


def test_a_turning_camera_sees_parts_that_move_to_and_fro() -> None:
    columns = np.tile(np.arange(60), (2, 1))
    turning = Disturbance("turn", turn=0.1)
    lefts = [int(turning.view(columns, i)[0, 0]) for i in range(8)]
    assert lefts == [0, 6, 12, 18, 16, 10, 4, 2]
    assert turning.view(columns, 3).shape == (2, 40)
    assert INTERVALS[0].view(columns, 3) is columns
