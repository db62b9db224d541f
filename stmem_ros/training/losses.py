"""The losses of training, and the weights of the classes in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stmem_ros.classes import UNLABELLED
from stmem_ros.training.config import StageConfig
from stmem_ros.training.samples import Samples


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


def label_loss(samples: Samples, settings: StageConfig) -> LabelLoss:
    """The loss of a stage on its samples."""
    allowed = torch.from_numpy(samples.allowed)
    weights = class_weights(samples) if settings.class_balance else torch.ones(len(allowed))
    return LabelLoss(weights, allowed)


def class_weights(samples: Samples) -> Tensor:
    """Weights 1/sqrt(frequency) of the label values, their mean over labelled pixels being 1."""
    values = len(samples.allowed)
    counts = np.zeros(256)
    indices = range(len(samples))
    for i in tqdm(indices, desc="counting labels", unit="frame", leave=False, disable=None):
        counts += np.bincount(samples.label(i).reshape(-1), minlength=256)
    share = counts[:values] / max(1.0, counts[:values].sum())
    weights = 1 / np.sqrt(np.maximum(share, 1e-6))
    return torch.tensor(weights / max(1e-6, (weights * share).sum()), dtype=torch.float32)


def soft_iou_loss(logits: Tensor, label: Tensor) -> Tensor:
    """One minus the mean IoU of the probabilities over the classes that the batch shows.

    Rare classes weigh as much as frequent ones, as they do in mIoU (Rahman and Wang, ISVC 2016).
    Every second row and column is enough to estimate it. Labels that name no single class do not
    count.
    """
    logits, label = logits[..., ::2, ::2], label[..., ::2, ::2]
    known = label < logits.shape[1]
    truth = label[known]
    if not len(truth):
        return logits.sum() * 0
    probability = logits.softmax(dim=1).movedim(1, -1)[known]  # pixels x classes
    of_truth = probability.gather(1, truth[:, None])[:, 0]
    shared = torch.zeros_like(probability[0]).index_add(0, truth, of_truth)
    count = torch.bincount(truth, minlength=logits.shape[1])
    union = probability.sum(dim=0) + count - shared
    return 1 - (shared / union)[count > 0].mean()


def inconsistency(newest: Tensor, before: Tensor, flow: Tensor) -> Tensor:
    """How much the class probabilities of two successive frames differ along their motion.

    Symmetric Kullback-Leibler divergence, mean over what both frames see. Labels alone do not ask
    for it: where a network is unsure, any of its answers costs the same, steady or not.

    Args:
        newest, before: logits N x classes x h x w.
        flow: N x H x W x 2, where each image pixel of ``newest`` lies in ``before``, as a shift.
    """
    height, width = flow.shape[1:3]
    size = torch.tensor([width, height], device=flow.device)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=flow.device),
        torch.arange(width, device=flow.device),
        indexing="ij",
    )
    there = (torch.stack([columns, rows], dim=-1) + flow + 0.5) / size * 2 - 1
    grid = F.interpolate(there.movedim(-1, 1), newest.shape[-2:], mode="area").movedim(1, -1)
    seen = (grid.abs().amax(dim=-1) <= 1).float()
    log_newest = newest.log_softmax(dim=1)
    carried = F.grid_sample(before.softmax(dim=1), grid, padding_mode="border", align_corners=False)
    carried = carried.clamp(min=1e-5)
    divergence = ((log_newest.exp() - carried) * (log_newest - carried.log())).sum(dim=1)
    return (divergence * seen).sum() / seen.sum().clamp(min=1)
