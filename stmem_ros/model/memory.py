"""The memory bank of MAR as data: what it holds, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass(frozen=True)
class MemoryBank:
    """Items of a memory, class by class.

    Attributes:
        keys: M x C float32, hard features of the training set.
        values: M x C float32, the prototype of each key's class.
        classes: M int64, the class of each item.
        rule: how the keys were chosen, ``confidence`` or ``boundary``.
    """

    keys: Tensor
    values: Tensor
    classes: Tensor
    rule: str

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

    def save(self, path: Path) -> None:
        """Write the bank as one safetensors file."""
        save_file(
            {
                "keys": self.keys.contiguous(),
                "values": self.values.contiguous(),
                "classes": self.classes,
            },
            path,
            {"rule": self.rule},
        )

    @staticmethod
    def load(path: Path) -> MemoryBank:
        """Read a bank written by :meth:`save`.

        Raises:
            ValueError: the file is missing, damaged, or no memory bank; one line names it.
        """
        try:
            with safe_open(path, framework="pt") as file:
                names = set(file.keys())
                if missing := {"keys", "values", "classes"} - names:
                    raise ValueError(f"{path} is no memory bank: it lacks {sorted(missing)}")
                return MemoryBank(
                    file.get_tensor("keys").float(),
                    file.get_tensor("values").float(),
                    file.get_tensor("classes").long(),
                    (file.metadata() or {}).get("rule", "unknown"),
                )
        except (OSError, SafetensorError) as error:
            raise ValueError(f"memory bank {path} cannot be read: {error}") from error
