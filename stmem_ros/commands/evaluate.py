"""``stmem evaluate``: score models on bags, or a model on a data set's split."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stmem_ros.commands.errors import CommandError
from stmem_ros.commands.evaluate_options import bag_options, dataset_options
from stmem_ros.io.output_file import check_output_file
from stmem_ros.io.whole_output import whole_file
from stmem_ros.streaming.kernels.allocator import keep_freed_memory

if TYPE_CHECKING:
    from stmem_ros.data.disturbance import Disturbance
    from stmem_ros.evaluation.evaluate_bags import Evaluation, OnlinePlayer
    from stmem_ros.evaluation.evaluate_dataset import Scores
    from stmem_ros.evaluation.results.folder import RecordingFolder
    from stmem_ros.evaluation.tasks.bag_task import BagTask
    from stmem_ros.parameters import NodeParameters

LIMIT_BROKEN = 3  # exit code when all went well but --fail-under or --fail-over was not kept
REPLAY_OPTIONS = (
    "topic",
    "info_topic",
    "label_topic",
    "points_topic",
    "start",
    "duration",
    "drop",
    "rate",
    "seed",
)
NOT_ONLINE = ("drop", "latency_model", "start", "duration")  # the bag is played as it is


def add_parser(commands: argparse._SubParsersAction) -> None:
    of_data_sets, of_bags = dataset_options(), bag_options()
    parser = commands.add_parser(
        "evaluate",
        help="score models on bags, or a model on a data set's split, streamed as on a vehicle",
        epilog="example: stmem evaluate drive.mcap --model onboard --out evaluation; "
        "or: stmem evaluate --dataset camvid --root camvid --split val --model onboard",
        parents=[of_data_sets, of_bags],
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
    parser.add_argument(
        "--force",
        action="store_true",
        help="write into --out though it holds other things, and over the FILE of --json",
    )
    # What does not go with bags or with data sets is told by what differs from its default.
    parser.set_defaults(
        run_command=run,
        dataset_defaults=vars(of_data_sets.parse_args([])),
        bag_defaults=vars(of_bags.parse_args([])),
    )


def run(options: argparse.Namespace) -> int:
    """Score bags or a data set's split, whichever is named."""
    if bool(options.bags) == bool(options.dataset):
        raise CommandError("name bags, or a data set with --dataset; not both")
    defaults = options.dataset_defaults if options.bags else options.bag_defaults
    for name, default in defaults.items():
        if getattr(options, name) != default:
            kind = "--dataset" if options.bags else "bags"
            raise CommandError(f"--{name.replace('_', '-')} goes with {kind} alone; leave it out")
    keep_freed_memory()  # before threads begin, whose memory it would not concern
    return _run_bags(options) if options.bags else _run_dataset(options)


def _run_bags(options: argparse.Namespace) -> int:
    from stmem_ros.evaluation.report.page import write_report
    from stmem_ros.evaluation.results.folder import EvaluationFolder
    from stmem_ros.evaluation.results.gate import parse_limit, problems
    from stmem_ros.evaluation.results.run_faults import not_allowed, parse_kinds

    try:
        allowed = parse_kinds(options.allow)
        limits = [parse_limit(text, highest=False) for text in options.fail_under]
        limits += [parse_limit(text, highest=True) for text in options.fail_over]
        evaluation = _evaluate(options)
        report = write_report(options.out)
        if options.json:
            with whole_file(options.json) as part:
                shutil.copyfile(EvaluationFolder(options.out).metrics, part)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    broken_limits = problems(limits, evaluation.scores)
    _print(evaluation, broken_limits)
    print(f"\nopen {report}; all results are in {options.out}")
    if not evaluation.is_complete or not_allowed(evaluation.faults, allowed):
        return 1
    return LIMIT_BROKEN if broken_limits else 0


