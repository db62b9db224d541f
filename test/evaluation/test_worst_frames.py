"""Which frames are kept as the worst, and their pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support.replayed import dropped, replayed, row

from stmem_ros.classes import CAMVID
from stmem_ros.evaluation.replay.replayed_frame import ReplayedFrame
from stmem_ros.evaluation.tasks.worst_frames import KEPT, WorstFrames


@pytest.fixture(scope="module")
def frame() -> ReplayedFrame:
    (made,) = replayed(1)
    return made


def kept(folder: Path) -> list[int]:
    return [int(path.name[:6]) for path in sorted(folder.glob("*_camera.jpg"))]


def watch(folder: Path, frame: ReplayedFrame, values: list[dict], period: float = 1.0) -> list[int]:
    """Indices of the frames kept of a drive with these figures."""
    worst = WorstFrames(folder, CAMVID)
    for i, figures in enumerate(values):
        seen = replace(frame, index=i, received=round(1e9 * i * period))
        worst.add(seen, row(seen, **figures))
    worst.close()
    return kept(folder)


def test_the_lowest_miou_is_kept(tmp_path: Path, frame: ReplayedFrame) -> None:
    values = [{"miou": 0.5 + 0.01 * ((7 * i) % 20)} for i in range(20)]
    lowest = sorted(range(20), key=lambda i: values[i]["miou"])[:KEPT]
    assert watch(tmp_path, frame, values) == sorted(lowest)


def test_of_one_moment_the_worst_frame_alone_is_kept(tmp_path: Path, frame: ReplayedFrame) -> None:
    values = [{"miou": m} for m in (0.5, 0.3, 0.4, 0.9, 0.9, 0.9, 0.9, 0.2, 0.8)]
    assert watch(tmp_path, frame, values, period=0.12) == [1, 7]


def test_consistency_counts_where_there_are_no_references(
    tmp_path: Path, frame: ReplayedFrame
) -> None:
    values = [{"consistency": 1 - 0.05 * i} for i in range(10)]
    assert watch(tmp_path / "without", frame, values) == list(range(2, 10))
    values[4] |= {"miou": 0.9}
    assert watch(tmp_path / "with", frame, values) == [4]


def test_pictures_show_camera_label_reference_errors_and_grid(
    tmp_path: Path, frame: ReplayedFrame
) -> None:
    worst = WorstFrames(tmp_path, CAMVID)
    worst.add(frame, row(frame, miou=0.5))
    lost = dropped(replace(frame, index=1))
    worst.add(lost, row(lost))
    worst.close()
    sizes = {p.name: Image.open(p).size for p in tmp_path.iterdir()}
    assert sizes == {
        "000000_camera.jpg": (480, 360),
        "000000_label.jpg": (480, 360),
        "000000_reference.jpg": (480, 360),
        "000000_errors.jpg": (480, 360),
        "000000_grid.jpg": (360, 360),
    }
