"""The memory bank of MAR as data: what it holds, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stmem_ros.model.tensor_file import (
    TensorFileError,
    read_tensor_header,
    read_tensors,
    write_tensors,
)


def item_classes(classes: int, items_per_class: int) -> Tensor:
    """The class of each item of a class-major memory, int64."""
    return torch.arange(classes).repeat_interleave(items_per_class)


@dataclass(frozen=True)
class MemoryBank:
    """Items of a memory, class by class.

    Attributes:
        keys: M x C float32, hard features of the training set; of the light form prototypes too.
        values: M x C float32, the prototype of each key's class.
        classes: M int64, the class of each item.
        rule: how the keys were chosen, ``confidence``, ``boundary`` or ``mean``.
        places: M x 3 int64, where each key was found: training sample, row and column in feature
            pixels; None where that is not known.
    """

    keys: Tensor
    values: Tensor
    classes: Tensor
    rule: str
    places: Tensor | None = None

    def __post_init__(self) -> None:
        if self.keys.shape != self.values.shape or self.keys.ndim != 2:
            raise ValueError(
                f"memory bank: keys are {tuple(self.keys.shape)} and values "
                f"{tuple(self.values.shape)}; both must be items x channels"
            )
        if self.classes.shape != self.keys.shape[:1]:
            raise ValueError(
                f"memory bank: {self.classes.numel()} classes for {len(self.keys)} items"
            )
        for name in ("keys", "values"):
            if not torch.isfinite(getattr(self, name)).all():
                raise ValueError(f"memory bank: {name} hold values that are not finite")

    def nearest_class(self) -> Tensor:
        """For each key the class whose prototype lies nearest (Euclidean), M int64."""
        present = self.classes.unique()
        prototypes = torch.stack([self.values[self.classes == c].mean(0) for c in present])
        return present[torch.cdist(self.keys, prototypes).argmin(dim=1)]

    def save(self, path: Path) -> None:
        """Write the bank as one safetensors file."""
        tensors = {"keys": self.keys, "values": self.values, "classes": self.classes}
        if self.places is not None:
            tensors["places"] = self.places
        write_tensors(path, tensors, {"rule": self.rule})

    @staticmethod
    def load(path: Path) -> MemoryBank:
        """Read a bank written by :meth:`save`.

        Raises:
            ValueError: the file is missing, damaged, or no memory bank; one line names it.
        """
        try:
            header, tensors = read_tensor_header(path), read_tensors(path)
        except TensorFileError as error:
            raise ValueError(f"memory bank {error}") from error
        if missing := {"keys", "values", "classes"} - tensors.keys():
            raise ValueError(f"{path} is no memory bank: it lacks {sorted(missing)}")
        return MemoryBank(
            keys=tensors["keys"].float(),
            values=tensors["values"].float(),
            classes=tensors["classes"].long(),
            rule=header.metadata.get("rule", "unknown"),
            places=tensors.get("places"),
        )
