#!/usr/bin/env python3
"""``stmem``: the one entry point; each sub-command is a module of this folder."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from multiprocessing import active_children

from stmem_ros.commands.errors import CommandError
from stmem_ros.error_text import error_text
from stmem_ros.signals import end_on_signals, ignore_signals, was_signalled

INTERRUPTED = 130  # exit code
COMMANDS = ("demo", "doctor", "bag", "evaluate", "train", "memory", "model", "mask", "bench")
# What some commands need and the node does not; each project has the name of its module.
OPTIONAL = (
    "av", "jinja2", "matplotlib", "onnx", "onnxruntime", "onnxscript", "pyarrow", "ray",
    "tensorboard",
)  # fmt: skip


def build_parser(given: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of all commands, or of those that ``given`` names.

    Modules of others are not imported: `stmem doctor` runs where what they need is broken.
    """
    parser = argparse.ArgumentParser(
        prog="stmem",
        description="Steady semantic labels and costmaps from a moving camera.",
        epilog="example: stmem demo --out demo-out",
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in [name for name in COMMANDS if name in given] or COMMANDS:
        import_module(f"stmem_ros.commands.{name}").add_parser(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a sub-command.

    Returns:
        0 on success, 1 on an error, 2 on wrong usage, 130 on Ctrl-C, 141 on a closed pipe.
    """
    options = argparse.Namespace(command="", debug=False)
    try:
        given = sys.argv[1:] if arguments is None else arguments
        build_parser(given).parse_args(given, options)
        status = options.run_command(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _say_interrupted(options)
    except BrokenPipeError:  # who read the output, such as `head`, has enough
        if options.debug:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 141
    except Exception as error:
        if was_signalled():
            return _say_interrupted(options)
        text = _text_for_people(error)
        if options.debug or not text:
            raise
        print(f"stmem {options.command}: {text}", file=sys.stderr)
        return 1


def _text_for_people(error: Exception) -> str:
    """What an error says in one line; empty for one that is a fault of ours."""
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        if name == "rclpy":
            return (
                "needs ROS 2, and there is no module rclpy; source ROS's setup.bash, or install it "
                "(docs/deployment.md)"
            )
        if name in OPTIONAL:
            return f"needs {name}, which is not installed: pip install {name}"
    if not isinstance(error, CommandError):
        return ""
    cause = error.__cause__
    as_it_came = isinstance(cause, OSError) and str(cause) == str(error)
    return error_text(cause) if cause and as_it_came else str(error)


def _say_interrupted(options: argparse.Namespace) -> int:
    print(f"stmem {options.command}: interrupted", file=sys.stderr)
    return INTERRUPTED


def run() -> int:
    """The process ``stmem``: :func:`main`, which SIGINT and SIGTERM end soon, whatever it does."""
    end_on_signals(INTERRUPTED, _interrupt)
    status = main()
    ignore_signals()
    if status == INTERRUPTED:
        for child in active_children():
            child.terminate()
        sys.stderr.flush()
        os._exit(status)  # what ends at exit may wait for work that goes on
    return status


def _interrupt() -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run())
