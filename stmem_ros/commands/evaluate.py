"""``stmem evaluate``: score a model on a dataset split."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from stmem_ros.commands.errors import CommandError
from stmem_ros.data.dataset import DATASETS

if TYPE_CHECKING:
    from stmem_ros.evaluation.dataset import Scores


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="score a model on a dataset split, streamed as on a vehicle",
        epilog="example: stmem evaluate --dataset camvid --root camvid --split val --model onboard",
    )
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--root", type=Path, default=Path(), help="root folder of the data set")
    parser.add_argument("--split", default="val", help="split to score (default: val)")
    parser.add_argument("--model", default="onboard", help="shipped bundle or a bundle's folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16, float16")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores to FILE")
    parser.add_argument(
        "--ablate",
        action="store_true",
        help="also without STF, MAR, and both, and with an average along optical flow",
    )
    parser.add_argument(
        "--robustness", action="store_true", help="also with disturbed images and dropped frames"
    )
    parser.set_defaults(run_command=run)


def run(options: argparse.Namespace) -> int:
    from stmem_ros.data.dataset import open_dataset
    from stmem_ros.evaluation.dataset import evaluate
    from stmem_ros.evaluation.disturbance import DISTURBANCES
    from stmem_ros.evaluation.flow_average import FlowAverage
    from stmem_ros.model.ablation import TITLES, load_variants
    from stmem_ros.model.bundle import BundledSegmenter, load_bundle
    from stmem_ros.streaming.execution import Execution
    from stmem_ros.streaming.segmenter import StreamingSegmenter

    def stream(model: BundledSegmenter) -> StreamingSegmenter:
        return StreamingSegmenter(model, execution=Execution(options.precision))

    try:
        if options.ablate:
            models = load_variants(options.model, options.device)
        else:
            models = {"mar": load_bundle(options.model, options.device)}
        a = models["mar"].architecture
        around = a.target, a.window - 1 - a.target
        dataset = open_dataset(options.dataset, options.root, options.split, *around, "repeat")
        scores = {name: evaluate(m, dataset, stream(m)) for name, m in models.items()}
        if options.ablate:
            rival = FlowAverage(models["frame"], a.window)
            scores["flow"] = evaluate(models["frame"], dataset, rival)
        disturbed = {"none": scores["mar"]}
        for disturbance in DISTURBANCES[1:] if options.robustness else ():
            model = models["mar"]
            disturbed[disturbance.name] = evaluate(model, dataset, stream(model), disturbance)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    titles = [TITLES[name] for name in scores] if options.ablate else [options.model]
    print(table(titles, list(scores.values())))
    if options.robustness:
        print("\nwith disturbed images")
        print(table(list(disturbed), list(disturbed.values())))
    if options.json:
        content = dataclasses.asdict(scores["mar"])
        if options.ablate:
            content["variants"] = {n: dataclasses.asdict(s) for n, s in scores.items()}
        if options.robustness:
            content["disturbed"] = {n: dataclasses.asdict(s) for n, s in disturbed.items()}
        options.json.write_text(json.dumps(content, indent=1))
    return 0


def table(titles: list[str], scores: list[Scores]) -> str:
    """Scores side by side, a line a figure; shares in percent."""
    lines = [" " * 14 + "".join(f"{title[-14:]:>15}" for title in titles)]
    figures: list[tuple[str, list[float | None]]] = [
        (name, [s.iou[name] for s in scores]) for name in scores[0].iou
    ]
    figures += [
        ("mIoU", [s.miou for s in scores]),
        ("pixels", [s.pixel_accuracy for s in scores]),
        ("boundary F", [s.boundary_f for s in scores]),
        ("boundary IoU", [s.boundary_iou for s in scores]),
        ("consistency", [s.temporal_consistency for s in scores]),
        ("VC8", [s.vc8 for s in scores]),
        ("VC16", [s.vc16 for s in scores]),
    ]
    for name, values in figures:
        cells = ("-" if v is None else f"{100 * v:.2f}" for v in values)
        lines.append(f"{name:>14}" + "".join(f"{cell:>15}" for cell in cells))
    for name, counts in (
        ("M parameters", [s.parameters / 1e6 for s in scores]),
        ("GFLOP a frame", [s.gflop_per_frame for s in scores]),
        ("ms a frame", [s.ms_per_frame for s in scores]),
    ):
        lines.append(f"{name:>14}" + "".join(f"{count:>15.2f}" for count in counts))
    return "\n".join(lines)
