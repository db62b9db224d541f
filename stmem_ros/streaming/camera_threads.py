"""Several cameras on a CPU: each on a core of its own, which waits for no other between steps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch

from stmem_ros.streaming.execution import Runner


def cameras_apart(cameras: int, network: Runner) -> int:
    """How many of some cameras with equal images find a core each; fewer than cores are left.

    None on a GPU or compiled: those take all of them as one batch.
    """
    cores = torch.get_num_threads()
    if network.device.type != "cpu" or network.execution.compile or cores == 1:
        return 0
    return cameras - cameras % cores


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
