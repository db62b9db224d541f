"""How strange an image is to a model: night, snow, a covered lens, an office.

Of an image's features the mean is taken over all pixels. Those of known streets have a mean and a
spread, the memory; how far an image's lies from them is measured in that spread (Mahalanobis).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stmem_ros.model.tensor_file import TensorFileError, read_tensors, write_tensors

SHRINKAGE = 0.1  # of the spread toward that of a sphere: few images tell it


@dataclass(frozen=True)
class Familiarity:
    """What the features of known images are like.

    Attributes:
        mean: C.
        precision: the inverse of their spread, C x C.
    """

    mean: Tensor
    precision: Tensor

    @staticmethod
    def of(means: Tensor) -> Familiarity:
        """Of the features' means of known images, images x C.

        Raises:
            ValueError: there are fewer than two.
        """
        if len(means) < 2:
            raise ValueError(f"{len(means)} images tell no spread; two or more are needed")
        spread = torch.cov(means.T.double())
        sphere = spread.diagonal().mean() * torch.eye(len(spread), dtype=spread.dtype)
        spread = torch.lerp(spread, sphere, SHRINKAGE)
        return Familiarity(means.mean(dim=0), torch.linalg.inv(spread).float())

    @staticmethod
    def load(path: Path) -> Familiarity:
        """Read a file that :meth:`save` wrote.

        Raises:
            TensorFileError: it cannot be read, or holds something else.
        """
        tensors = read_tensors(path)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        channels = len(tensors.get("mean", ()))
        if shapes != {"mean": (channels,), "precision": (channels, channels)}:
            raise TensorFileError(f"{path} holds {shapes}; expected mean C and precision C x C")
        return Familiarity(tensors["mean"].float(), tensors["precision"].float())

    def save(self, path: Path) -> None:
        """Write it as a file of tensors."""
        write_tensors(path, {"mean": self.mean, "precision": self.precision})

    def to(self, device: torch.device) -> Familiarity:
        """The same on a device."""
        return Familiarity(self.mean.to(device), self.precision.to(device))

    def strangeness(self, features: Tensor) -> Tensor:
        """How far images lie from known ones, N, of features N x C or more x h x w.

        About 0.6 for those of known streets, and rarely above 1.3.
        """
        apart = image_means(features, len(self.mean)) - self.mean
        return ((apart @ self.precision) * apart).mean(dim=1).clamp(min=0).sqrt()


def image_means(features: Tensor, channels: int) -> Tensor:
    """Mean of the first ``channels`` features of each image, N x C, of N x C or more x h x w."""
    return features[:, :channels].mean(dim=(2, 3), dtype=torch.float32)
