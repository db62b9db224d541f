"""``stmem bench``: speed and trust, measured side by side."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from stmem_ros.commands.errors import CommandError


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("bench", help="measure the costmap")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    costmap = actions.add_parser(
        "costmap",
        help="the costmap against the ground truth of the synthetic world",
        epilog="example: stmem bench costmap --model onboard",
    )
    costmap.add_argument("--model", help="label with this model; default: with the true labels")
    costmap.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    costmap.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    costmap.set_defaults(run_command=run_costmap)


def run_costmap(options: argparse.Namespace) -> int:
    from stmem_ros.costmap.rules import default_rules
    from stmem_ros.data.classes import CAMVID
    from stmem_ros.evaluation.costmap_bench import bench_costmap, model_labels, true_labels

    try:
        rules = default_rules(CAMVID)
        labeller = true_labels
        if options.model:
            labeller = model_labels(options.model, options.device)
        scores = bench_costmap(rules, labeller)
        if options.json:
            options.json.write_text(json.dumps(dataclasses.asdict(scores), indent=1))
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    for name, value in dataclasses.asdict(scores).items():
        print(f"{name:>20}  {value:.4f}")
    return 0
