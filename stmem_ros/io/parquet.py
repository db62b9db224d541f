"""Rows of a dataclass as Parquet files: a column per field; None is null, tuples are lists."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stmem_ros.error_text import error_text
from stmem_ros.io.whole_output import whole_file

ROWS = 1024  # of a row group: what is held before it is written

_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string()}


def schema(kind: type) -> pa.Schema:
    """Columns of a dataclass, by its fields: int, float, str, tuples of them, or None."""
    hints = get_type_hints(kind)
    return pa.schema([(f.name, _column(hints[f.name])) for f in dataclasses.fields(kind)])


class RecordWriter:
    """Writes rows as they come, a row group at a time; use it in a ``with`` statement."""

    def __init__(self, path: Path, kind: type) -> None:
        self._schema = schema(kind)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.close()

    def add(self, record: object) -> None:
        """Add a row."""
        self._rows.append(vars(record))
        if len(self._rows) >= ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []


def concatenate(parts: Iterable[Path], out: Path, kind: type) -> None:
    """All rows of some files in one, in their order, a row group at a time; whole or not at all."""
    with whole_file(out) as whole, pq.ParquetWriter(whole, schema(kind)) as writer:
        for part in parts:
            with pq.ParquetFile(part) as rows:
                for batch in rows.iter_batches(ROWS):
                    writer.write_batch(batch)


def read_rows(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of a file, with some columns or all.

    Raises:
        ValueError: it is missing, damaged, or has not these columns.
    """
    try:
        return pq.read_table(path, columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read: {error_text(error)}") from error


def numbers(table: pa.Table, column: str) -> np.ndarray:
    """A column of numbers as float64, NaN where there is none; lists as rows x length."""
    values = table.column(column).combine_chunks()
    if not pa.types.is_list(values.type):
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    rows = values.to_pylist()
    length = max((len(row) for row in rows if row is not None), default=0)
    return np.array([[np.nan] * length if row is None else row for row in rows], float)


def _column(hint: Any) -> pa.DataType:
    """The Arrow type of ``int``, ``float``, ``str``, a tuple of them, or one of these or None."""
    if get_origin(hint) is types.UnionType:
        hint = next(a for a in get_args(hint) if a is not type(None))
    if get_origin(hint) is tuple:
        return pa.list_(_TYPES[get_args(hint)[0]])
    return _TYPES[hint]
