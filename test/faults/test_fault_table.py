"""Each fault of the catalogue, with one and with two cameras: what is expected, and recovery.

``pytest -m faults -n 0 test/faults``, on a machine that does nothing else; it takes half an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

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
def trial_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Setup], Trial]]:
    """The trial of a setup; it goes on as long as that is the same."""
    with ExitStack() as stack:
        setups: list[Setup] = []
        trials: list[Trial] = []

        def trial_of(setup: Setup) -> Trial:
            if setups[-1:] != [setup]:
                stack.close()
                trials.append(
                    stack.enter_context(running(setup, tmp_path_factory.mktemp("faults")))
                )
                setups.append(setup)
            return trials[-1]

        yield trial_of


def setup_of(sensor: Sensor, cameras: int) -> Setup:
    return Setup(cameras, sensor is Sensor.DEPTH, sensor is Sensor.CLOCK)


CELLS = [(setup_of(fault.sensor, cameras), fault) for cameras in (1, 2) for fault in FAULTS]
CELLS.sort(key=lambda cell: (cell[0].cameras, cell[0].depth, cell[0].simulated))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("setup", "fault"),
    CELLS,
    ids=[f"{s.cameras} {f.sensor.name.lower()} {f.name}".replace("/", "") for s, f in CELLS],
)
def test_fault(
    trial_of: Callable[[Setup], Trial],
    setup: Setup,
    fault: Fault,
    outcomes: dict[tuple[int, str], list[str]],
) -> None:
    trial = trial_of(setup)
    trial.wait_until_well(10.0)
    problems = trial.problems_of(fault)
    outcomes[len(trial.watch.labels), key(fault)] = problems
    assert not problems
