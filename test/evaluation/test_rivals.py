"""Flow averaging and disturbed images, beside plain streaming."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from support.small import SMALL

from stmem_ros.classes import CAMVID
from stmem_ros.data.disturbance import DISTURBANCES
from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.evaluation.flow_average import FlowAverage
from stmem_ros.model.ablation import load_variants
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo
from stmem_ros.streaming.segmenter import StreamingSegmenter

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def model() -> BundledSegmenter:
    torch.manual_seed(0)
    architecture = dataclasses.replace(SMALL, stf=False, mar=False)
    return BundledSegmenter(ModelInfo("frame", architecture, CAMVID, 360)).eval()


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [frame.view.rgb for frame in drive(make_scene("crowded", 4), 4)]


@pytest.mark.parametrize("height", [96, 240, 480])
def test_the_average_of_one_frame_is_the_plain_stream(model, images, height: int) -> None:
    plain = StreamingSegmenter(model, inference_height=model.info.height)
    average = FlowAverage(model, 1)
    for i, image in enumerate(images[:2]):
        scaled = cv2.resize(image, (height * 4 // 3, height))
        assert np.array_equal(average.push(scaled, i / 10).label, plain.push(scaled, i / 10).label)


def test_the_average_begins_anew_with_images_of_another_size(model, images) -> None:
    average, other = FlowAverage(model, 3), images[1][:64]
    average.push(images[0], 0.0)
    assert np.array_equal(
        average.push(other, 0.1).label, FlowAverage(model, 3).push(other, 0.1).label
    )


def test_the_average_over_a_standing_scene_changes_nothing(model, images) -> None:
    average = FlowAverage(model, 3)
    first = average.push(images[0], 0.0).label
    for i in range(3):
        assert (average.push(images[0], 0.1 * i).label == first).mean() > 0.999


def test_the_average_steadies_labels_of_noisy_images(images) -> None:
    model = load_variants("onboard", "cpu")["frame"]
    random = np.random.default_rng(0)
    noisy = [
        np.clip(images[0] + random.normal(0, 10, images[0].shape), 0, 255).astype(np.uint8)
        for _ in range(4)
    ]
    changes = []
    for frames in (1, 3):
        average = FlowAverage(model, frames)
        labels = [average.push(image, 0.1 * i).label for i, image in enumerate(noisy)]
        changes.append((labels[2] != labels[3]).mean())
    assert changes[1] < 0.8 * changes[0]


def test_disturbances_are_the_same_in_every_run_and_change_the_image(images) -> None:
    for disturbance in DISTURBANCES:
        seen = [disturbance.apply(images[0], 7) for _ in range(2)]
        assert np.array_equal(seen[0], seen[1])
        assert seen[0].dtype == np.uint8 and seen[0].shape == images[0].shape
        changes = disturbance.name not in ("none", "10 % dropped")
        assert np.array_equal(seen[0], images[0]) != changes


def test_a_tenth_of_the_frames_is_dropped() -> None:
    dropped = {d.name: d for d in DISTURBANCES}["10 % dropped"]
    assert 850 < sum(dropped.arrives(i) for i in range(1000)) < 950
    assert all(DISTURBANCES[0].arrives(i) for i in range(1000))
