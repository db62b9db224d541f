"""Several cameras on a CPU: each on a core of its own, which waits for no other between steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

from stmem_ros.streaming.execution import Runner

T = TypeVar("T")
R = TypeVar("R")


def cameras_apart(cameras: int, network: Runner) -> int:
    """How many of some cameras with equal images find a core each; fewer than cores are left.

    None on a GPU or compiled: those take all of them as one batch.
    """
    cores = torch.get_num_threads()
    if network.device.type != "cpu" or network.execution.compile or cores == 1:
        return 0
    return cameras - cameras % cores


def on_a_core_each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What ``work`` makes of each item; all have ended when it returns, or raises what one did."""
    threads = camera_threads(torch.get_num_threads())
    done = [threads.submit(work, item) for item in items]
    wait(done)
    return [one.result() for one in done]


@cache
def camera_threads(cores: int) -> ThreadPoolExecutor:
    """As many threads, in each of which torch computes with one core.

    They have no OpenMP teams, which would make that of the calling thread sleep between its steps
    (stmem_ros.node.own_thread).
    """
    started = Barrier(cores)

    def start() -> None:
        torch.get_num_threads()  # a thread's first use would take over what others have set
        torch.set_num_threads(1)
        started.wait()

    threads = ThreadPoolExecutor(cores, "camera", start)
    list(threads.map(lambda _: None, range(cores)))
    torch.set_num_threads(cores)  # what threads of others begin with is what was set last
    return threads
