"""Scores at feature size to labels at image size, without scores at image size.

Bilinear resizing makes each row of pixels from two rows of scores. A few rows are made and reduced
at a time, so that what is worked on stays in the cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stmem_ros.model.layers import resample

# Scores made at a time: 1 MB stays in a cache, 32 MB keep a GPU busy.
ON_CPU, ON_GPU = 2**18, 2**23


def decode(logits: Tensor, stride: float, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The best class of each pixel and its softmax probability.

    Args:
        logits: N x classes x h x w.
        stride: input pixels per feature pixel, on each side.
        height, width: of the image, at most stride times h and w.

    Returns:
        labels N x H x W uint8, and probabilities N x H x W.
    """
    n, classes, feature_rows, _ = logits.shape
    # Columns first: they are few numbers as yet. Rows to the front, to be read as wholes.
    columns = resample(logits, (feature_rows, width), (1.0, stride)).transpose(1, 2).contiguous()
    position = (torch.arange(height, device=logits.device) + 0.5) / stride - 0.5
    position = position.clamp(0, feature_rows - 1)  # of each row of pixels, in feature rows
    above = position.long()
    below = (above + 1).clamp(max=feature_rows - 1)
    fraction = (position - above).to(logits.dtype)[:, None, None]
    # The first of the best classes has the largest rank: faster than a maximum with its index.
    rank = (255 - torch.arange(classes, device=logits.device)).to(torch.uint8)[:, None]
    label = torch.empty((n, height, width), dtype=torch.uint8, device=logits.device)
    probability = torch.empty((n, height, width), dtype=logits.dtype, device=logits.device)
    budget = ON_CPU if logits.device.type == "cpu" else ON_GPU
    length = max(1, budget // (n * classes * width))
    for start in range(0, height, length):
        rows = slice(start, start + length)
        scores = torch.lerp(
            columns.index_select(1, above[rows]),
            columns.index_select(1, below[rows]),
            fraction[rows],
        )
        best = scores.amax(dim=2, keepdim=True)
        label[:, rows] = 255 - ((scores == best) * rank).amax(dim=2)
        probability[:, rows] = scores.sub_(best).exp_().sum(dim=2).reciprocal_()
    return label, probability
