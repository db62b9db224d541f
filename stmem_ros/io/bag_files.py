"""The files of a bag: which there are, in which order, and what metadata.yaml says of them.

What a file holds is told by its first bytes, not by its name, and goes before metadata.yaml.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from stmem_ros.configuration import yaml_problem
from stmem_ros.error_text import error_text
from stmem_ros.io import mcap_file, ros1_file, sqlite_file
from stmem_ros.io.bag_channel import (
    YAML_LOADER,
    BagFile,
    BagFileError,
    Profile,
    parse_profiles,
)
from stmem_ros.io.bounded_inflation import MAGIC as COMPRESSED
from stmem_ros.io.bounded_inflation import OPENERS, InflationError, zstd
from stmem_ros.io.file_kind import START, kind_of
from stmem_ros.io.mcap_file import McapFile
from stmem_ros.io.natural_order import natural_key
from stmem_ros.io.ros1_file import Ros1File
from stmem_ros.io.sqlite_file import SqliteFile

KINDS: dict[bytes, Callable[[Path], BagFile]] = {
    mcap_file.MAGIC: McapFile,
    sqlite_file.MAGIC: SqliteFile,
    ros1_file.MAGIC: Ros1File,
}
NAMES = re.compile(r"\.(mcap|db3|bag)(\.active)?(\.(zstd|zst|lz4))?$")  # of files in a folder


@dataclass(frozen=True)
class Metadata:
    """What metadata.yaml says; the files are believed before it.

    Attributes:
        files: their names, in order.
        counts: messages of each topic.
        digests: hashes of the types, by topic.
        profiles: of the publishers, by topic.
    """

    files: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, tuple[Profile, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenBag:
    """The files of a bag that could be opened, in order.

    Attributes:
        metadata: None without metadata.yaml, or where it cannot be read.
        notes: what is wrong, a line each.
    """

    files: tuple[BagFile, ...]
    metadata: Metadata | None
    notes: tuple[str, ...]


def open_bag(path: Path, stack: ExitStack) -> OpenBag:
    """Open a bag: a folder of files, or a single file.

    Args:
        stack: closes the files.

    Raises:
        BagFileError: no file of it can be opened; the message does not name the bag.
        OSError: the folder cannot be read.
    """
    metadata, notes = None, []
    paths = [path]
    if path.is_dir():
        try:
            metadata = _read_metadata(path / "metadata.yaml")
        except BagFileError as error:
            notes.append(str(error))
        paths, missing = _files(path, metadata)
        notes += [f"metadata.yaml names {name}, which is not there" for name in missing]
    if not paths:
        inner = [f"its folder {name} is a bag: name that" for name in _inner_bags(path)[:1]]
        raise BagFileError("; ".join(["it holds no .mcap, .db3 or .bag file", *notes, *inner]))
    files, failed = [], []
    for each in paths:
        try:
            file = _open_file(each, stack)
        except (BagFileError, OSError) as error:
            failed.append(f"{each.name}: {_reason(each, error)}")
            continue
        files.append(file)
        if file.problem:
            notes.append(f"{each.name}: {file.problem}")
    if not files:
        raise BagFileError("; ".join(failed) if len(paths) > 1 else failed[0].partition(": ")[2])
    notes += [f"a file of the bag is left out: {reason}" for reason in failed]
    return OpenBag(tuple(files), metadata, tuple(notes))


def _inner_bags(folder: Path) -> list[str]:
    """Names of the folders in a folder that hold files of bags."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    return [path.name for path in inner if any(NAMES.search(p.name) for p in path.iterdir())]


def _reason(path: Path, error: Exception) -> str:
    """Why a file could not be opened."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"it is a link to {path.readlink()}, which is not there"
    return error_text(error)


def _files(folder: Path, metadata: Metadata | None) -> tuple[list[Path], list[str]]:
    """The files of a bag's folder in order, and names of those that are missing."""
    names = () if metadata is None else metadata.files
    named = [folder / PurePath(name).name for name in names]
    there = [path for path in named if path.is_file()]
    missing = [path.name for path in named if path not in there]
    if there:
        return there, missing
    found = (p for p in folder.iterdir() if NAMES.search(p.name) and not p.is_dir())
    return sorted(found, key=lambda path: natural_key(path.name)), missing


def _open_file(path: Path, stack: ExitStack) -> BagFile:
    begin = _first_bytes(path)
    if (kind := COMPRESSED.get(begin[:4])) is not None:
        path = _inflated(path, kind, stack)
        begin = _first_bytes(path)
    for magic, open_file in KINDS.items():
        if begin.startswith(magic):
            bag = open_file(path)
            stack.callback(bag.close)
            return bag
    what = kind_of(begin) or f"is no bag: it begins with {begin[:8]!r}"
    raise BagFileError(f"it {what}; allowed: MCAP, sqlite3, ROS 1")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(START)


def _inflated(path: Path, kind: str, stack: ExitStack) -> Path:
    folder = stack.enter_context(TemporaryDirectory())
    target = Path(folder) / path.stem
    try:
        with OPENERS[kind](path) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out)
    except (EOFError, RuntimeError, InflationError, zstd.ZstdError) as error:
        if not target.stat().st_size:  # else what there is counts
            raise BagFileError(
                f"its {kind} data, {path.stat().st_size} bytes, are cut off or damaged, and "
                "nothing can be read of them; copy the file again"
            ) from error
    return target


def _read_metadata(path: Path) -> Metadata | None:
    """What is understood of the file; None without it.

    Raises:
        BagFileError: it is no metadata of a bag.
    """
    if not path.is_file():
        return None
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=YAML_LOADER)
        information = content["rosbag2_bagfile_information"]
        files = tuple(str(name) for name in information["relative_file_paths"])
        topics = information.get("topics_with_message_count") or []
        named = {str(topic["topic_metadata"]["name"]): topic for topic in topics}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = "it lists no files and topics, as rosbag2 does"
        if isinstance(error, (OSError, UnicodeDecodeError, yaml.YAMLError)):
            reason = yaml_problem(error)
        raise BagFileError(f"metadata.yaml is not used: {reason}") from error
    details: dict[str, dict[str, Any]] = {name: t["topic_metadata"] for name, t in named.items()}
    counts = {name: topic.get("message_count") for name, topic in named.items()}
    return Metadata(
        files=files,
        counts={name: count for name, count in counts.items() if isinstance(count, int)},
        digests={n: str(d.get("type_description_hash") or "") for n, d in details.items()},
        profiles={n: parse_profiles(d.get("offered_qos_profiles")) for n, d in details.items()},
    )
