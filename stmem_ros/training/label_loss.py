"""The loss over labels, some of which stand for a set of classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stmem_ros.classes import UNLABELLED


@dataclass(frozen=True)
class LabelLoss:
    """Minus the log of the probability that the allowed classes have together, weighed by label.

    A label that allows one class alone gives the cross-entropy.

    Attributes:
        weights: of each label value, L.
        allowed: which of the K classes each label value allows, bool L x K. The first K values are
            the classes themselves.
    """

    weights: Tensor
    allowed: Tensor

    def to(self, device: torch.device) -> LabelLoss:
        """The same on another device."""
        return LabelLoss(self.weights.to(device), self.allowed.to(device))

    def total(self, logits: Tensor, label: Tensor) -> Tensor:
        """Weighed sum over all labelled pixels.

        Args:
            logits: N x K x H x W.
            label: N x H x W int64, 255 unlabelled.
        """
        if self.allowed.shape[0] == self.allowed.shape[1]:
            return F.cross_entropy(
                logits, label, self.weights, ignore_index=UNLABELLED, reduction="sum"
            )
        known = label != UNLABELLED
        values, scores = label[known], logits.movedim(1, -1)[known]
        inside = scores.masked_fill(~self.allowed[values], -torch.inf).logsumexp(dim=1)
        return (self.weights[values] * (scores.logsumexp(dim=1) - inside)).sum()

    def share(self, label: Tensor) -> Tensor:
        """Sum of the weights of all labelled pixels, which makes a mean of the total."""
        return self.weights[label[label != UNLABELLED]].sum()
