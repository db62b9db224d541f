"""Folders of image files: which files are images, in which order, and lists of their names."""

from __future__ import annotations

import codecs
from pathlib import Path

from stmem_ros.io.images import IMAGE_SUFFIXES
from stmem_ros.io.natural_order import natural_key


class ImageFolderError(ValueError):
    """A folder of images, or a list of their names, cannot be used; the message names it."""


def image_paths(folder: Path) -> list[Path]:
    """The image files of a folder, ordered as people count: frame2 comes before frame10.

    Hidden files are left out: ``._NAME``, which macOS writes on foreign disks, is no image.

    Raises:
        ImageFolderError: there is no such folder, or two files have one name but for their suffix;
            which one is meant?
    """
    if not folder.is_dir():
        raise ImageFolderError(f"there is no folder {folder}")
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)
    ]
    known: dict[str, Path] = {}
    for path in sorted(paths):
        if (other := known.setdefault(path.stem, path)) is not path:
            raise ImageFolderError(
                f"{folder} holds {other.name} and {path.name}: two files of one name; "
                "keep one kind of files in it"
            )
    return sorted(paths, key=lambda path: natural_key(path.stem))


def is_hidden(path: Path) -> bool:
    """Whether the file is one that listings leave out."""
    return path.name.startswith(".")


def read_names(path: Path) -> list[str]:
    """The names in a text file, one per line, in any of Unicode's usual forms.

    Raises:
        ImageFolderError: it is no text.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImageFolderError(f"{path} is no text in UTF-8: one name per line") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def without_suffix(name: str) -> str:
    """The name of an image without the suffix of an image file, where it has one."""
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in IMAGE_SUFFIXES else name
