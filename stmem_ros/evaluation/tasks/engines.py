"""Where tasks are worked on: in this process, in several, or on a cluster through Ray.

Each task leaves its results in files, so that a worker that dies takes nothing with it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

import torch

from stmem_ros.error_text import error_text
from stmem_ros.evaluation.tasks.bag_task import BagTask, TaskOutcome
from stmem_ros.evaluation.tasks.run_task import run_task
from stmem_ros.streaming.kernels.allocator import keep_freed_memory
from stmem_ros.streaming.segmenter import NotFiniteError

ATTEMPTS = 3  # at each task, where the first ones fail
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class JobOptions:
    """Where tasks are worked on; results do not depend on it.

    Attributes:
        jobs: tasks at a time, on this machine.
        engine: ``local`` or ``ray``.
        address: of a Ray cluster, None: one of this machine alone, for this run.
        resume: keep what an earlier run with the same options has finished.

    Raises:
        ValueError: a value is not allowed; the message names it.
    """

    jobs: int = 1
    engine: str = "local"
    address: str | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"jobs is {self.jobs}; it must be 1 or more")
        if self.engine not in ENGINES:
            raise ValueError(f"engine is {self.engine!r}; allowed: {', '.join(ENGINES)}")
        if self.address is not None and self.engine != "ray":
            raise ValueError(f"address is {self.address!r}; only the engine ray has one")


def run_here(tasks: Sequence[BagTask], progress: Callable[[], object]) -> Iterator[TaskOutcome]:
    """In this process, one after the other; ``progress`` is called after each frame."""
    for task in tasks:
        try:
            run_task(task, progress)
            yield TaskOutcome(task)
        except Exception as error:  # as in other processes: one bag must not end the others
            yield TaskOutcome(task, one_line(error))


def run_in_worker(task: BagTask) -> None:
    """In a process that works on tasks alone."""
    keep_freed_memory()
    run_task(task)


def take_next_gpu(taken: Any) -> None:
    """In a process that works on tasks: ``cuda`` is the GPU after that of the process before.

    Args:
        taken: a multiprocessing.Value, how many processes have taken one.
    """
    count = torch.cuda.device_count()
    if count > 1:
        with taken.get_lock():
            torch.cuda.set_device(taken.value % count)
            taken.value += 1


def run_in_processes(tasks: Sequence[BagTask], jobs: int) -> Iterator[TaskOutcome]:
    """In ``jobs`` processes; what fails, or was at work when a process died, is tried again alone.

    Alone, so that a bag that kills its process takes no other one with it.
    """
    remaining = list(tasks)
    for attempt in range(ATTEMPTS):
        failed = []
        for outcome in _attempt(remaining, jobs if attempt == 0 else 1):
            if outcome.error is None or attempt == ATTEMPTS - 1:
                yield outcome
            else:
                failed.append(outcome.task)
        remaining = failed


def _attempt(tasks: Sequence[BagTask], jobs: int) -> Iterator[TaskOutcome]:
    """Each task once; where a process dies, the tasks at work fail and new processes go on."""
    remaining = deque(tasks)
    while remaining:
        context = multiprocessing.get_context("spawn")  # torch and fork do not agree
        others = multiprocessing.active_children()
        with (
            ProcessPoolExecutor(
                min(jobs, len(remaining)), context, take_next_gpu, (context.Value("i", 0),)
            ) as pool,
            _ended_with_us(others),
        ):
            running: dict[Future[None], BagTask] = {}
            broken = False
            while running or (remaining and not broken):
                while remaining and not broken and len(running) < jobs:
                    try:
                        future = pool.submit(run_in_worker, remaining[0])
                    except BrokenProcessPool:  # between two tasks: none is lost
                        broken = True
                    else:
                        running[future] = remaining.popleft()
                if not running:
                    break
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    task, error = running.pop(future), future.exception()
                    if isinstance(error, BrokenProcessPool):
                        broken = True
                        yield TaskOutcome(task, "its process died")
                    else:
                        yield TaskOutcome(task, None if error is None else one_line(error))


@contextmanager
def _ended_with_us(others: Sequence[BaseProcess]) -> Iterator[None]:
    """Processes that were started since, but ``others``, end with an interrupt of this one."""
    try:
        yield
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise


def run_on_ray(tasks: Sequence[BagTask], jobs: int, address: str | None) -> Iterator[TaskOutcome]:
    """On a Ray cluster, one Ray task each; without ``address`` on ``jobs`` workers of this machine.

    Bags, bundles and results must lie where every machine of the cluster sees them.

    Raises:
        ValueError: Ray is not installed or the cluster cannot be reached.
    """
    if address is None:
        # Read as Ray is imported: without clusters its servers listen on the loopback alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise ValueError("engine ray needs ray, which is not installed: pip install ray") from error
    _start_ray(ray, tasks, jobs, address)
    try:
        # A worker that dies is replaced by Ray; an exception is taken for final only after retries.
        work = ray.remote(max_retries=ATTEMPTS - 1, retry_exceptions=True)(run_in_worker)
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        running = {
            work.options(num_cpus=task.threads, num_gpus=_gpus(task, has_gpus)).remote(task): task
            for task in tasks
        }
        while running:
            (reference,), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(reference)
            try:
                ray.get(reference)
                yield TaskOutcome(task)
            except ray.exceptions.RayTaskError as error:
                yield TaskOutcome(task, one_line(error.cause or error))
            except ray.exceptions.RayError as error:
                yield TaskOutcome(task, one_line(error))
    finally:
        ray.shutdown()


def _start_ray(ray: ModuleType, tasks: Sequence[BagTask], jobs: int, address: str | None) -> None:
    settings: dict[str, Any] = {"address": address}
    if address is None:
        cpus = jobs * max((task.threads for task in tasks), default=1)
        settings = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, **settings)
    except Exception as error:  # Ray raises it bare, too, when a machine is slow to start it
        where = f"no Ray cluster at {address}" if address else "Ray did not start on this machine"
        raise ValueError(f"{where}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """An error as one line; what is no mistake of the user keeps its type."""
    text = error_text(error)
    known = text and isinstance(error, OSError | ValueError | NotFiniteError)
    return text if known else f"{type(error).__name__}: {text}"


def _gpus(task: BagTask, has_gpus: bool) -> int:
    """GPUs of a task: Ray shows a task those alone that it asks for."""
    return int(task.device.startswith("cuda") or (task.device == "auto" and has_gpus))
