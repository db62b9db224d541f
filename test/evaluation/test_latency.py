"""The simulated machine: times of frames, and which ones a one-place mailbox loses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stmem_ros.evaluation.replay.latency import (
    Arrival,
    LatencyModel,
    read_latency,
    serve,
)


def test_the_newest_that_waits_is_next() -> None:
    arriving = [Arrival(name, i / 10, 0.25) for i, name in enumerate("abcdef")]
    served = {name: latency for name, latency in serve(arriving)}
    assert list(served) == list("abcdef")
    assert [name for name, latency in served.items() if latency is None] == ["b", "d"]
    assert served["a"] == 0.25 and served["c"] == pytest.approx(0.3)
    assert served["e"] == pytest.approx(0.35)  # from 0.4; c is done at 0.5
    assert served["f"] == pytest.approx(0.5)  # from 0.5; e is done at 0.75


def test_a_fast_machine_loses_nothing() -> None:
    arriving = [Arrival(i, i / 10, 0.1) for i in range(5)]
    assert [latency for _, latency in serve(arriving)] == pytest.approx([0.1] * 5)


def test_times_follow_the_percentiles_of_a_measurement(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({"latency_ms": {"p50": 80.0, "p95": 120.0}}))
    model = read_latency(str(path))
    times = [1e3 * model.seconds(1, frame) for frame in range(4000)]
    assert np.percentile(times, 50) == pytest.approx(80, abs=3)
    assert np.percentile(times, 95) == pytest.approx(120, abs=3)
    assert times[:9] == [1e3 * model.seconds(1, frame) for frame in range(9)]
    assert times[:9] != [1e3 * model.seconds(2, frame) for frame in range(9)]


@pytest.mark.parametrize(
    ("content", "milliseconds"),
    [
        ({"streaming_ms": 46.0, "plain_ms": 200.0}, (46.0,)),
        ({"latency_p50_ms": 50.0, "latency_p99_ms": 70.0}, (50.0, 70.0)),
    ],
)
def test_other_measurements_are_read_too(
    tmp_path: Path, content: dict[str, float], milliseconds: tuple[float, ...]
) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(content))
    assert read_latency(str(path)).milliseconds == milliseconds
    assert read_latency("33.5") == LatencyModel((0.5,), (33.5,))


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"latency_ms": {"p50": "soon"}}'])
def test_a_file_that_holds_no_latency_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"latency model .*other\.json cannot be used"):
        read_latency(str(path))
