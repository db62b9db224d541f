"""``stmem evaluate``: score models on bags, or a model on a data set's split."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stmem_ros.commands.errors import CommandError
from stmem_ros.data.datasets import DATASETS
from stmem_ros.streaming.kernels.allocator import keep_freed_memory

if TYPE_CHECKING:
    from stmem_ros.evaluation.evaluate_bags import Evaluation
    from stmem_ros.evaluation.evaluate_dataset import Scores
    from stmem_ros.evaluation.replay.bag_task import BagTask
    from stmem_ros.evaluation.results.comparison import Comparison

LIMIT_BROKEN = 3  # exit code when all went well but --fail-under or --fail-over was not kept
SHOWN = 10  # damaged frames of a bag that are printed
OF_BAGS = (
    "topic",
    "info_topic",
    "label_topic",
    "points_topic",
    "start",
    "duration",
    "rate",
    "drop",
    "latency_model",
    "seed",
    "out",
    "fail_under",
    "fail_over",
    "baseline",
    "jobs",
    "engine",
    "address",
    "resume",
    "online",
    "lockstep",
)
NOT_ONLINE = ("drop", "latency_model", "start", "duration")  # the bag is played as it is
OF_DATA_SETS = ("root", "split", "precision", "ablate", "robustness")


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="score models on bags, or a model on a data set's split, streamed as on a vehicle",
        epilog="example: stmem evaluate drive.mcap --model onboard --out evaluation; "
        "or: stmem evaluate --dataset camvid --root camvid --split val --model onboard",
    )
    parser.add_argument(
        "bags",
        nargs="*",
        type=Path,
        metavar="BAG",
        help="rosbag2 folder or file (MCAP, sqlite3), or a ROS 1 bag",
    )
    parser.add_argument(
        "--model",
        action="append",
        help="shipped bundle or a bundle's folder (default: onboard); with bags "
        "several, each with --model, are compared with the first",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="CPU threads of the network (default: 1); the last digits of the figures depend on it",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores to FILE")

    data = parser.add_argument_group("data sets")
    data.add_argument("--dataset", choices=DATASETS)
    data.add_argument("--root", type=Path, default=Path(), help="root folder of the data set")
    data.add_argument("--split", default="val", help="split to score (default: val)")
    data.add_argument("--precision", default="auto", help="auto, float32, bfloat16, float16")
    data.add_argument(
        "--ablate",
        action="store_true",
        help="also without STF, MAR, and both, and with an average along optical flow",
    )
    data.add_argument(
        "--robustness", action="store_true", help="also with disturbed images and dropped frames"
    )

    bags = parser.add_argument_group("bags")
    bags.add_argument(
        "--out",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help="where results go (default: evaluation)",
    )
    bags.add_argument("--topic", help="image topic, where a bag has several cameras")
    bags.add_argument("--info-topic", help="camera_info topic, where it is not beside the images")
    bags.add_argument("--label-topic", help="topic of reference labels (mono8)")
    bags.add_argument("--points-topic", help="PointCloud2 or depth image the grid is checked with")
    bags.add_argument("--start", type=float, default=0.0, help="seconds of a bag to skip")
    bags.add_argument("--duration", type=float, help="seconds of a bag to replay (default: all)")
    bags.add_argument(
        "--drop",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the images that are lost on the way",
    )
    bags.add_argument(
        "--latency-model",
        metavar="MS|FILE",
        help="simulate a machine that takes MS a frame, or as long as the JSON of "
        "`stmem bench` or `stmem demo` says; it misses frames as the node does",
    )
    bags.add_argument(
        "--rate",
        type=float,
        default=1.0,
        help="speed at which images reach that machine, or the real node (default: 1)",
    )
    bags.add_argument(
        "--online",
        action="store_true",
        help="also play the bags to the real node with /clock, score what it publishes and compare",
    )
    bags.add_argument(
        "--lockstep",
        action="store_true",
        help="with --online: send no image before the label of the one before has come",
    )
    bags.add_argument("--seed", type=int, default=1, help="of drops, latencies, resamples")
    bags.add_argument(
        "--fail-under",
        action="append",
        default=[],
        metavar="FIGURE=NUMBER",
        help="exit code 3 if a figure is lower, such as miou=0.7",
    )
    bags.add_argument(
        "--fail-over",
        action="append",
        default=[],
        metavar="FIGURE=NUMBER",
        help="exit code 3 if a figure is higher, such as latency_p95_ms=120",
    )
    bags.add_argument(
        "--baseline",
        type=Path,
        metavar="METRICS_JSON",
        help="print what got better or worse since that evaluation",
    )
    bags.add_argument("--jobs", type=int, default=1, help="bags at a time (default: 1)")
    bags.add_argument("--engine", choices=("local", "ray"), default="local")
    bags.add_argument("--address", help="of a Ray cluster (default: Ray on this machine alone)")
    bags.add_argument(
        "--resume", action="store_true", help="keep the bags that an earlier run has finished"
    )
    parser.set_defaults(run_command=run)
    # What does not go with bags or with data sets is told by what differs from its default.
    parser.set_defaults(defaults=vars(parser.parse_args([])))


def run(options: argparse.Namespace) -> int:
    """Score bags or a data set's split, whichever is named."""
    if bool(options.bags) == bool(options.dataset):
        raise CommandError("name bags, or a data set with --dataset; not both")
    others, kind = (OF_DATA_SETS, "bags") if options.bags else (OF_BAGS, "--dataset")
    for name in others:
        if getattr(options, name) != options.defaults[name]:
            raise CommandError(f"--{name.replace('_', '-')} does not go with {kind}")
    keep_freed_memory()  # before threads begin, whose memory it would not concern
    return _run_bags(options) if options.bags else _run_dataset(options)


