"""What an evaluation prints."""

from __future__ import annotations

import pytest

from stmem_ros.evaluation.evaluate_dataset import Scores
from stmem_ros.evaluation.report.terminal import comparison_table, dataset_table
from stmem_ros.evaluation.results.comparison import BLOCK, Comparison, Difference, Verdict

NAMES = ("onboard", "a-model-with-a-long-name")


def scores() -> Scores:
    return Scores(
        pixel_accuracy=0.9, miou=0.5, iou={"road": 0.5}, boundary_f=None, boundary_iou=None,
        temporal_consistency=None, vc8=None, vc16=None, flicker=None, ece=None, frames=1,
        parameters=1, gflop_per_frame=1.0, ms_per_frame=1.0, class_share={"road": 1.0},
    )  # fmt: skip


def test_a_table_has_the_whole_name_of_each_model_and_columns_that_line_up() -> None:
    heading, *rows = dataset_table(NAMES, [scores(), scores()]).splitlines()
    assert tuple(heading.split()) == NAMES
    assert {len(row) for row in rows} == {len(heading)}


@pytest.mark.parametrize(("blocks", "said"), [(1, f"more than {BLOCK} frames"), (2, "2 blocks")])
def test_a_comparison_says_what_its_intervals_are_of_or_need(blocks: int, said: str) -> None:
    ends = (None, None) if blocks < 2 else (-0.1, 0.3)
    difference = Difference("miou", 0.5, 0.6, *ends, Verdict.OPEN)
    heading, _ = comparison_table(Comparison(*NAMES, blocks, (difference,))).splitlines()
    assert said in heading
