"""A node that dies, a name that is taken, parameters that are set between two frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from trial import WRONG, Setup, Trial, running, start

from stmem_ros.model.bundle import bundle_folder

RESTART = 15.0  # s that a node may take to start

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module", params=[1, 2], ids=["1 camera", "2 cameras"])
def setup(request: pytest.FixtureRequest) -> Setup:
    return Setup(request.param, depth=False, simulated=False)


@pytest.fixture(scope="module")
def trial(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with running(setup, tmp_path_factory.mktemp("processes")) as trial:
        yield trial


def test_a_node_that_was_killed_can_be_started_again(
    trial: Trial, setup: Setup, tmp_path: Path
) -> None:
    trial.node.kill()
    trial.watch.wait(trial.robot.seconds() + 1.0)
    assert not trial.labels_come()
    trial.node = start(setup, tmp_path)
    trial.wait_until_well(RESTART)


def test_a_second_node_of_the_same_name_does_not_disturb_the_first(
    trial: Trial, setup: Setup, tmp_path: Path
) -> None:
    second = start(setup, tmp_path)
    try:
        trial.watch.wait(trial.robot.seconds() + RESTART)
        assert trial.labels_come() and trial.grid_comes()
        began = trial.robot.seconds() - 5.0
        grids = [g for g in list(trial.watch.grids) if g.at > began and not g.is_unknown]
        assert max(trial.truth.wrong_cells(g, np.eye(4)) for g in grids) <= trial.usual + WRONG
        second.interrupt()
        assert second.exit_code(10.0) == 0, second.text()
    finally:
        second.close()
    trial.wait_until_well(5.0)


def test_parameters_that_are_set_between_frames_stop_nothing(trial: Trial) -> None:
    bank = bundle_folder("onboard") / "memory.safetensors"
    for _ in range(10):
        assert trial.peer.set_parameter("memory_bank", str(bank)).successful
        refused = trial.peer.set_parameter("memory_bank", "/nowhere.safetensors")
        assert not refused.successful and "/nowhere.safetensors" in refused.reason
        assert not trial.peer.set_parameter("max_gap", 5.0).successful
        trial.watch.wait(trial.robot.seconds() + 0.1)
    assert trial.labels_come() and trial.grid_comes()
    trial.wait_until_well(5.0)
