"""The feature ring: per-frame features of the newest frames of one stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RingEntry:
    """One frame in the ring.

    Attributes:
        features: 1 x C x h x w.
        stamp: seconds.
        size: height and width of the image, pixels.
        inference_size: height and width of what the network saw, pixels.
    """

    features: Tensor
    stamp: float
    size: tuple[int, int]
    inference_size: tuple[int, int]


class FeatureRing:
    """Holds the features of the last ``capacity`` frames, so that no frame is computed twice.

    A window that is not full yet is filled by repeating its oldest frame.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: deque[RingEntry] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def newest(self) -> RingEntry | None:
        return self._entries[-1] if self._entries else None

    def append(self, entry: RingEntry) -> None:
        self._entries.append(entry)

    def clear(self) -> None:
        self._entries.clear()

    def window(self) -> list[RingEntry]:
        """``capacity`` entries, oldest first."""
        missing = self.capacity - len(self._entries)
        return [self._entries[0]] * missing + list(self._entries)


def stack(window: list[RingEntry]) -> Tensor:
    """The features of a window as one tensor 1 x C x T x h x w."""
    return torch.stack([entry.features for entry in window], dim=2)
