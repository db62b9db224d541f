"""How long each stage of a push takes."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch


class StageClock:
    """Seconds of each stage; a GPU's are told by itself, so that none waits for its end."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._names: list[str] = []
        self._moments = [self._now()]

    def stage_ends(self, name: str) -> None:
        self._names.append(name)
        self._moments.append(self._now())

    def seconds(self) -> dict[str, float]:
        """By stage; waits for the GPU."""
        between = pairwise(self._moments)
        if self._device.type == "cuda":
            self._moments[-1].synchronize()
            spent = [start.elapsed_time(end) / 1e3 for start, end in between]
        else:
            spent = [end - start for start, end in between]
        return dict(zip(self._names, spent, strict=True))

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event
