"""Signals end processes of ours soon, with the exit code they promise and without a traceback."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stmem_ros.data.synthetic.bag import create_synthetic_bag

pytestmark = pytest.mark.end_to_end

NODE = ("-m", "stmem_ros.node.main", "--ros-args", "-p", "device:=cpu")
COMMAND = ("-m", "stmem_ros.commands.stmem")
SECONDS = 3.0  # that a process may take to end; more on a busy machine
PATIENCE = 30.0
BUSY = """
import numpy, threading
from stmem_ros import signals
signals.GRACE = 0.2  # seconds
signals.end_on_signals(7, lambda: None)
print("busy", flush=True)
{}
"""

INTERRUPTED = """
import os, signal, sys
from stmem_ros.commands import doctor, stmem

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    while True: pass

class Finaliser:
    def __del__(self): interrupt()

def turned(options):
    try:
        interrupt()
    except KeyboardInterrupt as error:
        raise OSError("an error of a library") from error

def lost(options):
    Finaliser()
    while True: pass

doctor.run = {}
sys.argv = ["stmem", "doctor"]
sys.exit(stmem.run())
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Shells start background jobs with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def end(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Exit code and output of a process that gets a signal."""
    process.send_signal(number)
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return process.returncode, output


@pytest.mark.parametrize(
    "work",
    [
        "threading.Event().wait()",
        "numpy.linalg.svd(numpy.ones((4000, 4000)))",  # inside code that no handler interrupts
        "while True: pass",
    ],
)
def test_a_process_ends_whatever_it_does(work: str) -> None:
    process = start("-c", BUSY.format(work))
    assert process.stdout is not None and process.stdout.readline() == "busy\n"
    started = time.monotonic()
    assert end(process, signal.SIGTERM) == (7, "")
    assert time.monotonic() - started < PATIENCE


def test_a_second_signal_changes_nothing() -> None:
    process = start("-c", BUSY.format("threading.Event().wait()"))
    assert process.stdout is not None and process.stdout.readline() == "busy\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert end(process, signal.SIGINT) == (7, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_ends_with_130(tmp_path: Path, number: int) -> None:
    create_synthetic_bag(tmp_path / "bag", "straight", seed=2, frames=3, rate=10.0)
    out = tmp_path / "out"
    process = start(*COMMAND, "evaluate", str(tmp_path / "bag"), "--out", str(out))
    while not out.exists() and process.poll() is None:
        time.sleep(0.01)
    code, output = end(process, number)
    assert "Traceback" not in output
    assert code in (0, 130)  # a quick machine is done by then


@pytest.mark.parametrize("how", ["turned", "lost"])
def test_an_interrupt_that_a_library_turns_into_an_error_or_loses_is_one(how: str) -> None:
    process = start("-c", INTERRUPTED.format(how))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "Traceback" not in output
    assert "interrupted" in output  # by the command itself, not after the grace


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_the_node_ends_with_0_at_any_moment(
    seed: int, small_bundle: Path, ros_domain: None
) -> None:
    chance = random.Random(seed)
    number = chance.choice([signal.SIGINT, signal.SIGTERM])
    process = start(*NODE, "-p", f"model:={small_bundle}")
    time.sleep(chance.uniform(0.3, 8.0))
    code, output = end(process, number)
    assert (code, "Traceback" in output) == (0, False), output
