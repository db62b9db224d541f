"""``stmem train``: the stages of training."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stmem_ros.commands.errors import CommandError
from stmem_ros.signals import was_signalled


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "train",
        help="train a stage: frame, stf, mar (after `stmem memory build`)",
        epilog="example: stmem train frame --config config/training/onboard_camvid.yaml "
        "--data camvid --run runs/onboard",
    )
    parser.add_argument("stage", choices=("frame", "stf", "mar", "frame_mar"))
    parser.add_argument("--config", type=Path, required=True, help="training configuration (YAML)")
    parser.add_argument("--data", type=Path, default=Path(), help="root folder of the data set")
    parser.add_argument(
        "--coarse-data",
        type=Path,
        help="root folder of the data set with coarser labels, where the configuration has a "
        "share of them",
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of this training run")
    parser.add_argument("--start", type=Path, help="bundle to begin with")
    parser.add_argument("--seed", type=int, help="instead of the configuration's")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument(
        "--force", action="store_true", help="begin anew, in the place of what the stage left"
    )
    parser.set_defaults(run_command=run)


def run(options: argparse.Namespace) -> int:
    try:
        bundle = _train(options)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or was_signalled():
            print("--resume continues from the last checkpoint", file=sys.stderr)
        raise
    print(f"bundle written to {bundle}")
    return 0


def _train(options: argparse.Namespace) -> Path:
    import dataclasses

    from stmem_ros.configuration import Count, convert
    from stmem_ros.training.config import load_config
    from stmem_ros.training.stages import train_stage

    try:
        config = load_config(options.config)
        if options.seed is not None:
            seed = convert(options.seed, Count, "--seed")
            config = dataclasses.replace(config, seed=seed)
        return train_stage(
            options.stage,
            config,
            options.data,
            options.run,
            options.resume,
            options.start,
            options.coarse_data,
            options.force,
        )
    except (OSError, ValueError) as error:
        # From a loading process, the message is a traceback whose last line is `class: message`.
        last = str(error).strip().splitlines()[-1]
        raise CommandError(last.removeprefix(f"{_path(type(error))}: ")) from error


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
