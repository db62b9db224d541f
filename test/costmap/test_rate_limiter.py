"""How often grids go out."""

from stmem_ros.costmap.rate_limiter import RateLimiter

S = 10**9


def test_cameras_whose_stamps_interleave_give_no_more_grids_than_the_rate() -> None:
    limiter = RateLimiter(10)
    stamps = [s for i in range(40) for s in (i * S // 10, i * S // 10 - S // 20)]
    sent = [s for s in stamps if limiter.accepts(s)]
    assert len(sent) == 40
    assert sent == sorted(sent)


def test_a_camera_slightly_faster_than_the_rate_is_held_back_to_it() -> None:
    limiter = RateLimiter(10)
    sent = [s for s in range(0, 100 * S, S // 11) if limiter.accepts(s)]
    assert 700 <= len(sent) <= 1000


def test_a_camera_at_the_rate_is_let_through_though_its_stamps_jitter() -> None:
    limiter = RateLimiter(10)
    assert all(limiter.accepts(i * S // 10 + (-1) ** i * S // 250) for i in range(100))


def test_time_that_begins_anew_is_not_waited_for() -> None:
    limiter = RateLimiter(10)
    assert limiter.accepts(100 * S) and limiter.accepts(0)
