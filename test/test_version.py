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


def test_the_package_tells_its_version_where_colcon_installed_it(tmp_path: Path) -> None:
    """There it has no metadata as pip writes it: nor has it here, without site-packages."""
    modules, share = tmp_path / "lib" / "stmem_ros", tmp_path / "share" / "stmem_ros"
    modules.mkdir(parents=True)
    share.mkdir(parents=True)
    for name in ("__init__.py", "resources.py"):
        shutil.copy(ROOT / "stmem_ros" / name, modules)
    shutil.copy(ROOT / "package.xml", share)
    variables = {"PYTHONPATH": str(modules.parent), "AMENT_PREFIX_PATH": str(tmp_path)}
    code = "from stmem_ros.resources import package_version; print(package_version())"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert {done.stdout.strip()} == named(ROOT)
