"""When a grid shows the past."""

from __future__ import annotations

from stmem_ros.costmap.staleness import Staleness


def test_a_grid_that_nothing_reaches_expires_once() -> None:
    staleness = Staleness(1.0)
    assert not staleness.expires(100.0)  # there is none yet
    staleness.renew(100.0)
    assert not staleness.expires(101.0)
    assert staleness.expires(101.1)
    assert not staleness.expires(200.0)
    staleness.renew(200.0)
    assert not staleness.expires(200.5) and staleness.expires(201.5)


def test_a_clock_that_goes_back_makes_nothing_stale() -> None:
    staleness = Staleness(1.0)
    staleness.renew(100.0)
    assert not staleness.expires(5.0)


def test_zero_is_never() -> None:
    staleness = Staleness(0.0)
    staleness.renew(100.0)
    assert not staleness.expires(1e9)
