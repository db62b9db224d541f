"""What pyproject.toml promises is what `.ci/matrix.py` runs, and the documents tell how far."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

if sys.version_info < (3, 11):
    pytest.skip("the matrix itself is run by Python 3.11 or newer", allow_module_level=True)

import tomllib

ROOT = Path(__file__).parent.parent
WHEELS = "3.11"  # the Python of the ROS wheels, which `make test` runs on


def load_matrix() -> ModuleType:
    spec = importlib.util.spec_from_file_location("matrix", ROOT / ".ci" / "matrix.py")
    assert spec is not None and spec.loader is not None
    matrix = sys.modules["matrix"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(matrix)
    return matrix


MATRIX = load_matrix()
with (ROOT / "pyproject.toml").open("rb") as file:
    PROJECT: dict[str, Any] = tomllib.load(file)["project"]


def numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def held(row: Any) -> dict[str, str]:
    """The releases of a row by project."""
    return dict(release.split("==") for release in row.releases)


def bounds() -> list[tuple[str, str]]:
    """Projects with their oldest releases, of what the rows install."""
    needs = PROJECT["dependencies"] + [
        need for name in MATRIX.EXTRAS for need in PROJECT["optional-dependencies"][name]
    ]
    found = [re.match(r"([\w-]+).*>=([\d.]+)", need) for need in needs]
    return [(m.group(1), m.group(2)) for m in found if m]


@pytest.mark.parametrize(("project", "oldest"), bounds())
def test_the_oldest_release_that_is_allowed_is_that_of_a_row(project: str, oldest: str) -> None:
    tried = [numbers(held(row)[project]) for row in MATRIX.ROWS if project in held(row)]
    assert tried and min(tried)[: len(numbers(oldest))] == numbers(oldest)


def said(row: Any) -> str:
    """What the documents say was run of a row."""
    libraries = [held(row)[name] for name in ("numpy", "opencv-python-headless", "torch")]
    begin = " | ".join([f"| `{row.name}`", row.python, *libraries, ""])
    lines = (ROOT / "docs" / "deployment.md").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(begin)]
    return line.removeprefix(begin).strip(" |")


def test_the_pythons_that_are_named_are_that_of_the_wheels_and_those_on_which_tests_were_run() -> (
    None
):
    tried = [row.python for row in MATRIX.ROWS if not said(row).startswith("no test")]
    named = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if ":: 3." in text]
    assert named == sorted({*tried, WHEELS}, key=numbers)
    assert PROJECT["requires-python"] == f">={named[0]}"
