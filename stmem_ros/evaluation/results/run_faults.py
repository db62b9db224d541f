"""What a run came to nothing in: told on the terminal, in ``metrics.json`` and in the report.

A run with such a fault is no success (exit code 1), unless its kind is allowed by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum


class RunFaultKind(str, Enum):
    """Kinds of faults; the values are the names that ``--allow`` takes."""

    NO_FRAME = "no_frame"  # no image was replayed
    NO_LABELLED_FRAME = "no_labelled_frame"  # images were, but none got a label
    NO_LABELLED_PIXEL = "no_labelled_pixel"  # reference labels are there, but score nothing
    NO_GRID = "no_grid"  # there is a calibration, but no grid came about
    FEWER_FRAMES = "fewer_frames"  # than the bag announces


@dataclass(frozen=True)
class RunFault:
    """A fault of one bag through one model.

    Attributes:
        kind: what came to nothing.
        bag, model: names, as in ``metrics.json``.
        text: one line for people: what was seen, and why.
    """

    kind: RunFaultKind
    bag: str
    model: str
    text: str

    def __str__(self) -> str:
        return f"{self.bag}, {self.model}: {self.text} ({self.kind.value})"


def parse_kinds(names: Iterable[str]) -> frozenset[RunFaultKind]:
    """Kinds by their names.

    Raises:
        ValueError: a name is none; the message tells those there are.
    """
    known = [kind.value for kind in RunFaultKind]
    for name in names:
        if name not in known:
            raise ValueError(f"fault {name!r} is unknown; allowed: {', '.join(known)}")
    return frozenset(RunFaultKind(name) for name in names)


def not_allowed(
    faults: Sequence[RunFault], allowed: frozenset[RunFaultKind]
) -> tuple[RunFault, ...]:
    """The faults whose kind is not allowed."""
    return tuple(fault for fault in faults if fault.kind not in allowed)
