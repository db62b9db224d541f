"""The running average of a model's weights."""

from __future__ import annotations

import torch
from torch import nn

from stmem_ros.training.weight_average import WeightAverage


def test_the_average_follows_the_weights_by_its_decay() -> None:
    model = nn.BatchNorm2d(2)
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model.weight.add_(1)
        model.running_mean.add_(10)
    average.update()
    torch.testing.assert_close(average.state["weight"], torch.full((2,), 1.1))
    torch.testing.assert_close(average.state["running_mean"], torch.full((2,), 1.0))


def test_without_a_decay_it_is_the_model() -> None:
    model = nn.Conv2d(2, 2, 1)
    average = WeightAverage(model, 0.0)
    with torch.no_grad():
        model.weight.add_(1)
    average.update()
    assert average.state["weight"].equal(model.weight)


def test_the_model_holds_the_average_for_a_while() -> None:
    model = nn.Conv2d(2, 2, 1)
    average = WeightAverage(model, 0.9)
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1)
    with average.in_model():
        assert model.weight.equal(before)
    assert model.weight.equal(before + 1)
