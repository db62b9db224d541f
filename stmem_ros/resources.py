"""Files that come with the package: configuration, launch files, message definitions."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path


def resource(*parts: str) -> Path:
    """Path of a file of the package's share folder, e.g. ``resource("config", "node.yaml")``.

    Looked for in the source tree, then in every prefix of ``AMENT_PREFIX_PATH`` (colcon), then in
    the Python environment (pip).

    Raises:
        FileNotFoundError: it is in none of them.
    """
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    folders = [
        Path(__file__).parent.parent,
        *(prefix / "share" / "stmem_ros" for prefix in [*prefixes, Path(sys.prefix)]),
    ]
    for folder in folders:
        if (path := folder.joinpath(*parts)).exists():
            return path
    raise FileNotFoundError(
        f"{Path(*parts)} is in none of {', '.join(map(str, folders))}; reinstall stmem_ros"
    )


@cache
def package_version() -> str:
    """The version of this package, as package.xml names it.

    Each kind of installation has that file; metadata of Python, pip's alone.
    """
    return ET.parse(resource("package.xml")).getroot().findtext("version", "")
