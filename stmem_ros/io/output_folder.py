"""Folders that results are written to. Only what carries the marker of this package is removed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MARKER = ".stmem"
MARKER_TEXT = "This folder was made by stmem, which may write it anew.\n"


class OutputError(ValueError):
    """Results cannot be written; the message names the output, what is in the way, what to do."""


@dataclass(frozen=True)
class EarlierLayout:
    """How to tell a folder that a version without markers made.

    Attributes:
        files: names of files in it, all of them there.
        folders: names of folders in it that were made too.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...] = ()


def claim_folder(
    path: Path,
    inputs: Sequence[Path] = (),
    force: bool = False,
    earlier: EarlierLayout | None = None,
) -> None:
    """Make a folder for results and mark it, or take over one that is marked.

    Args:
        inputs: files and folders that are read; none may lie in the folder.
        force: write into a folder that holds other things, which stay; files that have the names
            of results are written over.
        earlier: takes over also what an earlier version made.

    Raises:
        OutputError: it contains an input, is no folder, or holds things that are not ours.
    """
    refuse_inputs_in(path, inputs)
    if path.exists() and not path.is_dir():
        raise OutputError(f"output folder {path} is a file; choose another")
    _mark_earlier(path, earlier)
    other = None if _is_marked(path) else _first_entry(path)
    if other is not None and not force:
        raise OutputError(
            f"output folder {path} holds what stmem did not make, such as {other.name!r}; choose "
            "another, or --force to write beside it"
        )
    path.mkdir(parents=True, exist_ok=True)
    if other is None:
        mark_folder(path)


def refuse_inputs_in(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a folder for results that contains what is read.

    Raises:
        OutputError: it does.
    """
    for source in inputs:
        if source.resolve().is_relative_to(path.resolve()):
            raise OutputError(f"output folder {path} contains the input {source}; choose another")


def mark_folder(path: Path) -> None:
    """Mark a folder as made by this package, which may then remove it."""
    (path / MARKER).write_text(MARKER_TEXT)


def remove_folder(path: Path, earlier: EarlierLayout | None = None) -> None:
    """Remove a folder that is marked or empty; nothing is done where there is none.

    Raises:
        OutputError: it holds things that are not ours.
    """
    _mark_earlier(path, earlier)
    other = _first_entry(path)
    if other is not None and not _is_marked(path):
        raise OutputError(
            f"{path} is in the way of results, and stmem did not make it: it holds {other.name!r}; "
            "move it away, or choose another output folder"
        )
    if path.is_dir():
        shutil.rmtree(path)


def renew_folder(path: Path, earlier: EarlierLayout | None = None) -> None:
    """An empty, marked folder in the place of one that is marked or empty, or of none.

    Raises:
        OutputError: the one that is there holds things that are not ours.
    """
    remove_folder(path, earlier)
    path.mkdir(parents=True)
    mark_folder(path)


def _mark_earlier(path: Path, earlier: EarlierLayout | None) -> None:
    """Mark a folder, and those in it, that an earlier version made."""
    if _is_marked(path) or earlier is None:
        return
    if all((path / name).is_file() for name in earlier.files):
        for folder in (path, *(path / name for name in earlier.folders)):
            if folder.is_dir():
                mark_folder(folder)


def _is_marked(path: Path) -> bool:
    return (path / MARKER).is_file()


def _first_entry(path: Path) -> Path | None:
    """What a folder holds, None if it is empty or not there."""
    return min(path.iterdir(), default=None) if path.is_dir() else None
