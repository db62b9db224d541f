"""Training windows."""

import numpy as np

from stmem_ros.data.augment import Augmentation, make_window
from stmem_ros.data.classes import UNLABELLED

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
        window, target = make_window(rgb[None], label, 1, 0, CALM, np.random.default_rng(seed))
        decoded = np.rint(window[0, ..., 0] / 100)
        known = target != UNLABELLED
        assert (decoded[known] == target[known]).mean() > 0.93  # edges are interpolated


def test_a_single_image_gives_a_moving_window_with_the_label_of_the_target() -> None:
    rgb, label = coded_image()
    window, target = make_window(rgb[None], label, 3, 2, CALM, np.random.default_rng(3))
    assert window.shape == (3, 64, 96, 3) and target.shape == (64, 96)
    agreement = [(np.rint(w[..., 0] / 100) == target).mean() for w in window]
    assert agreement[2] > agreement[1] > agreement[0]


def test_images_of_real_motion_are_changed_alike() -> None:
    rgb, label = coded_image()
    still = np.stack([rgb] * 3)
    flicker_free = np.random.default_rng(5)
    window, _ = make_window(still, label, 3, 2, CALM, flicker_free)
    a, b = window[0].astype(float), window[2].astype(float)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.999


def test_the_same_seed_gives_the_same_window() -> None:
    rgb, label = coded_image()
    a, b = (
        make_window(rgb[None], label, 3, 2, Augmentation(), np.random.default_rng(9))
        for _ in range(2)
    )
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
