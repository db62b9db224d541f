"""Training windows."""

import dataclasses

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.augment import Augmentation, TrainingWindow, make_window
from stmem_ros.data.optical_flow import warp
from stmem_ros.training.batches import paste_rare

CALM = Augmentation(
    crop=(64, 96), brightness=0, contrast=0, saturation=0, noise=0, occluder=0, motion=0.05
)


def coded_image() -> tuple[np.ndarray, np.ndarray]:
    """An image whose grey levels tell its labels."""
    label = (np.indices((90, 120)).sum(0) // 30 % 3).astype(np.uint8)
    return np.dstack([label * 100] * 3), label


def test_labels_stay_with_their_pixels() -> None:
    rgb, label = coded_image()
    for seed in range(20):
        made = make_window(rgb[None], label, 1, 0, CALM, np.random.default_rng(seed))
        window, target = made.images, made.label
        decoded = np.rint(window[0, ..., 0] / 100)
        known = target != UNLABELLED
        assert (decoded[known] == target[known]).mean() > 0.93  # edges are interpolated


def test_a_single_image_gives_a_moving_window_with_the_label_of_the_target() -> None:
    rgb, label = coded_image()
    made = make_window(rgb[None], label, 3, 2, CALM, np.random.default_rng(3))
    window, target = made.images, made.label
    assert window.shape == (3, 64, 96, 3) and target.shape == (64, 96)
    agreement = [(np.rint(w[..., 0] / 100) == target).mean() for w in window]
    assert agreement[2] > agreement[1] > agreement[0]


def test_images_of_real_motion_are_changed_alike() -> None:
    rgb, label = coded_image()
    still = np.stack([rgb] * 3)
    flicker_free = np.random.default_rng(5)
    window = make_window(still, label, 3, 2, CALM, flicker_free).images
    a, b = window[0].astype(float), window[2].astype(float)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.999


def test_the_same_seed_gives_the_same_window() -> None:
    rgb, label = coded_image()
    a, b = (
        make_window(rgb[None], label, 3, 2, Augmentation(), np.random.default_rng(9))
        for _ in range(2)
    )
    assert np.array_equal(a.images, b.images) and np.array_equal(a.label, b.label)


def test_the_flow_leads_from_the_target_to_the_frame_before() -> None:
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (45, 60), np.uint8), (480, 360))
    rgb = np.dstack([texture] * 3)
    settings = dataclasses.replace(CALM, crop=(240, 320))
    for images in (rgb[None], np.stack([np.roll(rgb, 5 * i, axis=1) for i in range(3)])):
        made = make_window(images, np.zeros((360, 480), np.uint8), 3, 2, settings, seeded(4))
        target, before = (made.images[t, ..., 0].astype(float) for t in (2, 1))
        carried = warp(before, made.flow, cv2.INTER_LINEAR)
        inner = np.s_[30:-30, 40:-40]
        moved = np.abs(target - before)[inner].mean()
        assert moved > 8
        assert np.abs(target - carried)[inner].mean() < 0.3 * moved


def test_degraded_windows_keep_their_size() -> None:
    rgb, label = coded_image()
    settings = dataclasses.replace(CALM, degrade=1.0)
    made = make_window(rgb[None], label, 2, 1, settings, seeded(1))
    assert made.images.shape == (2, 64, 96, 3) and made.images.dtype == np.uint8
    plain = make_window(rgb[None], label, 2, 1, CALM, seeded(1))
    assert 0 < np.abs(made.images.astype(int) - plain.images).mean() < 20


def test_rare_things_are_pasted_with_their_labels() -> None:
    label = np.zeros((40, 60), np.uint8)
    other_label = np.full((40, 60), 3, np.uint8)
    other_label[10:14, 20:24] = 2
    rgb = [np.full((1, 40, 60, 3), value, np.uint8) for value in (10, 200)]
    flow = np.zeros((40, 60, 2), np.float32)
    window = TrainingWindow(rgb[0], label, flow)
    paste_rare(window, TrainingWindow(rgb[1], other_label, flow))
    assert np.array_equal(window.label == 2, other_label == 2)
    assert np.array_equal(window.images[0, ..., 0] == 200, other_label == 2)
    assert set(np.unique(window.label)) == {0, 2}


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
