"""``stmem mask learn``: from a recording to the mask of what moves along with the camera."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.bags import jpeg, panorama, write_bag

from stmem_ros.commands.stmem import main
from stmem_ros.streaming.image_area import read_area

COUNT = 30
HOOD = np.zeros((96, 128), np.uint8)
cv2.fillPoly(HOOD, [np.array([[0, 85], [40, 72], [88, 72], [127, 85], [127, 95], [0, 95]])], 1)


def hooded(images: list[np.ndarray]) -> list[np.ndarray]:
    """The images with a dark hood that reflects."""
    random = np.random.default_rng(5)
    for image in images:
        image[HOOD > 0] = 30 + random.integers(0, 25, (HOOD.sum(), 1))
    return images


def recording(path: Path, images: list[np.ndarray]) -> Path:
    return write_bag(path, [jpeg(image) for image in images])


def test_a_painted_hood_is_masked_and_little_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = recording(tmp_path / "drive", hooded(panorama(COUNT)))
    out = tmp_path / "hood.png"
    assert main(["mask", "learn", str(bag), "--out", str(out)]) == 0
    assert f"{COUNT} images" in capsys.readouterr().out
    masked = read_area(str(out), "").masked(96, 128)
    assert masked is not None and masked[HOOD > 0].all()
    assert masked[HOOD == 0].mean() < 0.06  # a margin
    assert main(["mask", "learn", str(bag), "--out", str(out)]) == 1  # it is there


def test_an_image_that_cannot_be_read_costs_itself_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [jpeg(image) for image in hooded(panorama(COUNT))]
    images[3] = images[3][:200]
    out = tmp_path / "hood.png"
    bag = write_bag(tmp_path / "drive", images)
    assert main(["mask", "learn", str(bag), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "1 images are left out" in text and f"{COUNT - 1} images" in text


def test_several_recordings_tell_together(tmp_path: Path) -> None:
    bags = [
        recording(tmp_path / name, hooded(panorama(12, seed))) for seed, name in enumerate("ab")
    ]
    out = tmp_path / "hood.png"
    assert main(["mask", "learn", str(bags[0]), "--out", str(out)]) == 1  # too few images
    assert main(["mask", "learn", *map(str, bags), "--out", str(out)]) == 0


def test_a_stop_on_the_way_changes_nothing(tmp_path: Path) -> None:
    images = panorama(COUNT)
    images[10:10] = [images[10].copy() for _ in range(100)]
    bag = recording(tmp_path / "drive", hooded(images))
    out = tmp_path / "hood.png"
    assert main(["mask", "learn", str(bag), "--out", str(out)]) == 0
    masked = read_area(str(out), "").masked(96, 128)
    assert masked is not None and masked[HOOD > 0].all() and masked[HOOD == 0].mean() < 0.06


@pytest.mark.parametrize("kind", ["bare", "standing"])
def test_where_there_is_nothing_to_tell_no_mask_is_written(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images = panorama(COUNT)
    if kind == "standing":
        images = hooded([images[0].copy() for _ in range(COUNT)])
    bag = recording(tmp_path / "drive", images)
    out = tmp_path / "hood.png"
    assert main(["mask", "learn", str(bag), "--out", str(out)]) == 1
    assert capsys.readouterr().err.count("\n") <= 2 and not out.exists()
