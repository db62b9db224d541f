"""Finding out whether the middleware protects: nodes are made in enclaves, security enforced.

``python -m stmem_ros.online.security_probe`` makes one node in its environment and ends; the reason
why it cannot be made is printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import rclpy
from rclpy.signals import SignalHandlerOptions

from stmem_ros.error_text import error_text
from stmem_ros.node.security import ENABLE, ENCLAVE, KEYSTORE, STRATEGY, Strategy

NODE = "stmem_doctor"
TIMEOUT = 60.0  # s


def refusal(keystore: Path, enclave: str) -> str:
    """Why the middleware makes no node in an enclave of a keystore; empty: it makes one."""
    environment = {
        ENABLE: "true",
        STRATEGY: Strategy.ENFORCE.value,
        KEYSTORE: str(keystore),
        ENCLAVE: enclave,
    }
    done = subprocess.run(
        [sys.executable, "-m", "stmem_ros.online.security_probe"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode == 0:
        return ""
    return done.stdout.strip() or f"making a node ended with code {done.returncode}"


def ignores_security() -> bool:
    """Whether the middleware makes a node where there are no keys, though security is enforced."""
    with TemporaryDirectory() as keystore:
        (Path(keystore) / "enclaves" / "empty").mkdir(parents=True)
        return not refusal(Path(keystore), "/empty")


def main() -> int:
    """Make a node; exit code 1 if it is refused."""
    try:
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        rclpy.create_node(NODE)
    except RuntimeError as error:
        print(error_text(error), flush=True)
        return 1
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
