"""The loss over labels that stand for sets of classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stmem_ros.classes import UNLABELLED
from stmem_ros.training.label_loss import LabelLoss

# Three classes, and a fourth label value that allows the last two of them.
ALLOWED = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]], dtype=torch.bool)
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 1.5])


def logits() -> torch.Tensor:
    return torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(1))


def test_labels_of_one_class_give_the_cross_entropy() -> None:
    label = torch.randint(0, 3, (2, 8, 10), generator=torch.Generator().manual_seed(2))
    label[0, 0] = UNLABELLED
    wanted = F.cross_entropy(logits(), label, WEIGHTS[:3], ignore_index=UNLABELLED, reduction="sum")
    plain = LabelLoss(WEIGHTS[:3], ALLOWED[:3]).total(logits(), label)
    with_sets = LabelLoss(WEIGHTS, ALLOWED).total(logits(), label)
    assert plain.equal(wanted)
    torch.testing.assert_close(with_sets, wanted)


def test_a_set_costs_minus_the_log_of_its_probability() -> None:
    label = torch.full((2, 8, 10), 3)
    probability = logits().softmax(dim=1)[:, 1:].sum(dim=1)
    found = LabelLoss(WEIGHTS, ALLOWED).total(logits(), label)
    torch.testing.assert_close(found, -1.5 * probability.log().sum())


def test_how_a_set_is_split_costs_nothing() -> None:
    loss = LabelLoss(WEIGHTS, ALLOWED)
    scores = torch.tensor([-30.0, 4.0, -4.0])[None, :, None, None]
    label = torch.full((1, 1, 1), 3)
    assert loss.total(scores, label) < 1e-6
    assert loss.total(scores[:, [0, 2, 1]], label) < 1e-6
    assert loss.total(scores[:, [1, 0, 2]], label) > 10


def test_unlabelled_pixels_do_not_count() -> None:
    loss = LabelLoss(WEIGHTS, ALLOWED)
    label = torch.full((2, 8, 10), UNLABELLED)
    assert loss.total(logits(), label) == 0 and loss.share(label) == 0
    label[0, 0, :2] = torch.tensor([1, 3])
    assert loss.share(label) == 3.5
