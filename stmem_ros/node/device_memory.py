"""How much memory is held on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

PERIOD = 1.0  # s between two questions: torch counts all its memory anew for each


class DeviceMemory:
    """Bytes held on a device, 0 on a CPU; asked for again once a second.

    Args:
        now: a clock, s.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.monotonic) -> None:
        self._device = device
        self._now = now
        self._asked = -PERIOD
        self._bytes = 0

    def __call__(self) -> int:
        """As of the last second."""
        if self._device.type == "cuda" and self._now() - self._asked >= PERIOD:
            self._asked = self._now()
            self._bytes = torch.cuda.memory_allocated(self._device)
        return self._bytes
