"""The version stands in several files, and is changed by one command."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMAND = ROOT / ".ci" / "version.py"
FILES = ("pyproject.toml", "package.xml", "CITATION.cff")


def named(folder: Path) -> set[str]:
    """The versions that the files name."""
    patterns = (r'^version = "(.*)"', r"<version>(.*)</version>", r'^version: "(.*)"')
    return {
        re.search(pattern, (folder / name).read_text(), re.MULTILINE)[1]
        for name, pattern in zip(FILES, patterns, strict=True)
    }


def bump(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COMMAND), version, "--root", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in (*FILES, "CHANGELOG.rst"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_all_files_name_one_version_that_has_its_changes() -> None:
    (version,) = named(ROOT)
    assert re.search(
        rf"^{re.escape(version)} \(\d{{4}}-", (ROOT / "CHANGELOG.rst").read_text(), re.M
    )


def test_one_command_changes_it_everywhere(copy: Path) -> None:
    assert bump(copy, "9.8.7").returncode == 0
    assert named(copy) == {"9.8.7"}
    changes = (copy / "CHANGELOG.rst").read_text()
    assert "Forthcoming" not in changes and re.search(r"^9\.8\.7 \(.*\)\n-{18}\n", changes, re.M)


@pytest.mark.parametrize("version", ["0.0.1", "next", "1.2", "v9.8.7"])
def test_what_is_no_newer_version_changes_nothing(copy: Path, version: str) -> None:
    before = named(copy)
    done = bump(copy, version)
    assert done.returncode == 1 and version in done.stderr
    assert named(copy) == before
