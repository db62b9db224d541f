"""The real node as a process of its own, for commands that play something to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # of a CPU's time in /proc, a second
ENDING = 60.0  # s; a node ends within 3, on a busy machine later


class NodeProcessError(Exception):
    """The node did not start or ended; one line says why."""


class NodeProcess:
    """A segmentation node; use it in a ``with`` statement.

    Args:
        parameters: of the node, by name.
        remaps: names of its topics, and those to use instead.
        log: file for what the node writes.
        threads: CPU threads of its network, None: as many as it likes.

    Raises:
        NodeProcessError: on leaving, the node had not ended well.
    """

    def __init__(
        self,
        parameters: Mapping[str, object],
        remaps: Mapping[str, str],
        log: Path,
        threads: int | None = None,
    ) -> None:
        command = [sys.executable, "-m", "stmem_ros.node.main", "--ros-args"]
        for name, topic in remaps.items():
            command += ["-r", f"{name}:={topic}"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={json.dumps(value, default=str)}"]
        self._log = log
        limit = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        with log.open("w") as out:
            self._process = subprocess.Popen(
                command, env=os.environ | limit, stdout=out, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=ENDING)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if kind is None:
            self._check(self._process.returncode == 0)

    def check_alive(self) -> None:
        """Raises NodeProcessError if the node has ended."""
        self._check(self._process.poll() is None)

    def last_line(self) -> str:
        """The node's last words."""
        lines = [line for line in self._log.read_text().splitlines() if line.strip()]
        return lines[-1] if lines else "it wrote nothing"

    def cpu_seconds(self) -> float:
        """CPU time it has used, of all cores."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS  # user and system

    def memory_mb(self) -> float:
        """Memory it holds now (resident set)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def _check(self, well: bool) -> None:
        if not well:
            raise NodeProcessError(
                f"the node ended with code {self._process.returncode}: {self.last_line()}"
            )
