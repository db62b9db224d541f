"""Accumulators: what is added from parts is what is counted at once; figures worked out by hand."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.mapper import MapUpdate
from stmem_ros.costmap.rules import default_rules
from stmem_ros.evaluation.metrics.accumulator import MeanShare
from stmem_ros.evaluation.metrics.calibration import Calibration
from stmem_ros.evaluation.metrics.confusion import ConfusionMatrix
from stmem_ros.evaluation.metrics.grid_scores import GridAgreement, GridCoverage
from stmem_ros.evaluation.metrics.label_scorer import LabelScorer
from stmem_ros.evaluation.metrics.sums import Sums
from stmem_ros.evaluation.metrics.temporal import Flicker
from stmem_ros.frames import PlacedMap, View
from stmem_ros.geometry.camera import CameraModel, Mounting

ROAD, CAR = 3, 8


def scored(seed: int, frames: int = 9) -> Sums:
    random = np.random.default_rng(seed)
    scorer = LabelScorer(11)
    reference = random.integers(0, 11, (40, 50), np.uint8)
    for i in range(frames):
        rgb = random.integers(0, 256, (40, 50, 3), np.uint8)
        wrong = random.random((40, 50)) < 0.1
        label = np.where(wrong, 10 - reference, reference)
        confidence = random.integers(0, 256, (40, 50), np.uint8)
        scorer.add(rgb, label, confidence, reference, i / 7)
    return scorer.sums


def test_parts_add_up_to_the_same_in_any_order_and_through_json() -> None:
    totals = []
    for order in permutations(range(3)):
        total = Sums.zero(11)
        for seed in order:
            through_json = json.loads(json.dumps(scored(seed).to_json()))
            total += Sums.from_json(through_json, 11)
        totals.append(total.to_json())
    assert all(total == totals[0] for total in totals)
    assert totals[0]["counts"]["scored"] == 27
    assert totals[0]["vc8"]["count"] == 6 and totals[0]["vc8"]["total"] > 0


def test_counts_of_another_label_set_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ConfusionMatrix\.counts.*\(11, 11\)"):
        Sums.from_json(scored(0).to_json(), 19)


def test_a_mean_of_shares_is_exact_to_twelve_digits() -> None:
    mean = MeanShare()
    shares = np.random.default_rng(0).random(1000)
    for share in shares:
        mean.add(float(share))
    assert mean.value == pytest.approx(shares.mean(), abs=1e-12)
    assert np.isnan(MeanShare().value)


def test_flicker_counts_changes_a_pixel_and_second() -> None:
    pair = ConfusionMatrix(2)
    pair.add(np.array([[0, 0, 0, 1]], np.uint8), np.array([[0, 0, 1, 1]], np.uint8))
    flicker = Flicker(2)
    flicker.add(pair, seconds=0.5)
    assert flicker.rate == pytest.approx(1 / (4 * 0.5))
    assert flicker.class_rates == pytest.approx([1 / (3 * 0.5), 0])
    flicker.add(pair, seconds=1.5)
    assert flicker.rate == pytest.approx(2 / (4 * 2.0))


@pytest.mark.filterwarnings("error")
def test_flicker_in_no_time_is_not_known() -> None:
    pair = ConfusionMatrix(2)
    pair.add(np.array([[0, 0, 0, 1]], np.uint8), np.array([[0, 0, 1, 1]], np.uint8))
    flicker = Flicker(2)
    flicker.add(pair, seconds=1e-7)
    assert np.isnan(flicker.class_rates).all()


def test_calibration_error_is_the_gap_between_sure_and_right() -> None:
    calibration = Calibration()
    reference = np.zeros((1, 10), np.uint8)
    label = np.array([[0] * 6 + [1] * 4], np.uint8)
    sure = np.full((1, 10), 255, np.uint8)
    calibration.add(reference, label, sure, classes=2)
    assert calibration.ece == pytest.approx(0.4)
    assert calibration.mean_confidence == 1
    half = np.full((1, 10), 153, np.uint8)  # 0.6, of which 6 in 10 are right
    good = Calibration()
    good.add(reference, label, half, classes=2)
    assert good.ece == pytest.approx(0, abs=1e-9)
    calibration += good
    assert calibration.ece == pytest.approx(0.2)


def test_unlabelled_pixels_do_not_count_in_calibration() -> None:
    calibration = Calibration()
    unlabelled = np.full((2, 2), 255, np.uint8)
    calibration.add(unlabelled, unlabelled, np.full((2, 2), 51, np.uint8), classes=2)
    assert np.isnan(calibration.ece) and calibration.mean_confidence == pytest.approx(0.2)


def test_video_consistency_needs_references_in_a_row() -> None:
    zeros = np.zeros((16, 16), np.uint8)
    scorer = LabelScorer(2)
    for i in range(20):
        scorer.add(np.dstack([zeros] * 3), zeros, None, None if i == 9 else zeros, i / 10)
    assert scorer.sums.vc8.count == 2 + 3  # of the frames before and after
    assert scorer.sums.vc16.count == 0


def placed(label: np.ndarray, cost: np.ndarray) -> PlacedMap:
    """A grid of 1 m cells whose corner lies 10 m behind and right of a base turned to the left."""
    grid = GridSnapshot((-10.0, -10.0), 1.0, label, cost, np.zeros_like(label), {})
    pose = np.eye(4)
    pose[:2, :2] = [[0, -1], [1, 0]]
    camera = CameraModel(100, 80, ((60.0, 0, 49.5), (0, 60.0, 39.5), (0, 0, 1)))
    view = View(camera, np.linalg.inv(Mounting(1.5, 0.2).base_from_camera()))
    nothing = np.zeros((0, 3))
    return PlacedMap(MapUpdate(grid, nothing, np.zeros(0, np.uint8)), "odom", pose, view)


def test_points_tell_which_cells_are_wrongly_free_or_lethal() -> None:
    label = np.full((20, 20), 255, np.uint8)
    cost = np.full((20, 20), -1, np.int8)
    for x, what in ((15, ROAD), (16, CAR), (17, ROAD), (18, CAR)):  # 5.5 m to 8.5 m along y
        label[x, 10], cost[x, 10] = what, 0 if what == ROAD else 100
    points = np.array(
        [
            [5.5, -0.5, 0.8],  # a car that the grid calls free
            [6.5, -0.5, 1.2],  # one it knows
            [7.5, -0.5, 0.05],  # road it knows
            [8.5, -0.5, -0.1],  # road it calls lethal
            [8.5, 5.5, 1.0],  # a cell it does not know
            [5.5, 1.5, 1.0],  # doubtful ground that is not
            [6.5, 1.5, 0.0],  # and that is
            [7.5, -0.5, 3.0],  # a branch above the road
            [200.0, 0.0, 1.0],  # far away
        ]
    )
    cost[[15, 16], 8] = 60
    agreement = GridAgreement()
    agreement.add(placed(label, cost), points, default_rules(CAMVID), 25.0, 2.5)
    assert (agreement.occupied, agreement.occupied_free) == (2, 1)
    assert (agreement.ground, agreement.ground_lethal) == (2, 1)
    assert agreement.occupied_not_free == agreement.ground_not_lethal == 0.5
    assert agreement.occupied_doubtful == 1 and agreement.doubtful_share == 1 / 3


def test_coverage_is_of_the_ground_in_view() -> None:
    everywhere = np.full((20, 20), ROAD, np.uint8)
    coverage = GridCoverage()
    coverage.add(placed(everywhere, np.zeros((20, 20), np.int8)), max_range=8.0)
    assert coverage.share == 1
    in_view = int(coverage.in_view)
    assert 10 < in_view < 100  # a cone ahead, not the circle of 200 cells around
    half = everywhere.copy()
    half[15:] = 255  # from 5 m on along y, which is ahead
    coverage = GridCoverage()
    coverage.add(placed(half, np.zeros((20, 20), np.int8)), max_range=8.0)
    assert coverage.in_view == in_view and 0.1 < coverage.share < 0.9
    behind = everywhere.copy()
    behind[:10] = 255
    coverage = GridCoverage()
    coverage.add(placed(behind, np.zeros((20, 20), np.int8)), max_range=8.0)
    assert coverage.share == 1
