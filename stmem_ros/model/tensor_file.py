"""Files of tensors in the safetensors format, read and written without its library.

Eight bytes hold the length of a JSON header, little-endian; the header tells the type, shape and
place of each tensor; their bytes follow, without gaps. Nothing in a file is run.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stmem_ros.io.file_kind import why_unreadable
from stmem_ros.io.whole_output import whole_file

# In the order of the format's library, which writes those of the last types first.
TYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32, "F32": torch.float32,
    "F64": torch.float64, "I64": torch.int64,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in TYPES.items()}
METADATA = "__metadata__"
LENGTH = 8  # bytes of the header's length
LONGEST_HEADER = 10_000_000  # bytes; the format allows ten times that
MOST_DIMENSIONS = 16
LARGEST = 2**48  # elements, those of empty tensors' other dimensions too


class TensorFileError(ValueError):
    """A file of tensors cannot be read; one line names it and what is wrong."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: type, shape, and its bytes from ``begin`` to ``end`` of all tensors'."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class TensorFileHeader:
    """What a file says of itself: free texts, its tensors by name, and where their bytes begin."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, StoredTensor]
    start: int


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a file of tensors, whole or not at all."""
    order = list(TYPES)
    names = sorted(tensors, key=lambda name: (-order.index(NAMES[tensors[name].dtype]), name))
    content: dict[str, Any] = {METADATA: metadata} if metadata else {}
    end = 0
    for name in names:
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        content[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    header = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % LENGTH)
    with whole_file(path) as part, part.open("wb") as file:
        file.write(len(header).to_bytes(LENGTH, "little") + header)
        for name in names:
            file.write(tensors[name].detach().cpu().reshape(-1).view(torch.uint8).numpy().data)


def read_tensor_header(path: Path) -> TensorFileHeader:
    """What a file holds; the tensors themselves are not read.

    Raises:
        TensorFileError: it is missing, damaged, or no such file.
    """
    try:
        with path.open("rb") as file:
            return _header(file, path.stat().st_size)
    except (OSError, ValueError, RecursionError) as error:
        raise TensorFileError(why_unreadable(path, error)) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name, on the CPU.

    Raises:
        TensorFileError: it is missing, damaged, or no such file.
    """
    header = read_tensor_header(path)
    try:
        with path.open("rb") as file:
            return {
                name: _tensor(file, header.start, stored) for name, stored in header.tensors.items()
            }
    except (OSError, ValueError) as error:
        raise TensorFileError(why_unreadable(path, error)) from error


def _tensor(file: BufferedReader, start: int, stored: StoredTensor) -> Tensor:
    if stored.begin == stored.end:
        return torch.empty(stored.shape, dtype=stored.dtype)
    data = bytearray(stored.end - stored.begin)
    file.seek(start + stored.begin)
    if file.readinto(data) != len(data):
        raise ValueError("the file is cut off")
    return torch.frombuffer(data, dtype=stored.dtype).reshape(stored.shape)


def _header(file: BufferedReader, size: int) -> TensorFileHeader:
    length = int.from_bytes(file.read(LENGTH), "little")
    start = LENGTH + length
    if length > LONGEST_HEADER or start > size:
        raise ValueError(f"its header would have {length} bytes; the file has {size}")
    content = json.loads(file.read(length))
    if not isinstance(content, dict):
        raise ValueError("its header is no mapping")
    metadata = content.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{METADATA} of its header must map names to texts")
    tensors = {name: _stored(name, entry) for name, entry in content.items()}
    end = 0
    for stored in sorted(tensors.values(), key=lambda stored: (stored.begin, stored.end)):
        if stored.begin != end:
            raise ValueError("its tensors overlap, or have gaps between them")
        end = stored.end
    if start + end != size:
        raise ValueError(f"its tensors end at byte {start + end}; the file has {size}")
    return TensorFileHeader(metadata, tensors, start)


def _stored(name: str, entry: Any) -> StoredTensor:
    """One tensor of a header."""
    shown = f"tensor {name[:80]!r} of its header"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"{shown} lacks dtype, shape or data_offsets")
    dtype, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in TYPES:
        raise ValueError(f"{shown} has dtype {str(dtype)[:80]!r}; allowed: {', '.join(TYPES)}")
    if not _are_counts(shape) or len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"{shown} has no shape of at most {MOST_DIMENSIONS} whole numbers")
    if math.prod(max(extent, 1) for extent in shape) > LARGEST:
        raise ValueError(f"{shown} has too large a shape")
    stored = TYPES[dtype]
    if not _are_counts(place) or len(place) != 2:
        raise ValueError(f"{shown} has no two data_offsets")
    if place[1] - place[0] != math.prod(shape) * stored.itemsize:
        raise ValueError(f"{shown} has data_offsets that do not fit its shape")
    return StoredTensor(stored, tuple(shape), *place)


def _are_counts(value: Any) -> bool:
    """Whether it is a list of whole numbers from 0 on."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
