"""An hour at 30 Hz with two cameras and a fault every 20 seconds.

``pytest -m "faults and slow" -n 0 test/faults/test_soak.py``; ``STMEM_SOAK_MINUTES`` sets another
time. For each fault, as in the table: labels, the grid and what is told while it lasts, and that
all is well again after it. Besides: all grids by the street's truth, and the node's memory.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
from catalogue import FAULTS, Fault
from robot import Sensor
from trial import WRONG, Setup, Trial, running

MINUTES = float(os.environ.get("STMEM_SOAK_MINUTES", "60"))
RATE = 30.0  # Hz
PERIOD = 20.0  # s from fault to fault
WARM_UP = min(300.0, 30 * MINUTES)  # s, after which memory may grow no more
GROWTH = 1.03
# Torch keeps its kernels for each size of images (some 10 MB): these come while the node warms up.
OTHER_SIZES = ("half the size of camera_info", "another shape than camera_info")


def memory_of(trial: Trial) -> int:
    """Bytes that the node's process holds."""
    pid = trial.node.pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def problems_of(trial: Trial, fault: Fault) -> list[str]:
    """What was not as expected from the beginning of a fault to that of the next one."""
    began = trial.robot.seconds()
    problems = trial.problems_of(fault)
    ended = trial.robot.seconds()
    trial.watch.wait(began + PERIOD)
    assert trial.node.is_running(), trial.node.text()
    grids = [g for g in list(trial.watch.grids) if g.at > ended and not g.is_unknown]
    if not grids:
        problems.append("no grid after it")
    elif (wrong := max(trial.truth.wrong_cells(g, np.eye(4)) for g in grids)) > trial.usual + WRONG:
        problems.append(f"{wrong} cells of a grid after it are wrong, usually {trial.usual}")
    if not trial.is_well():
        problems.append(f"not well before the next fault: {trial.state()}")
    return [f"{fault.sensor.name} {fault.name}: {problem}" for problem in problems]


@pytest.mark.slow
@pytest.mark.faults
def test_nothing_is_lost_in_an_hour_of_faults(tmp_path: Path) -> None:
    chance = random.Random(1)
    # Each of them is told; those that change nothing the node could tell are in the table alone.
    faults = [f for f in FAULTS if f.told and f.sensor not in (Sensor.DEPTH, Sensor.CLOCK)]
    first = [f for f in faults if f.name in OTHER_SIZES]
    assert len(first) == len(OTHER_SIZES)
    problems: list[str] = []
    held: list[int] = []  # bytes, before each fault since the node was warm
    with running(Setup(2, depth=False, simulated=False), tmp_path, RATE) as trial:
        began = trial.robot.seconds()
        while (passed := trial.robot.seconds() - began) < 60 * MINUTES:
            if passed >= WARM_UP:
                held.append(memory_of(trial))
            problems += problems_of(trial, first.pop() if first else chance.choice(faults))
        held.append(memory_of(trial))
    assert not problems
    assert max(held) <= GROWTH * held[0], f"{max(held) / held[0]:.3f} of what it held"
