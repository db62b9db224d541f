"""Which frames arrive."""

from __future__ import annotations

from stmem_ros.data.disturbance import INTERVALS, Disturbance


def test_every_frame_is_seen_by_one_stream() -> None:
    runs = Disturbance("slow", every=4).runs(10)
    assert runs == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]


def test_a_run_shorter_than_the_interval_has_a_stream_per_frame() -> None:
    assert Disturbance("slow", every=12).runs(3) == [[0], [1], [2]]


def test_dropped_frames_are_about_the_share_and_always_the_same() -> None:
    dropping = Disturbance("half", dropped=0.5)
    (run,) = dropping.runs(200)
    assert 80 < len(run) < 120 and dropping.runs(200) == [run]


def test_the_first_of_the_intervals_is_the_stream_as_it_is() -> None:
    assert INTERVALS[0].runs(5) == [[0, 1, 2, 3, 4]]
