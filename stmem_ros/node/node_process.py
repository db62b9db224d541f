"""The real node as a process of its own, for commands that play something to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from stmem_ros.data.bags import COMPRESSED, Topic


class NodeProcessError(Exception):
    """The node did not start or ended; one line says why."""


class NodeProcess:
    """A segmentation node that listens to a camera of a bag; use it in a ``with`` statement.

    Args:
        image, info: topics of the camera.
        model, device: parameters of the node.
        threads: CPU threads of its network, None: as many as it likes.
        log: file for what the node writes.

    Raises:
        NodeProcessError: on leaving, the node had not ended well.
    """

    def __init__(
        self,
        image: Topic,
        info: Topic | None,
        model: str,
        device: str,
        threads: int | None,
        log: Path,
    ) -> None:
        self._log = log
        limit = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        with log.open("w") as out:
            self._process = subprocess.Popen(
                _command(image, info, model, device),
                env=os.environ | limit,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=15)
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

    def _check(self, well: bool) -> None:
        if not well:
            raise NodeProcessError(
                f"the node ended with code {self._process.returncode}: {self.last_line()}"
            )


def _command(image: Topic, info: Topic | None, model: str, device: str) -> list[str]:
    compressed = image.type == COMPRESSED
    listened = "image_raw/compressed" if compressed else "image_raw"
    parameters = {
        "use_sim_time": "true",
        "model": model,
        "device": device,
        "image_transport": "compressed" if compressed else "raw",
        "image_reliability": "reliable",
        "rectified": "true" if "rect" in image.name else "false",
    }
    command = [sys.executable, "-m", "stmem_ros.node.main", "--ros-args"]
    command += ["-r", f"{listened}:={image.name}"]
    if info is not None:
        command += ["-r", f"camera_info:={info.name}"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return command
