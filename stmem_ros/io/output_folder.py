"""Folders that results are written to. Only what carries the marker of this package is removed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

MARKER = ".stmem"
MARKER_TEXT = "This folder was made by stmem, which may write it anew.\n"


class OutputError(ValueError):
    """A folder cannot take results; the message names it, what is in the way and what to do."""


def claim_folder(path: Path, inputs: Sequence[Path] = (), force: bool = False) -> None:
    """Make a folder for results and mark it, or take over one that is marked.

    Args:
        inputs: files and folders that are read; none may lie in the folder.
        force: take over a folder that holds other things; what is in it stays.

    Raises:
        OutputError: it contains an input, is no folder, or holds things that are not ours.
    """
    for source in inputs:
        if source.resolve().is_relative_to(path.resolve()):
            raise OutputError(f"output folder {path} contains the input {source}; choose another")
    if path.exists() and not path.is_dir():
        raise OutputError(f"output folder {path} is a file; choose another")
    if not force and (other := _first_entry(path)) is not None and not _is_marked(path):
        raise OutputError(
            f"output folder {path} holds what stmem did not make, such as {other.name!r}; choose "
            "another, or --force to write beside it"
        )
    path.mkdir(parents=True, exist_ok=True)
    mark_folder(path)


def mark_folder(path: Path) -> None:
    """Mark a folder as made by this package, which may then remove it."""
    (path / MARKER).write_text(MARKER_TEXT)


def remove_folder(path: Path) -> None:
    """Remove a folder that is marked or empty; nothing is done where there is none.

    Raises:
        OutputError: it holds things that are not ours.
    """
    other = _first_entry(path)
    if other is not None and not _is_marked(path):
        raise OutputError(
            f"{path} is in the way of results, and stmem did not make it: it holds {other.name!r}; "
            "move it away, or choose another output folder"
        )
    if path.is_dir():
        shutil.rmtree(path)


def renew_folder(path: Path) -> None:
    """An empty, marked folder in the place of one that is marked or empty, or of none.

    Raises:
        OutputError: the one that is there holds things that are not ours.
    """
    remove_folder(path)
    path.mkdir(parents=True)
    mark_folder(path)


def _is_marked(path: Path) -> bool:
    return (path / MARKER).is_file()


def _first_entry(path: Path) -> Path | None:
    """What a folder holds, None if it is empty or not there."""
    return min(path.iterdir(), default=None) if path.is_dir() else None
