"""Give the package a new version, everywhere it stands: `make version VERSION=1.2.3`.

The section "Forthcoming" of CHANGELOG.rst becomes that of the version.
"""

from __future__ import annotations

import argparse
import datetime
import re
from pathlib import Path

FORTHCOMING = "Forthcoming\n-----------\n"
PLACES = {
    "pyproject.toml": r'(?m)^(version = ")([\d.]+)(")$',
    "package.xml": r"(<version>)([\d.]+)(</version>)",
    "CITATION.cff": r'(?m)^(version: ")([\d.]+)(")$',
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="such as 1.2.3")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    options = parser.parse_args()
    try:
        set_version(options.root, options.version, datetime.date.today())
    except ValueError as error:
        parser.exit(1, f"version: {error}\n")


def versions(root: Path) -> dict[str, str]:
    """The version that each file names."""
    return {name: _match(root / name, pattern)[2] for name, pattern in PLACES.items()}


def set_version(root: Path, version: str, day: datetime.date) -> None:
    """Write the version into all files.

    Raises:
        ValueError: it is no version or not a newer one, or a file lacks its place.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"{version!r} is no version; it must be three numbers, such as 1.2.3")
    before = versions(root)["package.xml"]
    if _numbers(version) <= _numbers(before):
        raise ValueError(f"{version} is not newer than {before}")
    changes = root / "CHANGELOG.rst"
    if FORTHCOMING not in changes.read_text():
        raise ValueError(f"{changes} has no section 'Forthcoming'")
    for name, pattern in PLACES.items():
        text = (root / name).read_text()
        (root / name).write_text(re.sub(pattern, rf"\g<1>{version}\g<3>", text, count=1))
    citation = root / "CITATION.cff"
    released = re.sub(r'(?m)^date-released: ".*"$', f'date-released: "{day}"', citation.read_text())
    citation.write_text(released)
    title = f"{version} ({day})"
    section = f"{title}\n{'-' * len(title)}\n"
    changes.write_text(changes.read_text().replace(FORTHCOMING, section, 1))


def _match(path: Path, pattern: str) -> re.Match[str]:
    if (found := re.search(pattern, path.read_text())) is None:
        raise ValueError(f"{path} names no version")
    return found


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


if __name__ == "__main__":
    main()