def _evaluate(options: argparse.Namespace) -> Evaluation:
    """What the options ask for.

    Raises:
        ValueError: a value is not allowed, or no bag gave anything.
    """
    from stmem_ros.evaluation.evaluate_bags import EvaluationOptions, evaluate_bags
    from stmem_ros.evaluation.replay.latency import read_latency
    from stmem_ros.evaluation.replay.replay_options import ReplayOptions
    from stmem_ros.evaluation.tasks.engines import JobOptions

    latency = options.latency_model and read_latency(options.latency_model)
    parameters = _parameters(options)
    replay = ReplayOptions(
        **{name: getattr(options, name) for name in REPLAY_OPTIONS},
        latency=latency,
        rectified=_rectified(options, parameters),
        depth=parameters.depth,
        transport=parameters.image_transport if options.params else None,
    )
    _check_pace(options)
    check_output_file(options.json, _files_of(options), options.force)
    return evaluate_bags(
        options.bags,
        options.model or [parameters.model],
        EvaluationOptions(replay, parameters, parameters.device, options.threads),
        JobOptions(options.jobs, options.engine, options.address, options.resume),
        options.out,
        options.baseline,
        _online_player(options, parameters) if options.online else None,
        options.force,
    )


def _print(evaluation: Evaluation, broken_limits: Sequence[str]) -> None:
    """The figures, and what is wrong; what makes the run fail goes to stderr."""
    from stmem_ros.evaluation.report import terminal

    print(*terminal.topic_lines(evaluation), terminal.bag_table(evaluation), sep="\n")
    for comparison in evaluation.comparisons:
        print("\n" + terminal.comparison_table(comparison))
    for line in terminal.fault_lines(evaluation):
        print(line)
    for line in (
        *terminal.error_lines(evaluation),
        *(f"came to nothing: {fault}" for fault in evaluation.faults),
        *(f"limit not kept: {problem}" for problem in broken_limits),
    ):
        print(line, file=sys.stderr)


def _parameters(options: argparse.Namespace) -> NodeParameters:
    """Those of ``--params``, else the node's defaults; ``--device`` goes before them.

    Raises:
        ConfigurationError: the file cannot be used; the message names it.
    """
    from stmem_ros.parameters import DEFAULTS, read_parameter_file
    from stmem_ros.streaming.image_area import is_mask_file

    parameters = DEFAULTS if options.params is None else read_parameter_file(options.params)
    if options.device != "auto":
        parameters = dataclasses.replace(parameters, device=options.device)
    return dataclasses.replace(
        parameters,
        cost_rules=_absolute(parameters.cost_rules),
        memory_bank=_absolute(parameters.memory_bank),
        masks=tuple(_absolute(m) if is_mask_file(m) else m for m in parameters.masks),
    )


def _rectified(options: argparse.Namespace, parameters: NodeParameters) -> bool | None:
    """What the command line says of the images, else ``--params``; None: their topic's name."""
    if options.rectified is not None:
        return options.rectified
    return parameters.rectified if options.params else None


def _files_of(options: argparse.Namespace) -> list[Path]:
    """What is read or made beside ``--json``."""
    from stmem_ros.evaluation.results.folder import EvaluationFolder

    named = (options.params, options.baseline, EvaluationFolder(options.out).metrics)
    return [*options.bags, *(path for path in named if path is not None)]


def _absolute(path: str) -> str:
    """A path that holds in other processes too; empty stays empty."""
    return str(Path(path).resolve()) if path else ""


def _check_pace(options: argparse.Namespace) -> None:
    """Refuse options of the pace, and of the real node, that do not go together."""
    if options.rate != 1 and not options.latency_model and not options.online:
        raise ValueError(
            "--rate is the speed at which images reach a machine: "
            "simulate one with --latency-model, or use the real node with --online"
        )
    if options.lockstep and not options.online:
        raise ValueError("--lockstep goes with --online alone")
    if options.lockstep and options.rate != 1:
        raise ValueError("--lockstep sets the pace by the labels; leave --rate away")
    for name in NOT_ONLINE if options.online else ():
        if getattr(options, name) != options.bag_defaults[name]:
            raise ValueError(f"--{name.replace('_', '-')} does not go with --online")


def _online_player(options: argparse.Namespace, parameters: NodeParameters) -> OnlinePlayer:
    """What plays a bag to the real node.

    Raises:
        ValueError: the node has several cameras.
    """
    from stmem_ros.evaluation.replay.bag_moments import find_cameras
    from stmem_ros.io.bag_topics import is_rectified
    from stmem_ros.io.bags import BagReader
    from stmem_ros.online.node_process import NodeProcessError
    from stmem_ros.online.online_replay import PlayedNode, ReplayError, replay_online

    rate = None if options.lockstep else options.rate
    if len(parameters.cameras) > 1:
        cameras = ", ".join(parameters.cameras)
        raise ValueError(f"--online plays one camera; {options.params} names {cameras}")

    def play(task: BagTask, recording: RecordingFolder) -> None:
        with BagReader(Path(task.path)) as bag:
            cameras = find_cameras(bag.topics, parameters.cameras, task.options.topics)
            (topics,) = cameras.values()
            rectified = task.options.rectified
            if rectified is None:
                rectified = is_rectified(topics.image)
            played_with = dataclasses.replace(
                task.parameters, model=task.bundle, device=task.device, rectified=rectified
            )
            node = PlayedNode(played_with, task.threads)
            try:
                played = replay_online(bag, topics, recording.path, node, rate)
            except (NodeProcessError, ReplayError) as error:
                raise ValueError(f"online: {error}") from error
        played.save(recording)

    return play


