"""Each fault of the catalogue, with one and with two cameras: what is expected, and recovery.

``pytest -m faults -n 0 test/faults``, on a machine that does nothing else; it takes half an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from catalogue import FAULTS, Fault
from page import key, write_page
from robot import Sensor
from trial import Setup, Trial, running


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[tuple[int, str], list[str]]]:
    """What was not as expected; the page is written when all faults were put in."""
    outcomes: dict[tuple[int, str], list[str]] = {}
    yield outcomes
    if len(outcomes) == len(CELLS):
        write_page(outcomes)


@pytest.fixture(scope="module")
def trial(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trial]:
    with running(request.param, tmp_path_factory.mktemp("faults")) as trial:
        yield trial


@cache  # pytest starts a node anew for each setup that is not the same object
def setup_of(sensor: Sensor, cameras: int) -> Setup:
    return Setup(cameras, sensor is Sensor.DEPTH, sensor is Sensor.CLOCK)


CELLS = [(setup_of(fault.sensor, cameras), fault) for cameras in (1, 2) for fault in FAULTS]
CELLS.sort(key=lambda cell: (cell[0].cameras, cell[0].depth, cell[0].simulated))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("trial", "fault"),
    CELLS,
    ids=[f"{s.cameras} {f.sensor.name.lower()} {f.name}".replace("/", "") for s, f in CELLS],
    indirect=["trial"],
)
def test_fault(trial: Trial, fault: Fault, outcomes: dict[tuple[int, str], list[str]]) -> None:
    trial.wait_until_well(10.0)
    problems = trial.problems_of(fault)
    outcomes[len(trial.watch.labels), key(fault)] = problems
    assert not problems
