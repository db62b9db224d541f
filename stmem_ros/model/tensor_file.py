"""Tensors as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write beside, then rename: who reads meanwhile finds a whole file.

    The file gets the permissions that the system gives new ones; safetensors' own ``save_file``
    leaves it to its owner alone, and a bundle is made by one user and run by another.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(save({k: v.contiguous() for k, v in tensors.items()}, metadata))
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
