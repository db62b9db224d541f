"""Surfaces without texture, as the network sees some in training."""

from __future__ import annotations

import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.augment import Augmentation, make_window
from stmem_ros.data.plain import make_plain

ROAD, SKY, BUILDING = 3, 0, 1


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A textured street below a wall and the sky, with a strip that has no label."""
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    label = np.full((60, 80), ROAD, np.uint8)
    label[:20], label[20:30], label[30:32] = SKY, BUILDING, UNLABELLED
    return image, label


def test_regions_keep_at_most_a_part_of_their_texture() -> None:
    image, label = scene()
    for seed in range(40):
        plain, plain_label = make_plain(image, label, np.random.default_rng(seed))
        for value in np.unique(plain_label[plain_label != UNLABELLED]):
            assert plain[plain_label == value].std(axis=0).max() < 0.5 * image.std()


def test_some_images_show_the_ground_below_a_horizon_and_nothing_else() -> None:
    image, label = scene()
    labels = [make_plain(image, label, np.random.default_rng(seed))[1] for seed in range(40)]
    bare = [found for found in labels if not (found == label).all()]
    assert 5 < len(bare) < 30
    for found in bare:
        assert set(np.unique(found)) == {ROAD, SKY}
        assert (found[0] == SKY).all() and (found[-1] == ROAD).all()


def test_what_is_unlabelled_stays_as_it_is() -> None:
    image, label = scene()
    same = np.full_like(label, UNLABELLED)
    plain, found = make_plain(image, same, np.random.default_rng(0))
    assert (plain == image).all() and (found == same).all()


def test_windows_are_plain_with_the_probability_that_is_asked_for() -> None:
    image, label = scene()
    settings = Augmentation(crop=(60, 80), scale=(1.0, 1.0), noise=0.0, plain=0.3)
    textured = sum(
        make_window(image[None], label, 1, 0, settings, np.random.default_rng(seed))
        .images[0][:20]
        .std()
        > 40
        for seed in range(100)
    )
    assert 55 < textured < 85
