"""Types of arguments that sub-commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stmem_ros.streaming.execution import Execution


def image_size(text: str) -> tuple[int, int]:
    """``HEIGHTxWIDTH`` in pixels, as networks name it."""
    return _pair(text, "HEIGHTxWIDTH")


def dataset_root(text: str) -> tuple[str, Path]:
    """``NAME=FOLDER`` of a data set."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"data is {text!r}; it must be NAME=FOLDER")
    return name, Path(folder)


def camera_size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` in pixels, as cameras name it; height and width."""
    width, height = _pair(text, "WIDTHxHEIGHT")
    return height, width


def _pair(text: str, form: str) -> tuple[int, int]:
    first, x, second = text.partition("x")
    if not (x and first.isdigit() and second.isdigit() and min(int(first), int(second)) >= 32):
        raise argparse.ArgumentTypeError(
            f"size is {text!r}; it must be {form} in pixels, at least 32x32"
        )
    return int(first), int(second)


def add_force(parser: argparse.ArgumentParser) -> None:
    """The option to replace what is there."""
    parser.add_argument("--force", action="store_true", help="replace files that are there already")


def add_rectified(parser: argparse._ActionsContainer) -> None:
    """Whether images are rectified; ``rectified`` is None where neither option is given."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--rectified", action="store_true", default=None,
                        help="images are rectified (default: told by the last part of the topic's "
                        "name)")  # fmt: skip
    either.add_argument("--raw", action="store_false", dest="rectified", default=None,
                        help="images are not rectified")  # fmt: skip


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Options of how the network is run; see :func:`execution`."""
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16, float16")
    parser.add_argument("--compile", action="store_true", help="by torch.compile; takes minutes")
    parser.add_argument("--cuda-graphs", action="store_true", help="on a GPU alone")


def execution(options: argparse.Namespace) -> Execution:
    """What the options say.

    Raises:
        ValueError: a value is not allowed.
    """
    from stmem_ros.streaming.execution import Execution

    return Execution(options.precision, options.compile, options.cuda_graphs)