def _run_bags(options: argparse.Namespace) -> int:
    try:
        from stmem_ros.evaluation.evaluate_bags import (
            EvaluationOptions,
            evaluate_bags,
        )
        from stmem_ros.evaluation.report.page import REPORT, write_report
        from stmem_ros.evaluation.results.metrics_file import METRICS
    except ModuleNotFoundError as error:
        raise CommandError(f"{error}: pip install 'stmem_ros[evaluate]'") from error
    from stmem_ros.evaluation.replay.bag_replay import ReplayOptions
    from stmem_ros.evaluation.replay.engines import Execution
    from stmem_ros.evaluation.replay.latency import read_latency
    from stmem_ros.evaluation.results.gate import parse_limit, problems

    try:
        limits = [parse_limit(text, highest=False) for text in options.fail_under]
        limits += [parse_limit(text, highest=True) for text in options.fail_over]
        latency = options.latency_model and read_latency(options.latency_model)
        names = (f.name for f in dataclasses.fields(ReplayOptions) if f.name != "latency")
        replay = ReplayOptions(latency=latency, **{name: getattr(options, name) for name in names})
        if options.rate != 1 and latency is None and not options.online:
            raise ValueError(
                "--rate is the speed at which images reach a machine: "
                "simulate one with --latency-model, or use the real node with --online"
            )
        _check_online(options)
        evaluation = evaluate_bags(
            options.bags,
            options.model or ["onboard"],
            EvaluationOptions(replay, device=options.device, threads=options.threads),
            Execution(options.jobs, options.engine, options.address, options.resume),
            options.out,
            options.baseline,
            _player(options) if options.online else None,
        )
        write_report(options.out)
        if options.json:
            shutil.copyfile(options.out / METRICS, options.json)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    for line in dict.fromkeys(topics_read(result.topics) for result in evaluation.results):
        print(line)
    print(bag_table(evaluation))
    for comparison in evaluation.comparisons:
        print("\n" + comparison_table(comparison))
    whole = _tell_problems(evaluation)
    broken = problems(limits, evaluation.scores)
    for line in broken:
        print(f"limit not kept: {line}", file=sys.stderr)
    print(f"\nopen {options.out / REPORT}; all results are in {options.out}")
    if not whole:
        return 1
    return LIMIT_BROKEN if broken else 0


