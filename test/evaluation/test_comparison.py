"""Two models' frames side by side: directions, intervals, what is shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stmem_ros.evaluation.results.comparison import (
    Comparison,
    Difference,
    Verdict,
    compare,
)
from stmem_ros.evaluation.results.frame_record import FrameRecord
from stmem_ros.io.parquet import RecordWriter

CLASSES = ("road", "car")
FRAMES = 160


def write(
    path: Path,
    right: float,
    changes: float,
    noise: float = 20.0,
    seed: int = 0,
    bag: str = "drive",
    frames: Sequence[int] = range(FRAMES),
    camera: str = "",
) -> Path:
    """Frames of 1000 labelled pixels a class: ``right`` of them right, ``changes`` change.

    Which ``frames`` of the bag are there; each differs from the others.
    """
    with RecordWriter(path, FrameRecord) as rows:
        for index, i in enumerate(frames):
            random = np.random.default_rng([seed, i])
            hits = np.clip(random.normal(1000 * right, noise, 2), 0, 1000).astype(int)
            moved = np.clip(random.normal(1000 * changes, noise, 2), 0, 1000).astype(int)
            label = {
                "hits": tuple(int(v) for v in hits),
                "union": tuple(int(2000 - v) for v in hits),
                "right": int(hits.sum()),
                "labelled": 2000,
                "latency_ms": 100.0 * right,
                "coverage": right,
                "in_view": 100,
            }
            steady = {
                "changes": tuple(int(v) for v in moved),
                "exposure": (100.0, 100.0),
            }
            rows.add(
                FrameRecord(
                    bag, "m", index, i, i, "labelled", "", "", 3, "", "",
                    **label, **steady, camera=camera,
                )
            )  # fmt: skip
    return path


def differences(before: Path, after: Path) -> tuple[Comparison, dict[str, Difference]]:
    comparison = compare((before, "m"), (after, "m"), ("old", "new"), CLASSES, seed=1)
    return comparison, {d.figure: d for d in comparison.differences}


def test_what_is_better_and_what_is_worse_is_told_with_an_interval(tmp_path: Path) -> None:
    before = write(tmp_path / "a", right=0.8, changes=0.2)
    after = write(tmp_path / "b", right=0.9, changes=0.3, seed=1)
    comparison, found = differences(before, after)
    assert comparison.blocks == FRAMES // 16
    for figure, verdict in (
        ("miou", Verdict.BETTER), ("iou.car", Verdict.BETTER),
        ("pixel_accuracy", Verdict.BETTER), ("coverage", Verdict.BETTER),
        ("flicker", Verdict.WORSE), ("latency_mean_ms", Verdict.WORSE),
    ):  # fmt: skip
        assert found[figure].verdict == verdict, figure
    pixels = found["pixel_accuracy"]
    assert pixels.before == pytest.approx(0.8, abs=0.01)
    assert pixels.low <= pixels.after - pixels.before <= pixels.high
    assert pixels.high - pixels.low < 0.02
    assert found["flicker"].before == pytest.approx(0.2 * 1000 / 100, abs=0.1)
    assert found["latency_mean_ms"].after == pytest.approx(90)
    assert "temporal_consistency" not in found  # was not measured


def test_noise_alone_shows_no_difference(tmp_path: Path) -> None:
    before = write(tmp_path / "a", right=0.8, changes=0.2, noise=100)
    after = write(tmp_path / "b", right=0.8, changes=0.2, noise=100, seed=1)
    _, found = differences(before, after)
    assert found["miou"].verdict == found["flicker"].verdict == Verdict.OPEN
    assert found["miou"].low < 0 < found["miou"].high


def test_a_drive_of_one_block_has_no_interval(tmp_path: Path) -> None:
    before = write(tmp_path / "a", right=0.8, changes=0.2, frames=range(10))
    after = write(tmp_path / "b", right=0.9, changes=0.2, frames=range(10))
    comparison, found = differences(before, after)
    assert comparison.blocks == 1
    assert all((d.low, d.high, d.verdict) == (None, None, Verdict.OPEN) for d in found.values())


def test_frames_are_paired_by_their_stamps(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", right=0.8, changes=0.2, noise=100)
    for frames in (range(40), range(90, FRAMES), range(1, 90, 3)):
        part = write(tmp_path / "part", right=0.8, changes=0.2, noise=100, frames=frames)
        for before, after in ((whole, part), (part, whole)):
            comparison, found = differences(before, after)
            assert comparison.blocks == -(-len(frames) // 16)
            assert all(d.before == d.after and d.low == d.high == 0 for d in found.values())


def test_the_only_camera_of_a_bag_needs_no_name(tmp_path: Path) -> None:
    before = write(tmp_path / "a", right=0.8, changes=0.2)
    after = write(tmp_path / "b", right=0.8, changes=0.2, camera="front")
    assert differences(before, after)[0].blocks == FRAMES // 16


def test_bags_of_one_side_alone_are_left_out(tmp_path: Path) -> None:
    before = write(tmp_path / "a", right=0.8, changes=0.2)
    after = write(tmp_path / "b", right=0.9, changes=0.2, bag="another")
    with pytest.raises(ValueError, match=r"old.*new"):
        differences(before, after)
