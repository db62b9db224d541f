"""Changes of light, weather and lens."""

from __future__ import annotations

import numpy as np
import pytest

from stmem_ros.data.augment import Augmentation, make_window
from stmem_ros.data.weather import CHANGES, Change, change_weather

CALM = Augmentation(
    crop=(60, 80), scale=(1, 1), brightness=0, contrast=0, saturation=0, noise=0, occluder=0
)


def window() -> np.ndarray:
    random = np.random.default_rng(1)
    one = random.uniform(20, 235, (1, 12, 16, 3)).repeat(5, axis=1).repeat(5, axis=2)
    return one.repeat(2, axis=0).astype(np.float32)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_seen_and_is_alike_in_all_images(change: Change) -> None:
    before = window()
    after = change(before.copy(), np.random.default_rng(2))
    assert after.shape == before.shape
    assert np.abs(after - before).mean() > 0.5
    np.testing.assert_allclose(after[0], after[1])


def test_images_stay_grey_levels_and_the_same_generator_gives_the_same() -> None:
    for seed in range(20):
        changed = change_weather(window(), 0.7, np.random.default_rng(seed))
        assert changed.dtype == np.float32 and changed.min() >= 0 and changed.max() <= 255
        again = change_weather(window(), 0.7, np.random.default_rng(seed))
        np.testing.assert_array_equal(changed, again)


def test_without_a_probability_nothing_changes() -> None:
    np.testing.assert_array_equal(change_weather(window(), 0.0, np.random.default_rng(1)), window())


def test_another_camera_moves_labels_with_their_pixels() -> None:
    label = (np.indices((120, 160)).sum(0) // 40 % 3).astype(np.uint8)
    rgb = np.dstack([label * 100] * 3)
    settings = Augmentation(**{**vars(CALM), "stretch": 0.3, "roll": 0.2})
    for seed in range(10):
        made = make_window(rgb[None], label, 1, 0, settings, np.random.default_rng(seed))
        known = made.label != 255
        decoded = np.rint(made.images[0, ..., 0] / 100)
        assert (decoded[known] == made.label[known]).mean() > 0.93  # edges are interpolated