def _check_online(options: argparse.Namespace) -> None:
    if options.lockstep and not options.online:
        raise ValueError("--lockstep goes with --online alone")
    if options.lockstep and options.rate != 1:
        raise ValueError("--lockstep sets the pace by the labels; leave --rate away")
    for name in NOT_ONLINE if options.online else ():
        if getattr(options, name) != options.defaults[name]:
            raise ValueError(f"--{name.replace('_', '-')} does not go with --online")


def _player(options: argparse.Namespace) -> Callable[[BagTask, Path], None]:
    """What plays a bag to the real node."""
    from stmem_ros.io.bags import BagReader, find_image_topic, find_info_topic
    from stmem_ros.online.node_process import NodeProcessError
    from stmem_ros.online.online_replay import ReplayError, replay_online

    rate = None if options.lockstep else options.rate

    def play(task: BagTask, folder: Path) -> None:
        with BagReader(Path(task.path)) as bag:
            image = find_image_topic(bag.topics, options.topic)
            info = find_info_topic(bag.topics, image, options.info_topic)
            try:
                played = replay_online(
                    bag, image, info, folder, task.bundle, task.device, rate, task.threads
                )
            except (NodeProcessError, ReplayError) as error:
                raise ValueError(f"online: {error}") from error
        played.save(folder)

    return play


def _tell_problems(evaluation: Evaluation) -> bool:
    """Name damaged frames, and damaged bags on stderr; whether all bags were read to their end."""
    whole = True
    told: set[str] = set()
    for ended in evaluation.ended:
        if ended.error is not None:
            whole = False
            print(f"{ended.task.bag}, {ended.task.model}: {ended.error}", file=sys.stderr)
    for result in evaluation.results:
        if result.error is not None:
            whole = False
            print(
                f"{result.bag}, {result.model}: read in part only: {result.error}", file=sys.stderr
            )
        if result.bag in told:
            continue  # its frames are the same with each model
        told.add(result.bag)
        for note in result.notes:
            print(f"{result.bag}: {note}")
        if result.faulty:
            print(f"{result.bag}: {result.faulty} frames with something wrong")
        for fault in result.faults[:SHOWN]:
            print(f"  frame {fault.index} at {fault.stamp / 1e9:.3f} s: {fault.reason}")
        if result.faulty > SHOWN:
            print(f"  ... and {result.faulty - SHOWN} more, in frames.parquet")
    return whole


def topics_read(topics: dict[str, str | None]) -> str:
    """What was taken for what, a line."""
    titles = {"image": "images", "info": "calibration", "label": "reference", "points": "points"}
    return ", ".join(f"{title}: {topics[key] or 'none'}" for key, title in titles.items())


def bag_table(evaluation: Evaluation) -> str:
    """The figures of all bags together, models side by side; what no model has is left out."""
    scores = evaluation.scores
    lines = [" " * 22 + "".join(f"{name[-14:]:>15}" for name in scores)]
    totals = [dataclasses.asdict(s.totals) for s in scores.values()]
    timings = [dataclasses.asdict(s.timing) for s in scores.values()]
    for name, first in totals[0].items():
        if isinstance(first, dict):
            for key in first if name == "iou" else ():
                lines.append(_row(f"iou {key}", [t[name].get(key) for t in totals]))
        else:
            lines.append(_row(name, [t[name] for t in totals]))
    simulated = totals[0]["latency_p50_ms"] is not None
    for name in ("latency_p50_ms", "latency_p95_ms", "device_memory_mb", "seconds"):
        title = f"measured {name}" if simulated and name.startswith("latency") else name
        lines.append(_row(title, [t[name] for t in timings]))
    return "\n".join(line for line in lines if line)


def _row(name: str, values: list[int | float | None]) -> str:
    """A line of a table; empty if there is nothing to show."""
    if all(value is None for value in values):
        return ""
    cells = ("-" if v is None else f"{v}" if isinstance(v, int) else f"{v:.4f}" for v in values)
    return f"{name:>22}" + "".join(f"{cell:>15}" for cell in cells)


