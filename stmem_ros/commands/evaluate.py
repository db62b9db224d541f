"""``stmem evaluate``: score a model on a dataset split."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from stmem_ros.commands.errors import CommandError


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="score a model on a dataset split, streamed as on a vehicle",
        epilog="example: stmem evaluate --dataset camvid --root camvid --split val --model onboard",
    )
    parser.add_argument(
        "--dataset", choices=("camvid", "cityscapes", "video_folder"), required=True
    )
    parser.add_argument("--root", type=Path, required=True, help="root folder of the data set")
    parser.add_argument("--split", default="val", help="split to score (default: val)")
    parser.add_argument("--model", default="onboard", help="shipped bundle or a bundle's folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores to FILE")
    parser.set_defaults(run_command=run)


def run(options: argparse.Namespace) -> int:
    from stmem_ros.data.dataset import open_dataset
    from stmem_ros.evaluation.dataset import evaluate
    from stmem_ros.model.bundle import load_bundle

    try:
        model = load_bundle(options.model, options.device)
        a = model.architecture
        around = a.target, a.window - 1 - a.target
        dataset = open_dataset(options.dataset, options.root, options.split, *around, "repeat")
        scores = evaluate(model, dataset)
    except (FileNotFoundError, ValueError) as error:
        raise CommandError(str(error)) from error
    for name, value in scores.iou.items():
        print(f"{name:>12} " + ("     -" if value is None else f"{100 * value:6.2f}"))
    for name, value in (
        ("mIoU", scores.miou),
        ("pixels", scores.pixel_accuracy),
        ("boundary F", scores.boundary_f),
        ("boundary IoU", scores.boundary_iou),
        ("consistency", scores.temporal_consistency),
        ("VC8", scores.vc8),
        ("VC16", scores.vc16),
    ):
        if value is not None:
            print(f"{name:>12} {100 * value:6.2f}")
    if options.json:
        options.json.write_text(json.dumps(dataclasses.asdict(scores), indent=1))
    return 0
