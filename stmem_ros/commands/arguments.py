"""Types of arguments that sub-commands share."""

from __future__ import annotations

import argparse


def image_size(text: str) -> tuple[int, int]:
    """``HEIGHTxWIDTH`` in pixels."""
    height, x, width = text.partition("x")
    if not (x and height.isdigit() and width.isdigit() and min(int(height), int(width)) >= 32):
        raise argparse.ArgumentTypeError(
            f"size is {text!r}; it must be HEIGHTxWIDTH in pixels, at least 32x32"
        )
    return int(height), int(width)
