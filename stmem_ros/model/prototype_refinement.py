"""Prototype refinement: what of MAR an on-board computer can afford, and needs no training.

What a class looks like differs from street to street and from hour to hour. Each class has a
prototype in the memory, of the whole training set, and one in the image at hand; a pixel moves by
the difference of the two, as far as it is likely to be of the class. The memory, and moving
features toward the prototypes of their classes, are of Zhuang, Wang and Li, arXiv 2301.03832; that
the image's own prototypes are where they move from is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Share of the image at which a class is judged half by its own pixels; chosen on streets that the
# network knows and on others (docs/notes/streets.md).
RARE = 0.03


class PrototypeRefinement(nn.Module):
    """Moves features from the image's class prototypes to those of the memory.

    ``keys`` and ``values`` (classes x C) hold the memory: what a class is expected to look like
    before the image is seen, and what its features are moved to.

    Args:
        channels: C of the features.
        classes: number of classes.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.zeros(classes, channels))
        self.values = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: Tensor, probability: Tensor) -> Tensor:
        """Features N x C x h x w in and out, with class probabilities N x K x h x w."""
        pixels, weights = x.flatten(2).mT, probability.flatten(2).mT.to(x.dtype)
        scale = pixels.shape[1] ** -0.5  # in two steps: sums of half precision stay in range
        mean = ((weights * scale).mT @ pixels) * scale
        share = weights.mean(dim=1)[..., None]
        prototypes = (mean + RARE * self.keys) / (share + RARE)  # of the image
        return x + (weights @ (self.values - prototypes)).mT.unflatten(2, x.shape[2:])
