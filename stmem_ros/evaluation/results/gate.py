"""Limits that an evaluation must keep to pass, for continuous integration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import get_type_hints

from stmem_ros.evaluation.metrics.figures import Figures, TimingFigures
from stmem_ros.evaluation.results.summary import ModelScores


@dataclass(frozen=True)
class Limit:
    """A bound on a figure: ``miou``, ``latency_p95_ms``, ``iou.road``, ...

    Attributes:
        figure: a number of ``Figures`` or ``TimingFigures``, or of a class: ``iou.NAME``,
            ``class_flicker.NAME``.
        bound: allowed itself.
        highest: whether it is the highest that is allowed, not the lowest.
    """

    figure: str
    bound: float
    highest: bool

    def problem(self, scores: ModelScores) -> str | None:
        """What is wrong with a model's scores, None if nothing is.

        What was not measured keeps no limit. Latencies are those of the simulated machine where
        there is one, else the measured ones.
        """
        value = self._value(scores)
        if value is None:
            return f"{self.figure} was not measured"
        if (value > self.bound) if self.highest else (value < self.bound):
            allowed = "at most" if self.highest else "at least"
            return f"{self.figure} is {value:.4g}; it must be {allowed} {self.bound:g}"
        return None

    def _value(self, scores: ModelScores) -> float | None:
        name, _, class_name = self.figure.partition(".")
        value = getattr(scores.totals, name, None)
        if class_name:
            return value.get(class_name) if value else None
        return getattr(scores.timing, name, None) if value is None else value


def parse_limit(text: str, highest: bool) -> Limit:
    """A limit from FIGURE=NUMBER.

    Raises:
        ValueError: not of this form, or no such figure; the message tells those there are.
    """
    figure, _, bound = text.partition("=")
    try:
        number = float(bound)
    except ValueError as error:
        raise ValueError(
            f"limit is {text!r}; it must be FIGURE=NUMBER, such as miou=0.7"
        ) from error
    name, _, class_name = figure.partition(".")
    if figure not in figure_names() and not (class_name and name in ("iou", "class_flicker")):
        raise ValueError(
            f"limit is on {figure!r}, which is no figure; allowed: {', '.join(figure_names())}, "
            "iou.CLASS, class_flicker.CLASS"
        )
    return Limit(figure, number, highest)


def figure_names() -> list[str]:
    """The figures that are single numbers."""
    names = []
    for kind in (Figures, TimingFigures):
        hints = get_type_hints(kind)
        names += [f.name for f in fields(kind) if hints[f.name] in (int, float, float | None)]
    return list(dict.fromkeys(names))


def problems(limits: Sequence[Limit], scores: dict[str, ModelScores]) -> list[str]:
    """Limits that are not kept, a line each."""
    return [
        f"{name}: {problem}"
        for name, model in scores.items()
        for limit in limits
        if (problem := limit.problem(model)) is not None
    ]
