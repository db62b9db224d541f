"""Masks, regions and rates in the replay of a bag: of labels, figures and grids."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.bags import jpeg, panorama, write_bag

from stmem_ros.costmap.grid import GridConfig
from stmem_ros.evaluation.replay.bag_replay import BagReplay
from stmem_ros.evaluation.replay.replay_options import ReplayOptions
from stmem_ros.evaluation.replay.replayed_frame import FrameState, ReplayedFrame
from stmem_ros.evaluation.tasks.bag_scorer import BagScorer
from stmem_ros.io.bags import BagReader
from stmem_ros.io.images import decode_compressed
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.parameters import pipeline_config, read_parameter_file
from stmem_ros.streaming.image_area import read_area
from stmem_ros.streaming.segmenter import StreamingSegmenter

COVERED = np.zeros((96, 128), bool)
COVERED[70:, 20:110] = True


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Ten images with labels, of a camera that sees a hood with reflections."""
    images, random = panorama(10), np.random.default_rng(4)
    for image in images:
        image[COVERED] = random.integers(0, 256, (COVERED.sum(), 3))
    labels = [np.full((96, 128), 3, np.uint8)] * 10
    return write_bag(tmp_path / "hooded", [jpeg(image) for image in images], labels)


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "hood.png"
    cv2.imwrite(str(path), np.where(COVERED, 0, 255).astype(np.uint8))
    return path


def replay(bag: Path, model: BundledSegmenter, folder: Path, values: str) -> list[ReplayedFrame]:
    """The bag as a node with a parameter file works on it."""
    path = folder / "node.yaml"
    path.write_text(f"/**: {{ros__parameters: {{{values}}}}}")
    config = pipeline_config(read_parameter_file(path))
    with BagReader(bag) as reader:
        return list(BagReplay(reader, model, ReplayOptions(), config).frames())


def test_labels_are_those_of_the_stream_with_its_area(
    bag: Path, mask: Path, small_model: BundledSegmenter, tmp_path: Path
) -> None:
    values = f"masks: ['{mask}'], regions: ['[8, 16, 104, 80]']"
    stream = StreamingSegmenter(small_model, area=read_area(str(mask), "[8, 16, 104, 80]"))
    with BagReader(bag) as reader:
        images = [
            decode_compressed(reader.decode(record).data)
            for record in reader.records({"/camera/image_raw/compressed"})
        ]
    frames = replay(bag, small_model, tmp_path, values)
    for i, (frame, image) in enumerate(zip(frames, images, strict=True)):
        expected = stream.push(image, i / 10)
        assert np.array_equal(frame.label, expected.label)
        assert np.array_equal(frame.confidence, expected.confidence)


def test_what_is_covered_counts_in_no_figure(
    bag: Path, mask: Path, small_model: BundledSegmenter, tmp_path: Path
) -> None:
    frames = replay(bag, small_model, tmp_path, f"masks: ['{mask}']")
    scorer = BagScorer("hooded", "small", 11, GridConfig(), None)
    for frame in frames:
        scorer.add(frame)
    seen = 10 * int((~COVERED).sum())
    sums = scorer.sums
    assert sums.confusion.labelled == seen and not sums.confusion.missed.any()
    assert sums.calibration.known.sum() == sums.calibration.pixels.sum() == seen
    assert 0 < sums.steady.labelled <= 0.9 * seen and not sums.steady.missed.any()


def test_images_sooner_than_the_rate_are_left_out_as_in_the_node(
    bag: Path, small_model: BundledSegmenter, tmp_path: Path
) -> None:
    frames = replay(bag, small_model, tmp_path, "inference_rates: [5]")  # of 10 Hz
    states = [frame.state for frame in frames]
    assert states == [FrameState.LABELLED, FrameState.DROPPED] * 5
    assert "5 Hz" in frames[1].reason
    assert [frame.window for frame in frames[::2]] == [1, 2, 3, 3, 3]
