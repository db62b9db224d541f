"""The terms of the loss, against values worked out by hand."""

import pytest
import torch

from stmem_ros.classes import UNLABELLED
from stmem_ros.training.losses import inconsistency, soft_iou_loss


def sure(label: torch.Tensor, classes: int = 3) -> torch.Tensor:
    """Logits that leave no doubt."""
    return 50 * torch.nn.functional.one_hot(label, classes).movedim(-1, 1).float()


def test_soft_iou_loss_of_sure_answers_is_one_minus_miou() -> None:
    label = torch.tensor([[0, 0, 1, 1]]).repeat_interleave(2, dim=1).repeat(4, 1)[None]
    found = torch.tensor([[0, 1, 1, 1]]).repeat_interleave(2, dim=1).repeat(4, 1)[None]
    loss = soft_iou_loss(sure(found), label)
    assert loss.item() == pytest.approx(1 - (1 / 2 + 2 / 3) / 2, abs=1e-5)


def test_soft_iou_loss_ignores_what_is_unlabelled() -> None:
    label = torch.zeros(1, 4, 4, dtype=torch.long)
    wrong = torch.ones(1, 4, 4, dtype=torch.long)
    assert soft_iou_loss(sure(wrong), torch.full_like(label, UNLABELLED)).item() == 0
    label[:, :2] = UNLABELLED
    label[:, 2:] = 1
    assert soft_iou_loss(sure(wrong), label).item() == pytest.approx(0, abs=1e-6)


def test_labels_that_move_along_are_consistent_and_those_that_stay_are_not() -> None:
    torch.manual_seed(0)
    before = torch.randn(1, 3, 12, 16)
    newest = before.roll(2, dims=3)  # two cells to the right: eight pixels
    flow = torch.zeros(1, 48, 64, 2)
    staying = inconsistency(newest, before, flow)
    flow[..., 0] = -8
    along = inconsistency(newest, before, flow)
    assert along < 0.01 * staying
    assert inconsistency(before, before, torch.zeros_like(flow)) < 1e-6


def test_what_left_the_image_is_not_compared() -> None:
    newest, before = sure(torch.zeros(1, 6, 8).long()), sure(torch.ones(1, 6, 8).long())
    assert inconsistency(newest, before, torch.full((1, 48, 64, 2), 1000.0)).item() == 0
