"""``stmem bench node``: the real node between two processes, beside the bare core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stmem_ros.commands.stmem import main


def bench(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "stmem_ros.commands.stmem", "bench", "node", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=1800,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_images_to_the_node_and_bare_pushes_are_measured(
    ros_domain: None, small_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "node.json"
    done = bench(
        "--model", small_bundle, "--size", "128x96", "--rate", 5, "--seconds", 2, "--json", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    times = json.loads(out.read_text())
    assert times["sent"] == 10
    assert times["labelled"] + times["dropped"] + times["lost"] == 10
    assert times["labelled"] > 0
    assert 0 < times["latency_p50_ms"] <= times["latency_p95_ms"] <= times["latency_p99_ms"]
    assert times["latency_p50_ms"] > times["stages_ms"]["backbone"] > 0
    assert times["stages_ms"]["costmap"] > 0  # camera_info and transforms arrive
    assert (
        times["push_ms"] > 0
        and times["label_cpu_ms"] > times["push_cpu_ms"] / 2 > 0
        and times["memory_end_mb"] > 100
    )
    assert "image to label" in done.stdout


@pytest.mark.ros
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--model", "nonesuch"), ("'nonesuch'",)),
        (("--rate", "0"), ("--rate", "0.0")),
        (("--precision", "float8"), ("precision", "'float8'")),
    ],
)
def test_mistakes_get_one_line(arguments: tuple[str, ...], named: tuple[str, ...], capsys) -> None:
    assert main(["bench", "node", *arguments]) == 1
    error = capsys.readouterr().err
    assert all(name in error for name in named) and error.count("\n") == 1


@pytest.mark.slow
def test_ten_minutes_of_too_many_images_leave_latency_and_memory_bounded(
    ros_domain: None, small_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "node.json"
    done = bench(
        "--model", small_bundle, "--size", "960x720", "--rate", 60, "--seconds", 600, "--json", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    times = json.loads(out.read_text())
    assert times["dropped"] > 0
    # One image is worked on while the newest one waits.
    assert times["latency_p50_ms"] < 3 * times["stages_ms"]["total"] + 50
    assert times["memory_end_mb"] < times["memory_start_mb"] + 50
