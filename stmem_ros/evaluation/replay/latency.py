"""A vehicle's computer as a replay sees it: how long frames take, and which ones it misses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class LatencyModel:
    """How long a machine takes from an image to its label.

    Attributes:
        shares: in ascending order, 0..1.
        milliseconds: what so large a share of the frames takes at most; between the shares the
            time is interpolated, beyond them it stays.

    Raises:
        ValueError: a time is no positive number.
    """

    shares: tuple[float, ...]
    milliseconds: tuple[float, ...]

    def __post_init__(self) -> None:
        for ms in self.milliseconds:
            if not (np.isfinite(ms) and ms > 0):
                raise ValueError(f"latency is {ms} ms; it must be a positive number")

    def seconds(self, seed: int, frame: int) -> float:
        """The time of frame number ``frame``, the same in every run with the same seed."""
        share = np.random.default_rng([seed, frame, 3]).random()
        return float(np.interp(share, self.shares, self.milliseconds)) / 1e3


def read_latency(text: str) -> LatencyModel:
    """A latency model from milliseconds, or from the JSON of a measurement.

    Read are ``latency_ms`` with p50 and p95 (p99), as in the demo's ``summary.json``;
    ``latency_p50_ms`` and so on; or ``streaming_ms`` of ``stmem bench core``.

    Raises:
        ValueError: neither a number nor such a file; one line says what was found.
    """
    try:
        milliseconds = float(text)
    except ValueError as error:
        if not Path(text).is_file():
            raise ValueError(
                f"latency model {text!r}: it must be milliseconds, or a JSON file of "
                "`stmem bench` or `stmem demo`"
            ) from error
    else:
        return LatencyModel((0.5,), (milliseconds,))
    try:
        content = json.loads(Path(text).read_text())
        percentiles = {
            p: content[f"latency_{p}_ms"] for p in PERCENTILES if f"latency_{p}_ms" in content
        } or content.get("latency_ms")
        if not percentiles:
            percentiles = {"p50": content["streaming_ms"]}
        known = {p: float(percentiles[p]) for p in PERCENTILES if percentiles.get(p) is not None}
        return LatencyModel(tuple(PERCENTILES[p] for p in known), tuple(known.values()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"latency model {text} cannot be used; it must be milliseconds, or JSON that holds "
            "latency_ms with p50 and p95, latency_p50_ms, or streaming_ms"
        ) from error


@dataclass(frozen=True)
class Arrival(Generic[T]):
    """Something that arrives at a ``time``, s, and keeps the machine busy for ``duration``, s."""

    item: T
    time: float
    duration: float


def serve(arrivals: Iterable[Arrival[T]]) -> Iterator[tuple[T, float | None]]:
    """What a machine with the node's one-place mailbox makes of what arrives in order.

    Yields:
        Each item with the seconds from its arrival to its end; None if a newer one replaced it
        while it waited.
    """
    free_at = -np.inf
    waiting: Arrival[T] | None = None
    for arrival in arrivals:
        if waiting is not None and free_at <= arrival.time:
            free_at += waiting.duration
            yield waiting.item, free_at - waiting.time
            waiting = None
        if free_at <= arrival.time:
            free_at = arrival.time + arrival.duration
            yield arrival.item, arrival.duration
            continue
        if waiting is not None:
            yield waiting.item, None
        waiting = arrival
    if waiting is not None:
        yield waiting.item, free_at + waiting.duration - waiting.time
