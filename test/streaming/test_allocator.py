"""Memory that frames need again stays with the process."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from stmem_ros.streaming.kernels.allocator import keep_freed_memory
if sys.argv[1] == "kept": keep_freed_memory()
def large(): return torch.ones(20 * 2**20).sum().item()  # 80 MB
for _ in range(8): large()  # the heap grows to its size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): large()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_large_tensors_get_new_pages_once_alone() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults("kept") < 0.5 * faults("given back")
