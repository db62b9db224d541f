"""Names in the order that people count: frame2 comes before frame10."""

from __future__ import annotations

import re

# Seconds with their fraction, as stamps in names are, or a whole number.
_NUMBER = re.compile(r"(\d{9,}\.\d+|\d+)")


def natural_key(name: str) -> tuple[tuple[tuple[str, float], ...], str]:
    """Orders names by the numbers in them; those of equal numbers by their letters."""
    parts = _NUMBER.split(name)  # text, number, text, ...
    numbers = [float(number) for number in parts[1::2]] + [0.0]
    return tuple(zip(parts[::2], numbers, strict=True)), name
