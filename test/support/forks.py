"""Processes that start quickly: forks of a server that has imported torch and ROS."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

PRELOADED = [
    "stmem_ros.node.segmentation_node",
    "stmem_ros.commands.stmem",
    "torch._dynamo",  # which every optimiser imports
]


class Fork:
    """A process that runs ``main()`` as a command with some arguments, on one CPU thread.

    It has the environment of this process; what it writes is in ``log``. It ends without the
    interpreter's own end: what that does to threads and ROS takes a process of its own.
    """

    def __init__(self, main: Callable[[], int], arguments: list[str], log: Path) -> None:
        self.log = log
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = _server().Process(target=_run, args=(main, arguments, environment, log))
        self._process.start()

    def text(self) -> str:
        return self.log.read_text() if self.log.is_file() else ""

    def is_running(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self._process.kill()
        self._process.join()

    def exit_code(self, timeout: float) -> int:
        """Wait for the end, at most ``timeout`` seconds."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"it did not end:\n{self.text()}"
        return self._process.exitcode

    def close(self) -> None:
        """End it, if it did not end by itself."""
        self._process.terminate()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # OpenMP reads it as it is loaded
    forkserver.ensure_running()
    if threads is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = threads
    return context


def _run(
    main: Callable[[], int], arguments: list[str], environment: dict[str, str], log: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with log.open("w") as out:
        os.dup2(out.fileno(), sys.stdout.fileno())
        os.dup2(out.fileno(), sys.stderr.fileno())
    sys.exit(main())
