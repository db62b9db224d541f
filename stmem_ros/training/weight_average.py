"""Weights averaged over training: steadier than those of any one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Running average of a model's weights and batch norm statistics.

    Args:
        model: begins the average.
        decay: share of the average that a step keeps; 0: the average is the model.

    Attributes:
        state: the averages, in the order and by the names of the model's state dict.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self.state: dict[str, Tensor] = {
            key: value.detach().clone() for key, value in model.state_dict().items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's weights after a step."""
        for key, value in self._model.state_dict().items():
            average = self.state[key]
            if self._decay and average.is_floating_point():
                average.lerp_(value, 1 - self._decay)
            else:
                average.copy_(value)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The model holds the averages until the context ends."""
        own = {key: value.clone() for key, value in self._model.state_dict().items()}
        self._model.load_state_dict(self.state)
        try:
            yield
        finally:
            self._model.load_state_dict(own)
