"""Files of tensors: those of the format's library, and what a hostile header is refused for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from stmem_ros.model.tensor_file import (
    NAMES,
    TensorFileError,
    read_tensor_header,
    read_tensors,
    write_tensors,
)


def tensors() -> dict[str, torch.Tensor]:
    """One of each type, a scalar, an empty one, a transposed one, and names as people give them."""
    values = torch.arange(-3, 3).reshape(2, 3)
    return {str(dtype): values.to(dtype) for dtype in NAMES} | {
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "transposed": values.T.float(),
        'a "ünusual"\nname': values.half(),
    }


def write(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    count = len(text) if length is None else length
    path.write_bytes(count.to_bytes(8, "little") + text + data)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def test_a_file_is_byte_for_byte_that_of_the_formats_library(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, tensors(), {"rule": "mean"})
    contiguous = {name: tensor.contiguous() for name, tensor in tensors().items()}
    assert path.read_bytes() == save(contiguous, {"rule": "mean"})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, tensors(), {"rule": "mean"})
    read = read_tensors(path)
    for name, tensor in load(path.read_bytes()).items():
        assert read[name].dtype == tensor.dtype and read[name].equal(tensor), name
    assert read.keys() == tensors().keys()
    header = read_tensor_header(path)
    assert header.metadata == {"rule": "mean"}
    assert header.tensors["transposed"].shape == (3, 2)


def test_tensors_that_are_read_may_be_written_to(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", {"one": torch.zeros(2), "two": torch.zeros(2)})
    read = read_tensors(tmp_path / "a")
    read["one"] += 1
    assert read["two"].sum() == 0


@pytest.mark.parametrize(
    ("header", "data", "named"),
    [
        (entry(), bytes(7), "the file has"),
        (entry(), bytes(9), "the file has"),
        (entry(data_offsets=[4, 12]), bytes(12), "gaps"),
        (entry() | {"b": entry()["a"]}, bytes(8), "overlap"),
        (entry(data_offsets=[0, 4]), bytes(4), "do not fit"),
        (entry(data_offsets=[8, 0]), bytes(8), "do not fit"),
        (entry(data_offsets=[-8, 0]), bytes(8), "data_offsets"),
        (entry(data_offsets=[0]), bytes(8), "data_offsets"),
        (entry(shape=[2**62, 4], data_offsets=[0, 0]), b"", "too large"),
        (entry(shape=[0, 2**62], data_offsets=[0, 0]), b"", "too large"),
        (entry(shape=[1] * 100), bytes(8), "shape"),
        (entry(shape=[-2]), bytes(8), "shape"),
        (entry(shape=[2.0]), bytes(8), "shape"),
        (entry(shape="2"), bytes(8), "shape"),
        (entry(dtype="F8_E4M3"), bytes(8), "F8_E4M3.*allowed.*F32"),
        (entry(dtype=["F32"]), bytes(8), "dtype"),
        ({"a": [1]}, b"", "lacks"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__"),
        ([1], b"", "no mapping"),
        (b"\xff\xfe", b"", "cannot be read"),
        (b"[" * 100_000, b"", "cannot be read"),
        (b"", b"", "cannot be read"),
    ],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, header: Any, data: bytes, named: str
) -> None:
    path = write(tmp_path / "a.safetensors", header, data)
    for read in (read_tensor_header, read_tensors):
        with pytest.raises(TensorFileError, match=rf"a\.safetensors.*{named}") as caught:
            read(path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("length", [3, 2**40, 2**64 - 1])
def test_the_length_of_a_header_is_checked_before_it_is_read(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "a", entry(), bytes(8), length)
    with pytest.raises(TensorFileError):
        read_tensors(path)


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(TensorFileError, match=path.name):
            read_tensors(path)
