"""How often grids go out."""

from stmem_ros.costmap.pace import Pace

S = 10**9


def test_cameras_whose_stamps_interleave_give_no_more_grids_than_the_rate() -> None:
    pace = Pace(10)
    sent = [s for i in range(40) for s in (i * S // 10, i * S // 10 - S // 20) if pace.due(s)]
    assert len(sent) == 40
    assert sent == sorted(sent)


def test_time_that_begins_anew_is_not_waited_for() -> None:
    pace = Pace(10)
    assert pace.due(100 * S) and pace.due(0)
