"""A thread of its own for work with the network: no OpenMP team stays behind."""

import subprocess
import sys

import pytest

from stmem_ros.node.own_thread import in_own_thread

COUNT = """
import os, time, torch
from stmem_ros.node.own_thread import in_own_thread
torch.set_num_threads(2)
def threads(): return len(os.listdir("/proc/self/task"))
def parallel(): return torch.nn.functional.relu(torch.zeros(2000, 2000)).sum().item()
before = threads()
in_own_thread(parallel)
deadline = time.monotonic() + 10
while threads() > before and time.monotonic() < deadline: time.sleep(0.01)
print(threads() - before)
parallel()
print(threads() - before)
print("libgomp" in open("/proc/self/maps").read())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_it_leaves_no_threads_behind_where_a_call_does() -> None:
    run = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    left, more, gnu = run.stdout.split()
    if gnu == "False":
        pytest.skip("torch was not built with GNU's OpenMP")
    assert (left, more) == ("0", "1")


def test_it_returns_the_result_and_raises_what_the_work_raised() -> None:
    assert in_own_thread(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        in_own_thread(lambda: 1 / 0)
