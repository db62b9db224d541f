"""An hour at 30 Hz with two cameras and a fault every 20 seconds.

``pytest -m "faults and slow" -n 0 test/faults/test_soak.py``; ``STMEM_SOAK_MINUTES`` sets another
time.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from catalogue import FAULTS
from robot import Sensor
from trial import Setup, Trial, running

MINUTES = float(os.environ.get("STMEM_SOAK_MINUTES", "60"))
RATE = 30.0  # Hz
PERIOD = 20.0  # s from fault to fault
WARM_UP = 300.0  # s, after which memory may grow no more
GROWTH = 1.03


def memory_of(trial: Trial) -> int:
    """Bytes that the node's process holds."""
    pid = trial.node.pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.faults
def test_nothing_is_lost_in_an_hour_of_faults(tmp_path: Path) -> None:
    chance = random.Random(1)
    faults = [f for f in FAULTS if f.sensor not in (Sensor.DEPTH, Sensor.CLOCK)]
    problems: list[str] = []
    warm: int | None = None
    with running(Setup(2, depth=False, simulated=False), tmp_path, RATE) as trial:
        robot = trial.robot
        while (now := robot.seconds()) < 60 * MINUTES:
            fault = chance.choice(faults)
            found = trial.problems_of(fault)
            problems += [f"{fault.sensor.name} {fault.name}: {problem}" for problem in found]
            trial.watch.wait(now + PERIOD)
            if warm is None and now > min(WARM_UP, 30 * MINUTES):
                warm = memory_of(trial)
        held = memory_of(trial)
    assert not problems
    assert warm is not None and held <= GROWTH * warm, f"{held / warm:.3f} of what it held"
