"""Scores at feature size to labels at image size, without scores at image size.

Bilinear resizing by a whole factor s gives s rows of pixels between two rows of scores. They are
made and reduced one of the s at a time, so that what is worked on stays in the cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def decode(logits: Tensor, stride: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The best class of each pixel and its softmax probability.

    Args:
        logits: N x classes x h x w.
        stride: input pixels to a feature pixel, on each side.
        height, width: of the image, at most stride times h and w.

    Returns:
        labels N x H x W uint8, and probabilities N x H x W.
    """
    n, classes, rows, columns = logits.shape
    # Columns first: they are few numbers as yet. Rows to the middle, to be read as wholes.
    wide = F.interpolate(
        logits, size=(rows, columns * stride), mode="bilinear", align_corners=False
    )[..., :width]
    wide = wide.transpose(1, 2).contiguous()
    steps = F.pad(wide[:, 1:] - wide[:, :-1], (0, 0, 0, 0, 1, 1))  # to each row, beyond the last
    # The first of the best classes has the largest of these: faster than a maximum with its index.
    backwards = (255 - torch.arange(classes, device=logits.device)).to(torch.uint8)[:, None]
    label = torch.empty((n, rows, stride, width), dtype=torch.uint8, device=logits.device)
    sure = torch.empty((n, rows, stride, width), dtype=logits.dtype, device=logits.device)
    for phase in range(stride):
        place = (phase + 0.5) / stride - 0.5  # of the pixel's row, from the row of scores
        scores = torch.add(wide, steps[:, :-1] if place < 0 else steps[:, 1:], alpha=place)
        best = scores.amax(dim=2, keepdim=True)
        label[:, :, phase] = 255 - ((scores == best) * backwards).amax(dim=2)
        sure[:, :, phase] = scores.sub_(best).exp_().sum(dim=2).reciprocal_()
    return label.flatten(1, 2)[:, :height], sure.flatten(1, 2)[:, :height]
