"""Files, and folders of them, that are there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path of the same name to write to, whose file takes the place of ``path`` at the end.

    Who reads meanwhile, or after a full disk, an error or an interrupt, finds the last file whole.
    """
    path = path.resolve()
    with _folder_beside(path) as beside:
        part = beside / path.name
        yield part
        part.replace(path)


@contextmanager
def whole_folder(path: Path, names: Sequence[str]) -> Iterator[Path]:
    """A path of the same name to make a folder at, which takes the place of ``path`` at the end.

    Where ``path`` is there already, its files of these names go, and all else in it stays.

    Args:
        names: of the files that belong to such a folder; the first of them tells what it is, and so
            it is the first that goes and the last that comes.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _folder_beside(path) as beside:
        part = beside / path.name
        yield part
        if not path.exists():
            part.rename(path)
            return
        for name in names:
            (path / name).unlink(missing_ok=True)
        for file in sorted(part.iterdir(), key=lambda file: file.name == names[0]):
            file.replace(path / file.name)


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A hidden folder on the disk of ``path``, for as long as something is written."""
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield beside
    finally:
        shutil.rmtree(beside)
