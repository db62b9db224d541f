"""What tells whether files are still the same."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


@lru_cache
def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder, by name."""
    return {
        f.name: hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.iterdir())
        if f.is_file()
    }
