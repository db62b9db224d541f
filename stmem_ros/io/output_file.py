"""Files that a command is asked to write, checked before its work begins.

Such a file replaces nothing unless that is asked for; see also :mod:`stmem_ros.io.output_folder`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from stmem_ros.io.output_folder import MARKER, OutputError, refuse_inputs_in


def check_output_file(path: Path | None, inputs: Sequence[Path] = (), force: bool = False) -> None:
    """Check that a file can be written; None, for a file that is not asked for, always can.

    Args:
        inputs: files that are read, and folders of them.
        force: it may replace a file that is there.

    Raises:
        OutputError: it is there already, is no file or of an input, or its folder is not there or
            cannot be written to.
    """
    if path is None:
        return
    if path.exists() and not path.is_file():
        raise OutputError(f"output {path} is no file; name a file")
    for source in inputs:
        inside = path.resolve().is_relative_to(source.resolve())
        if inside and (path.exists() or path.resolve() == source.resolve()):
            raise OutputError(f"output {path} is of the input {source}; choose another")
    if path.exists() and not force:
        raise OutputError(
            f"output {path} is there already; choose another, or --force to replace it"
        )
    if not path.parent.is_dir():
        raise OutputError(f"output {path}: its folder {path.parent} is not there; make it first")
    _try_to_write(path, path.parent)


def check_output_files(path: Path, inputs: Sequence[Path] = (), force: bool = False) -> None:
    """Check that a folder of files, such as a bundle, can be made.

    Args:
        inputs: files and folders that are read; none may lie in the folder.
        force: its files may replace those of the same names in a folder that is there.

    Raises:
        OutputError: the folder holds files already, is a file, contains an input, or cannot be
            written to.
    """
    refuse_inputs_in(path, inputs)
    if path.exists() and not path.is_dir():
        raise OutputError(f"output folder {path} is a file; choose another")
    held = [entry for entry in path.iterdir() if entry.name != MARKER] if path.is_dir() else []
    if held and not force:
        raise OutputError(
            f"output folder {path} holds files already, such as {min(held).name!r}; choose "
            "another, or --force to replace those of the same names"
        )
    _try_to_write(path, next(p for p in (path, *path.resolve().parents) if p.exists()))


def _try_to_write(path: Path, folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        raise OutputError(f"output {path} cannot be written: {error.strerror}") from error
