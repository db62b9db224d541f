"""Run the tests without ROS on other Pythons and libraries: `make matrix`, or rows by name.

Each row has its own environment in a temporary folder, which is deleted afterwards. Rows whose
Python is not on this machine are named, and left out. `--rows jazzy` runs some of them, and
`--folder DIR` keeps the environments there, so that a second run is quick.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("demo", "evaluate", "train", "test")


@dataclass(frozen=True)
class Row:
    """One combination: what it stands for, the Python, and the releases that are held."""

    name: str
    python: str
    releases: tuple[str, ...]


ROWS = (
    # Ubuntu 22.04's Python; the oldest releases of pyproject.toml. pyarrow 21 wants NumPy 2.
    Row("humble", "3.10", ("numpy==1.26.4", "opencv-python-headless==4.6.0.66", "torch==2.1.0",
                           "rosbags==0.11.7", "matplotlib==3.7.5", "pyarrow==20.0.0")),
    # Ubuntu 24.04.
    Row("jazzy", "3.12", ("numpy==1.26.4", "opencv-python-headless==4.6.0.66", "torch==2.2.0",
                          "pyarrow==20.0.0")),
    Row("newest", "3.13", ("numpy==2.3.5", "opencv-python-headless==4.10.0.84", "torch==2.14.1")),
    # Ubuntu 26.04.
    Row("lyrical", "3.14", ("numpy==2.3.5", "opencv-python-headless==4.10.0.84", "torch==2.14.1")),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", default=[row.name for row in ROWS])
    parser.add_argument("--folder", type=Path, help="keep the environments here")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args()
    if unknown := set(options.rows) - {row.name for row in ROWS}:
        parser.error(f"no rows {', '.join(unknown)}; there are {', '.join(r.name for r in ROWS)}")
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        for row in ROWS:
            if row.name in options.rows:
                results[row] = run(row, options.folder or Path(temporary), options.pytest)
                if not options.folder:
                    shutil.rmtree(Path(temporary) / row.name, ignore_errors=True)
    for row, result in results.items():
        print(f"{row.name:8} Python {row.python}, {', '.join(row.releases)}: {result}")
    return 0 if all(result in ("passed", NOT_THERE) for result in results.values()) else 1


VARIABLES = os.environ | {"OMP_NUM_THREADS": "1", "STMEM_WITHOUT_ROS": "1"}
NOT_THERE = "not run: this Python is not on this machine"


def run(row: Row, folder: Path, arguments: list[str]) -> str:
    """Make a row's environment and run the tests in it; how that ended."""
    python = interpreter(row.python)
    if python is None:
        return NOT_THERE
    environment = folder / row.name
    if not (environment / "made").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        held = folder / f"{row.name}.txt"
        held.write_text("\n".join(row.releases) + "\n")
        pip = [environment / "bin" / "pip", "install", "--quiet"]
        for command in (
            [python, "-m", "venv", environment],
            [*pip, "-c", held, *requirements()],
            [*pip, "--no-build-isolation", "--no-deps", "-e", ROOT],
        ):
            given = list(map(str, command))
            if subprocess.run(given, env=VARIABLES, check=False).returncode:
                return f"failed: {' '.join(given[:4])} ..."
        (environment / "made").touch()
    tests = [
        environment / "bin" / "python",
        "-m",
        "pytest",
        "-m",
        "not ros or end_to_end",
        *arguments,
    ]
    done = subprocess.run(list(map(str, tests)), cwd=ROOT, env=VARIABLES, check=False)
    return "passed" if done.returncode == 0 else f"failed: pytest ended with {done.returncode}"


def interpreter(version: str) -> str | None:
    """A Python of this version: on the path, or one that pyenv or uv made."""
    candidates = [shutil.which(f"python{version}"), *map(str, installed(version))]
    for path in filter(None, candidates):
        command = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return path
    return None


def installed(version: str) -> Iterator[Path]:
    home = Path.home()
    yield from sorted(home.glob(f".pyenv/versions/{version}.*/bin/python"))
    yield from sorted(home.glob(f".local/share/uv/python/cpython-{version}*/bin/python{version}"))


def requirements() -> list[str]:
    """What pyproject.toml asks for; ROS's own wheels are there for one Python alone."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = [need for name in EXTRAS for need in project["optional-dependencies"][name]]
    names = [*project["dependencies"], *extras, "setuptools>=70.1,<80", "tomli"]
    return [name for name in names if not re.match("ros-", name)]


if __name__ == "__main__":
    sys.exit(main())