def comparison_table(comparison: Comparison) -> str:
    """What got better or worse, a line a figure."""
    lines = [
        f"{comparison.after} against {comparison.before}: difference and its 95 % interval, "
        f"from {comparison.blocks} blocks of frames"
    ]
    for d in comparison.differences:
        interval = "" if d.low is None else f"[{d.low:+.4f}, {d.high:+.4f}]"
        lines.append(
            f"{d.figure:>22}{d.before:>10.4f} -> {d.after:<8.4f}{d.after - d.before:>+9.4f} "
            f"{interval:<22} {d.verdict}"
        )
    return "\n".join(lines)


def _run_dataset(options: argparse.Namespace) -> int:
    import cv2
    import torch

    from stmem_ros.data.datasets import open_dataset
    from stmem_ros.evaluation.disturbance import DISTURBANCES, Disturbance
    from stmem_ros.evaluation.evaluate_dataset import evaluate
    from stmem_ros.evaluation.flow_average import FlowAverage
    from stmem_ros.model.ablation import TITLES, load_variants
    from stmem_ros.model.bundle import BundledSegmenter, load_bundle
    from stmem_ros.streaming.execution import Execution
    from stmem_ros.streaming.segmenter import StreamingSegmenter

    def stream(model: BundledSegmenter) -> StreamingSegmenter:
        return StreamingSegmenter(model, execution=Execution(options.precision))

    names = options.model or ["onboard"]
    if len(names) > 1:
        raise CommandError(f"--model {', '.join(names)}: with --dataset it must be one")
    if options.threads < 1:
        raise CommandError(f"--threads is {options.threads}; it must be 1 or more")
    torch.set_num_threads(options.threads)  # as with bags, so that both give the same figures
    cv2.setNumThreads(options.threads)
    try:
        if options.ablate:
            models = load_variants(names[0], options.device)
        else:
            models = {"mar": load_bundle(names[0], options.device)}
        a = models["mar"].architecture
        around = a.target, a.window - 1 - a.target
        dataset = open_dataset(options.dataset, options.root, options.split, *around, "repeat")
        rivals = {"flow": FlowAverage(models["frame"], a.window)} if options.ablate else {}

        def score(disturbance: Disturbance) -> dict[str, Scores]:
            """Of all that are compared."""
            scores = {n: evaluate(m, dataset, stream(m), disturbance) for n, m in models.items()}
            for name, rival in rivals.items():
                scores[name] = evaluate(models["frame"], dataset, rival, disturbance)
            return scores

        scored = {d.name: score(d) for d in DISTURBANCES[: None if options.robustness else 1]}
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    scores = scored[DISTURBANCES[0].name]
    titles = [TITLES[name] for name in scores] if options.ablate else names
    print(table(titles, list(scores.values())))
    if options.robustness:
        print("\nwith disturbed images")
        print(table(list(scored), [of_all["mar"] for of_all in scored.values()]))
        for name, of_all in scored.items() if options.ablate else ():
            print(f"\nimages: {name}")
            print(table(titles, list(of_all.values())))
    if options.json:
        content = as_json(scores)
        if options.robustness:
            content["disturbed"] = {name: as_json(of_all) for name, of_all in scored.items()}
        options.json.write_text(json.dumps(content, indent=1))
    return 0


def as_json(scores: dict[str, Scores]) -> dict[str, object]:
    """The model's figures, and those of all variants where there are more."""
    content = dataclasses.asdict(scores["mar"])
    if len(scores) > 1:
        content["variants"] = {name: dataclasses.asdict(s) for name, s in scores.items()}
    return content


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
        ("ECE", [s.ece for s in scores]),
    ]
    for name, values in figures:
        cells = ("-" if v is None else f"{100 * v:.2f}" for v in values)
        lines.append(f"{name:>14}" + "".join(f"{cell:>15}" for cell in cells))
    flickers = ("-" if s.flicker is None else f"{s.flicker:.3f}" for s in scores)
    lines.append(f"{'flicker, Hz':>14}" + "".join(f"{cell:>15}" for cell in flickers))
    for name, counts in (
        ("M parameters", [s.parameters / 1e6 for s in scores]),
        ("GFLOP a frame", [s.gflop_per_frame for s in scores]),
        ("ms a frame", [s.ms_per_frame for s in scores]),
    ):
        lines.append(f"{name:>14}" + "".join(f"{count:>15.2f}" for count in counts))
    return "\n".join(lines)
