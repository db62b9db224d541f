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
        stride: input pixels to a feature pixel, on each side.
        height, width: of the image, at most stride times h and w.

    Returns:
        labels N x H x W uint8, and probabilities N x H x W.
    """
    n, classes, rows, _ = logits.shape
    # Columns first: they are few numbers as yet. Rows to the front, to be read as wholes.
    wide = resample(logits, (rows, width), (1.0, stride)).transpose(1, 2).contiguous()
    place = ((torch.arange(height, device=logits.device) + 0.5) / stride - 0.5).clamp(0, rows - 1)
    above = place.long()
    below = (above + 1).clamp(max=rows - 1)
    part = (place - above).to(logits.dtype)[:, None, None]
    # The first of the best classes has the largest of these: faster than a maximum with its index.
    backwards = (255 - torch.arange(classes, device=logits.device)).to(torch.uint8)[:, None]
    label = torch.empty((n, height, width), dtype=torch.uint8, device=logits.device)
    sure = torch.empty((n, height, width), dtype=logits.dtype, device=logits.device)
    at_once = ON_CPU if logits.device.type == "cpu" else ON_GPU
    some = max(1, at_once // (n * classes * width))
    for start in range(0, height, some):
        made = slice(start, start + some)
        scores = torch.lerp(
            wide.index_select(1, above[made]), wide.index_select(1, below[made]), part[made]
        )
        best = scores.amax(dim=2, keepdim=True)
        label[:, made] = 255 - ((scores == best) * backwards).amax(dim=2)
        sure[:, made] = scores.sub_(best).exp_().sum(dim=2).reciprocal_()
    return label, sure
