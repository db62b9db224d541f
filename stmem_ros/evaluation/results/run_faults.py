"""What a run came to nothing in: told on the terminal, in ``metrics.json`` and in the report.

A run with such a fault is no success (exit code 1), unless its kind is allowed by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from stmem_ros.evaluation.results.bag_result import BagResult


class RunFaultKind(str, Enum):
    """Kinds of faults; the values are the names that ``--allow`` takes."""

    NO_FRAME = "no_frame"  # no image was replayed
    NO_LABELLED_FRAME = "no_labelled_frame"  # images were, but none got a label
    NO_LABELLED_PIXEL = "no_labelled_pixel"  # reference labels are there, but score nothing
    NO_GRID = "no_grid"  # there is a calibration, but no grid came about
    NO_POINTS = "no_points"  # points were asked for by name, but no grid was compared with any
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


def find_faults(result: BagResult, are_points_asked_for: bool) -> Iterator[RunFault]:
    """What a bag through a model came to nothing in."""

    def fault(kind: RunFaultKind, text: str) -> RunFault:
        return RunFault(kind, result.bag, result.model, text)

    counts = result.sums.counts
    if result.announced > result.held:
        yield fault(
            RunFaultKind.FEWER_FRAMES,
            f"metadata.yaml counts {result.announced} images where the bag holds {result.held}",
        )
    if not counts.frames:
        yield fault(RunFaultKind.NO_FRAME, f"none of the {result.held} images was replayed")
        return
    if not counts.labelled:
        yield fault(
            RunFaultKind.NO_LABELLED_FRAME,
            f"none of {counts.frames} images was labelled: {missing_grids_text(result)}",
        )
        return
    if result.topics["label"] is not None and not result.sums.confusion.labelled:
        yield fault(
            RunFaultKind.NO_LABELLED_PIXEL,
            f"no pixel was scored, though there are reference labels on {result.topics['label']}",
        )
    if result.topics["info"] is not None and not counts.maps:
        yield fault(
            RunFaultKind.NO_GRID,
            f"no grid, though there is a calibration: {missing_grids_text(result)}",
        )
    elif are_points_asked_for and not result.sums.agreement.is_of_any_cell:
        yield fault(
            RunFaultKind.NO_POINTS, f"no grid was compared with points on {result.topics['points']}"
        )


def missing_grids_text(result: BagResult) -> str:
    """Why frames have no grid, by kind; empty where all have one."""
    return "; ".join(
        f"{missing.frames} x {missing.kind}" + (f" ({missing.first})" if missing.first else "")
        for missing in result.missing_grids
    )


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
