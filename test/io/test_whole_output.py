"""Files and folders are there whole or not at all."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stmem_ros.io.bags import BAG_MESSAGES, RAW, BagError, BagReader, BagWriter
from stmem_ros.io.whole_output import whole_file, whole_folder
from stmem_ros.model.bundle import load_bundle, save_bundle


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file grows beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("reason", [OSError, KeyboardInterrupt])
def test_a_file_that_could_not_be_finished_leaves_the_last_one(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    path = tmp_path / "scores.json"
    (tmp_path / "scores.json.part").write_text("a file of the user's")
    with whole_file(path) as part:
        part.write_text("first")
    before = contents(tmp_path)
    with pytest.raises(reason), whole_file(path) as part:
        part.write_text("sec")
        assert path.read_text() == "first"
        raise reason
    assert contents(tmp_path) == before


def test_a_folder_replaces_its_own_files_alone(tmp_path: Path) -> None:
    names = ("about.txt", "data.bin", "more.bin")
    out = tmp_path / "a" / "out"
    with whole_folder(out, names) as part:
        part.mkdir()
        for name in names:
            (part / name).write_text("first")
    (out / "notes.txt").write_text("a file of the user's")
    with whole_folder(out, names) as part:
        part.mkdir()
        for name in names[:2]:
            (part / name).write_text("second")
    expected = {"about.txt": b"second", "data.bin": b"second", "notes.txt": b"a file of the user's"}
    assert contents(tmp_path / "a") == {f"out/{name}": text for name, text in expected.items()}


def test_outputs_have_the_permissions_that_the_system_gives_new_ones(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with whole_folder(tmp_path / "out", ("one",)) as part:
            part.mkdir()
            (part / "one").write_text("1")
    finally:
        os.umask(before)
    assert oct((tmp_path / "out").stat().st_mode) == "0o40755"
    assert oct((tmp_path / "out" / "one").stat().st_mode) == "0o100644"


def test_a_full_disk_leaves_the_last_bundle(small_bundle: Path, tmp_path: Path) -> None:
    model = load_bundle(small_bundle, "cpu")
    out = tmp_path / "bundle"
    with full_disk(10_000), pytest.raises(OSError, match="large"):
        save_bundle(out, model, model.info, None if model.mar is None else _bank(small_bundle))
    assert contents(tmp_path) == {}
    save_bundle(out, model, model.info, _bank(small_bundle))
    before = contents(tmp_path)
    with full_disk(10_000), pytest.raises(OSError, match="large"):
        save_bundle(out, model, model.info, _bank(small_bundle))
    assert contents(tmp_path) == before


def test_a_full_disk_leaves_no_half_bag(tmp_path: Path) -> None:
    import numpy as np

    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    message = BAG_MESSAGES.image(image, BAG_MESSAGES.header(1, "camera"))

    def write() -> None:
        with BagWriter(tmp_path / "bag") as bag:
            for i in range(5):
                bag.write("/image", RAW, message, i)

    with full_disk(1_000_000), pytest.raises(BagError, match=r"bag.*large"):
        write()
    assert list(tmp_path.iterdir()) == []
    write()
    with BagReader(tmp_path / "bag") as bag:
        assert [topic.count for topic in bag.topics] == [5]


def _bank(bundle: Path):
    from stmem_ros.model.memory import MemoryBank

    return MemoryBank.load(bundle / "memory.safetensors")
