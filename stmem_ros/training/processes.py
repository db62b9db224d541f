"""One training process, or several started by ``torchrun``."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

LOOPBACK = "lo"  # name of the interface


@dataclass(frozen=True)
class TrainingProcess:
    """This process among all that train together.

    Attributes:
        rank: its number, 0 writes files and shows progress.
        count: how many there are.
        device: what it computes on: a GPU of its own, or the CPU.
    """

    rank: int
    count: int
    device: torch.device

    @staticmethod
    def join() -> TrainingProcess:
        """Join the processes that ``torchrun`` started; alone without it."""
        rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
            torch.cuda.set_device(device)
        if count > 1 and not dist.is_initialized():
            if os.environ.get("LOCAL_WORLD_SIZE") == str(count):  # all on this machine
                for library in ("GLOO", "NCCL"):
                    os.environ.setdefault(f"{library}_SOCKET_IFNAME", LOOPBACK)
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return TrainingProcess(rank, count, device)

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.count > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.count > 1:
            dist.barrier()
