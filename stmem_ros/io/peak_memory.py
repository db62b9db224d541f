"""The largest memory that was held."""

from __future__ import annotations

from pathlib import Path

import torch


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory this process held on a GPU, MiB; on a CPU, its largest resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # Not getrusage: what it tells survives exec, so that a child is never below its parent.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
