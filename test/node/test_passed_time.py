"""The clock for durations, under simulations that pause, jump and begin."""

from __future__ import annotations

import time

import pytest

from stmem_ros.node.passed_time import PassedTime


def test_without_a_simulation_it_is_the_machines() -> None:
    passed = PassedTime(lambda: None)
    began = time.monotonic()
    before = passed()
    time.sleep(0.05)
    assert 0.05 <= passed() - before <= time.monotonic() - began


def test_a_simulation_that_stands_still_stops_it_and_one_that_jumps_back_does_not_turn_it() -> None:
    simulated = 100.0
    passed = PassedTime(lambda: simulated)
    begun = passed()
    time.sleep(0.02)
    assert passed() == begun
    simulated = 100.5
    assert passed() - begun == pytest.approx(0.5)
    simulated = 3.0
    assert passed() - begun == pytest.approx(0.5)
    simulated = 4.0
    assert passed() - begun == pytest.approx(1.5)


def test_before_the_first_clock_the_machines_counts_and_the_change_takes_no_time() -> None:
    simulated = 0.0
    passed = PassedTime(lambda: simulated)
    before = passed()
    time.sleep(0.02)
    assert passed() > before
    simulated = 1.7e9
    now = passed()
    assert now - before < 60
    simulated += 1.0
    assert passed() - now == pytest.approx(1.0)