def _disturbances(options: argparse.Namespace) -> Sequence[Disturbance]:
    """What is done to a data set's images, the first of which nothing is done to."""
    from stmem_ros.data.disturbance import DISTURBANCES, INTERVALS

    if options.intervals and (options.ablate or options.robustness):
        raise CommandError("--intervals goes with neither --ablate nor --robustness")
    if options.intervals:
        return INTERVALS
    return DISTURBANCES if options.robustness else DISTURBANCES[:1]


def _run_dataset(options: argparse.Namespace) -> int:
    import cv2
    import torch

    from stmem_ros.data.datasets import open_dataset
    from stmem_ros.evaluation.evaluate_dataset import evaluate_variants, variants_to_json
    from stmem_ros.model.ablation import TITLES, load_variants, of_whole
    from stmem_ros.model.bundle import load_bundle
    from stmem_ros.streaming.execution import Execution
    from stmem_ros.streaming.segmenter import NotFiniteError

    names = options.model or ["onboard"]
    if len(names) > 1:
        raise CommandError(f"--model {', '.join(names)}: with --dataset it must be one")
    if options.threads < 1:
        raise CommandError(f"--threads is {options.threads}; it must be 1 or more")
    torch.set_num_threads(options.threads)  # as with bags, so that both give the same figures
    cv2.setNumThreads(options.threads)
    disturbances = _disturbances(options)
    try:
        check_output_file(options.json, force=options.force)
        if options.ablate or options.intervals:
            variants = load_variants(names[0], options.device)
        else:
            variants = {"mar": load_bundle(names[0], options.device)}
        architecture = of_whole(variants).architecture
        around = architecture.target, architecture.window - 1 - architecture.target
        dataset = open_dataset(options.dataset, options.root, options.split, *around, "repeat")
        execution = Execution(options.precision)
        disturbed = evaluate_variants(variants, dataset, execution, disturbances, options.ablate)
    except (OSError, ValueError, NotFiniteError) as error:
        raise CommandError(str(error)) from error
    if not dataset.labelled_pixels and (dataset.labels or not dataset.is_video):
        raise CommandError(f"{options.dataset} {options.split}: {'; '.join(dataset.notes)}")
    for note in dataset.notes:
        print(f"{options.dataset} {options.split}: {note}")
    scores = disturbed[disturbances[0].name]
    titles = [TITLES[name] for name in scores] if len(variants) > 1 else names
    _print_tables(options, titles, disturbed)
    if options.json:
        content = variants_to_json(scores)
        if len(disturbed) > 1:
            content["disturbed"] = {name: variants_to_json(s) for name, s in disturbed.items()}
        try:
            with whole_file(options.json) as part:
                part.write_text(json.dumps(content, indent=1))
        except OSError as error:
            raise CommandError(f"--json {options.json} cannot be written: {error}") from error
    return 0


def _print_tables(
    options: argparse.Namespace, titles: Sequence[str], disturbed: dict[str, dict[str, Scores]]
) -> None:
    """Scores of variants by their titles, without disturbances, the first, and with them."""
    from stmem_ros.evaluation.report.terminal import dataset_table, interval_table
    from stmem_ros.model.ablation import of_whole

    if options.intervals:
        print(interval_table(titles, disturbed) + "\n")
    print(dataset_table(titles, list(next(iter(disturbed.values())).values())))
    if options.robustness:
        print("\nwith disturbed images")
        print(dataset_table(list(disturbed), [of_whole(variant) for variant in disturbed.values()]))
    if len(titles) > 1 and len(disturbed) > 1:
        for name, scores in disturbed.items():
            print(f"\nimages: {name}")
            print(dataset_table(titles, list(scores.values())))
