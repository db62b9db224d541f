"""Counts that add up exactly, in any order and from any process."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import numpy as np

A = TypeVar("A", bound="Accumulator")
UNIT = 2**40  # a share is held in steps of 1 / UNIT, so that sums of shares are integers too


class Accumulator:
    """Base of what is counted over frames: integer arrays that are added element by element.

    Attributes:
        SUMS: names of the attributes that are added, int64 arrays.
    """

    SUMS: ClassVar[tuple[str, ...]]

    def __iadd__(self: A, other: A) -> A:
        for name in self.SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def to_json(self) -> dict[str, Any]:
        """The counts as lists."""
        return {name: getattr(self, name).tolist() for name in self.SUMS}

    def load_json(self: A, content: dict[str, Any]) -> A:
        """Take the counts of :meth:`to_json`.

        Raises:
            ValueError: they are of another shape.
        """
        for name in self.SUMS:
            counts = np.array(content[name], np.int64)
            if counts.shape != getattr(self, name).shape:
                raise ValueError(
                    f"{type(self).__name__}.{name} has the shape {counts.shape}; "
                    f"it must be {getattr(self, name).shape}"
                )
            setattr(self, name, counts)
        return self


class MeanShare(Accumulator):
    """The mean of numbers of 0 to 1, to 12 digits."""

    SUMS = ("total", "count")

    def __init__(self) -> None:
        self.total = np.zeros((), np.int64)
        self.count = np.zeros((), np.int64)

    def add(self, share: float) -> None:
        """Add one number."""
        self.total += round(share * UNIT)
        self.count += 1

    @property
    def value(self) -> float:
        """The mean, NaN of nothing."""
        return float(self.total) / UNIT / float(self.count) if self.count else float("nan")
