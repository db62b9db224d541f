"""Metrics against values worked out by hand."""

import numpy as np
import pytest

from stmem_ros.evaluation.metrics.boundary import BoundaryScores
from stmem_ros.evaluation.metrics.confusion import ConfusionMatrix
from stmem_ros.evaluation.metrics.temporal import TemporalConsistency, VideoConsistency, warp_label


def test_iou_of_a_small_example() -> None:
    confusion = ConfusionMatrix(3)
    confusion.add(np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 1, 1, 2]], np.uint8))
    assert confusion.iou[:2] == pytest.approx([1 / 2, 1 / 2])
    assert np.isnan(confusion.iou[2])
    assert confusion.miou == pytest.approx(0.5)
    assert confusion.pixel_accuracy == pytest.approx(2 / 3)


def test_a_prediction_that_is_no_class_is_an_error() -> None:
    confusion = ConfusionMatrix(2)
    confusion.add(np.array([[0, 0]], np.uint8), np.array([[0, 255]], np.uint8))
    assert confusion.iou[0] == pytest.approx(0.5)


def test_nothing_seen_is_nan_not_zero() -> None:
    assert np.isnan(ConfusionMatrix(2).miou)
    assert np.isnan(ConfusionMatrix(2).pixel_accuracy)


def test_images_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(2, 3\)"):
        ConfusionMatrix(2).add(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


def moving_texture(frames: int, step: int) -> list[np.ndarray]:
    """Grey images of a texture that moves to the right by ``step`` pixels a frame."""
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (60, 140), np.uint8)
    wide = cv2.GaussianBlur(cv2.resize(noise, (280, 120)), (0, 0), 2)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    return [wide[:, 60 - step * i : 220 - step * i].copy() for i in range(frames)]


def test_labels_are_warped_with_the_motion_not_against_it() -> None:
    before, after = moving_texture(2, step=4)
    label = np.zeros((120, 160), np.uint8)
    label[40:80, 40:80] = 1
    moved = np.roll(label, 4, axis=1)
    inner = np.s_[10:-10, 20:-20]
    agreement = (warp_label(label, before, after)[inner] == moved[inner]).mean()
    assert agreement > 0.99


def test_labels_that_move_along_are_consistent_and_those_that_stay_are_not() -> None:
    frames = [np.dstack([f] * 3) for f in moving_texture(4, step=6)]
    label = (np.indices((120, 160)).sum(0) // 12 % 2).astype(np.uint8)
    along, behind = TemporalConsistency(2), TemporalConsistency(2)
    for i, frame in enumerate(frames):
        along.add(frame, np.roll(label, 6 * i, axis=1))
        behind.add(frame, label)
    assert along.confusion.miou > 0.8
    assert behind.confusion.miou < 0.5


def test_video_consistency_counts_pixels_that_are_right_in_every_frame() -> None:
    reference = [np.array([[0, 0, 1, 1, 255]], np.uint8)] * 3
    predicted = [
        np.array([row], np.uint8) for row in ((0, 0, 1, 0, 9), (0, 1, 1, 1, 9), (0, 0, 1, 1, 9))
    ]
    vc = VideoConsistency(2)
    for r, p in zip(reference, predicted, strict=True):
        vc.add(r, p)
    assert vc.value == pytest.approx((2 / 4 + 3 / 4) / 2)
    vc.restart()
    vc.add(reference[0], predicted[0])
    assert vc.value == pytest.approx((2 / 4 + 3 / 4) / 2)


def square(left: int) -> np.ndarray:
    label = np.zeros((200, 200), np.uint8)
    label[60:140, left : left + 80] = 1
    return label


def boundary(reference: np.ndarray, predicted: np.ndarray) -> BoundaryScores:
    scores = BoundaryScores(2)
    scores.add(reference, predicted)
    return scores


def test_boundary_scores_fall_with_the_distance_of_the_edges() -> None:
    exact, near, far = (boundary(square(60), square(60 + d)) for d in (0, 2, 12))
    assert exact.f == exact.iou == 1
    assert near.f == pytest.approx(1)  # within the tolerance
    assert 0.5 < near.iou < 1
    assert far.f < 0.75 and far.iou < near.iou


def test_unlabelled_pixels_do_not_count_in_boundary_scores() -> None:
    reference = square(60)
    wrong = reference.copy()
    wrong[:, 100:] = 1
    reference[:, 90:] = 255
    assert boundary(reference, wrong).f > 0.95


def test_a_class_that_is_only_predicted_costs_boundary_f() -> None:
    nothing = np.zeros((200, 200), np.uint8)
    assert boundary(nothing, square(60)).f < 0.1
