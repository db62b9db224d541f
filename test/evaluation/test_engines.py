"""Many bags: on processes and on Ray, with workers that die."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from support.bags import jpeg, panorama, write_bag

from stmem_ros.evaluation.evaluate_bags import EvaluationOptions, evaluate_bags
from stmem_ros.evaluation.tasks import engines
from stmem_ros.evaluation.tasks.engines import JobOptions

ON_CPU = EvaluationOptions(device="cpu")
LISTENERS = """
from pathlib import Path
from stmem_ros.evaluation.tasks import engines
from support.listeners import open_addresses
start = engines._start_ray
def start_and_show(*arguments):
    start(*arguments)
    for process in Path("/proc").glob("[0-9]*"):
        command = (process / "cmdline").read_bytes()
        if b"/ray/" in command or b"ray::" in command or process == Path("/proc/self").resolve():
            print("process", *open_addresses(process))
engines._start_ray = start_and_show
assert list(engines.run_on_ray([], 1, None)) == []
"""


def deterministic(out: Path) -> dict:
    metrics = json.loads((out / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if k not in ("timing", "execution")}


def make_bags(folder: Path, count: int, frames: int) -> list[Path]:
    bags = []
    for i in range(count):
        random = np.random.default_rng(i)
        labels = [random.integers(0, 11, (96, 128), np.uint8) for _ in range(frames)]
        images = [jpeg(image) for image in panorama(frames, seed=i)]
        bags.append(write_bag(folder / f"bag{i:02d}", images, labels))
    return bags


class KillOne(threading.Thread):
    """Kills a process that has ``word`` in its command line, once ``count`` tasks are finished."""

    def __init__(self, out: Path, word: str, count: int) -> None:
        super().__init__(daemon=True)
        self.killed: int | None = None
        self._out, self._word, self._count = out, word, count
        self._ended = threading.Event()

    def __enter__(self) -> KillOne:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.is_set():
            if len(list(self._out.glob("bags/*/*/result.json"))) >= self._count:
                for pid in descendants(os.getpid()):
                    if self._word in command(pid):
                        os.kill(pid, signal.SIGKILL)
                        self.killed = pid
                        return
            time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and those started by them; the last ones first."""
    children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        if thread.name != str(pid):
            children += [int(c) for c in (thread / "children").read_text().split()]
    found = []
    for child in children:
        try:
            found += [*descendants(child), child]
        except OSError:  # it has ended meanwhile
            continue
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
def test_a_process_that_is_killed_takes_no_bag_with_it(tmp_path: Path, small_bundle: Path) -> None:
    bags = make_bags(tmp_path, 4, frames=4)
    one, two = tmp_path / "one", tmp_path / "two"
    evaluate_bags(bags, [str(small_bundle)], ON_CPU, JobOptions(), one)
    with KillOne(two, "spawn_main", 1) as killer:
        run = evaluate_bags(bags, [str(small_bundle)], ON_CPU, JobOptions(jobs=2), two)
    assert killer.killed is not None
    assert all(outcome.error is None for outcome in run.outcomes)
    assert deterministic(one) == deterministic(two)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
def test_forty_bags_on_ray_give_the_totals_of_one_process_though_a_worker_dies(
    tmp_path: Path, small_bundle: Path
) -> None:
    pytest.importorskip("ray", reason="pip install 'stmem_ros[ray]'")
    bags = make_bags(tmp_path, 40, frames=4)
    one, two = tmp_path / "one", tmp_path / "two"
    evaluate_bags(bags, [str(small_bundle)], ON_CPU, JobOptions(), one)
    with KillOne(two, "ray::run_in_worker", 5) as killer:
        run = evaluate_bags(bags, [str(small_bundle)], ON_CPU, JobOptions(2, "ray"), two)
    assert killer.killed is not None
    assert all(outcome.error is None for outcome in run.outcomes)
    assert deterministic(one) == deterministic(two)
    totals = deterministic(one)["models"]["small"]["totals"]
    assert totals["frames"] == totals["scored"] == 160


@pytest.mark.slow
def test_ray_of_this_machine_listens_on_the_loopback_alone() -> None:
    if find_spec("ray") is None:
        pytest.skip("pip install 'stmem_ros[ray]'")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", LISTENERS], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 2  # Ray's processes
    assert set(done.stdout.splitlines()) == {"process"}


@pytest.mark.slow
def test_a_bag_that_fails_on_ray_is_tried_again_and_reported(
    tmp_path: Path, small_bundle: Path
) -> None:
    pytest.importorskip("ray", reason="pip install 'stmem_ros[ray]'")
    bags = make_bags(tmp_path, 2, frames=3)
    out = tmp_path / "out"
    out.mkdir()
    (out / "bags").mkdir()
    (out / "bags" / "bag01").write_text("in the way")  # its folder cannot be made
    jobs = JobOptions(2, "ray", resume=True)
    run = evaluate_bags(bags, [str(small_bundle)], ON_CPU, jobs, out, force=True)
    errors = {outcome.task.bag: outcome.error for outcome in run.outcomes}
    assert errors["bag00"] is None and "bag01" in (errors["bag01"] or "")
    failed = deterministic(out)["failed"]
    assert [f["bag"] for f in failed] == ["bag01"]


class BreakingPool:
    """A pool that breaks after its first task, before the second one is handed over."""

    def __init__(self, *_: object, **__: object) -> None:
        self._used = False

    def __enter__(self) -> BreakingPool:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: object, task: object) -> Future[None]:
        if self._used:
            raise BrokenProcessPool
        self._used = True
        done: Future[None] = Future()
        done.set_result(None)
        return done


def test_a_process_that_dies_between_two_tasks_costs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "ProcessPoolExecutor", BreakingPool)
    tasks = ["first", "second", "third"]
    outcomes = list(engines.run_in_processes(tasks, jobs=1))
    assert [(o.task, o.error) for o in outcomes] == [(task, None) for task in tasks]


def test_processes_take_turns_with_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    count = multiprocessing.get_context("spawn").Value("i", 0)
    for _ in range(3):
        engines.take_next_gpu(count)
    assert taken == [0, 1, 0]
