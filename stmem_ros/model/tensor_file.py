"""Tensors as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from stmem_ros.io.whole_output import whole_file


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file.

    It gets the permissions that the system gives new ones; safetensors' own ``save_file``
    leaves it to its owner alone, and a bundle is made by one user and run by another.
    """
    with whole_file(path) as part:
        part.write_bytes(save({k: v.contiguous() for k, v in tensors.items()}, metadata))
