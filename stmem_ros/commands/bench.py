"""``stmem bench``: speed and trust, measured side by side."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from stmem_ros.commands.arguments import (
    add_execution,
    add_force,
    camera_size,
    execution,
    image_size,
)
from stmem_ros.commands.errors import CommandError
from stmem_ros.configuration import CountFromOne, convert
from stmem_ros.io.whole_output import whole_file
from stmem_ros.streaming.kernels.allocator import keep_freed_memory

NO_SHARES = ("front_edge_error_m", "update_ms_median")  # of the figures of a costmap


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("bench", help="measure the network's speed, or the costmap")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    core = actions.add_parser(
        "core",
        help="plain form, stream and floor side by side, on equal weights",
        epilog="example: stmem bench core --model psp50 --size 256x512",
    )
    core.add_argument(
        "--model", default="onboard", help="a bundle, or psp50 or psp101 with random weights"
    )
    core.add_argument(
        "--size", type=image_size, default=(360, 480), metavar="HxW", help="of the images"
    )
    core.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    core.add_argument("--repeats", type=int, default=10, help="frames that are timed")
    core.add_argument("--cameras", type=int, default=1, help="also so many, pushed together")
    add_execution(core)
    _add_outputs(core)
    core.set_defaults(run_command=run_core)
    node = actions.add_parser(
        "node",
        help="the node in a process of its own: from an image to its label, beside the bare core",
        epilog="example: stmem bench node --size 1280x720 --rate 10",
    )
    node.add_argument("--model", default="onboard", help="shipped bundle or a bundle's folder")
    node.add_argument(
        "--size",
        type=camera_size,
        default=(720, 1280),
        metavar="WxH",
        help="of the camera's images",
    )
    node.add_argument("--rate", type=float, default=10.0, help="images per second")
    node.add_argument("--seconds", type=float, default=20.0, help="of images, in all")
    node.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    add_execution(node)
    _add_outputs(node)
    node.set_defaults(run_command=run_node)
    costmap = actions.add_parser(
        "costmap",
        help="the costmap against the synthetic world's ground truth, or a bag's against lidar",
        epilog="example: stmem bench costmap --model onboard --bag drive --lidar drive_lidar",
    )
    costmap.add_argument("--model", help="label with this model; default: with the true labels")
    costmap.add_argument("--bag", type=Path, help="map this bag instead of the synthetic world")
    costmap.add_argument(
        "--lidar", type=Path, metavar="FOLDER", help="lidar of the bag's frames (docs/costmap.md)"
    )
    costmap.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="with --lidar: write a picture per frame"
    )
    costmap.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    _add_outputs(costmap)
    costmap.set_defaults(run_command=run_costmap)
    plan = actions.add_parser(
        "plan",
        help="what a planner such as Nav2's makes of the costmap, in the synthetic world",
        epilog="example: stmem bench plan --model onboard --pictures hits",
    )
    plan.add_argument("--model", help="label with this model; default: with the true labels")
    plan.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="write pictures of paths through bodies"
    )
    plan.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    _add_outputs(plan)
    plan.set_defaults(run_command=run_plan)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw them (.png, .svg)")
    add_force(parser)


def _check(options: argparse.Namespace) -> None:
    """Refuse what ``--json`` and ``--plot`` ask for, before the work, where it cannot be written.

    Raises:
        CommandError: a file cannot be written, or nothing can draw it.
    """
    from stmem_ros.io.output_file import check_output_file

    try:
        check_output_file(options.json, force=options.force)
        check_output_file(options.plot, [p for p in (options.json,) if p], options.force)
        if options.plot:
            from stmem_ros.bench.plot import check_format

            check_format(options.plot)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _write(
    options: argparse.Namespace, content: object, unit: str, bars: dict[str, dict[str, float]]
) -> None:
    """Write what ``--json`` and ``--plot`` ask for."""
    title = f"stmem bench {options.action}"
    if options.model:
        title += f": {options.model}"
    if options.action in ("core", "node"):
        title += f", images of {options.size[1]} x {options.size[0]} pixels"
    try:
        if options.json:
            with whole_file(options.json) as part:
                part.write_text(json.dumps(content, indent=1))
        if options.plot:
            from stmem_ros.bench.plot import save_bars

            save_bars(options.plot, title, unit, bars)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error


def run_core(options: argparse.Namespace) -> int:
    from stmem_ros.bench.core import bench_core

    _check(options)
    try:
        for name in ("repeats", "cameras"):
            convert(getattr(options, name), CountFromOne, f"--{name}")
        times = bench_core(
            options.model,
            options.size,
            options.device,
            options.repeats,
            execution(options),
            options.cameras,
        )
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    print(f"plain form            {times.plain_ms:9.1f} ms per frame")
    print(f"stream in {times.precision:<12}{times.streaming_ms:9.1f} ms", end="")
    print(f"   {times.plain_ms / times.streaming_ms:.2f} times faster")
    print(f"floor                 {times.floor_ms:9.1f} ms", end="")
    print(f"   the stream takes {times.streaming_ms / times.floor_ms:.2f} times as long")
    for stage, ms in times.stages_ms.items():
        limit = times.limits[stage]
        print(
            f"  {stage:<20}{ms:9.1f} ms   {ms / limit.ms:5.1f} limits of {limit.ms:.2f} ms", end=""
        )
        print(f"   {limit.gflop:.2f} GFLOP, {limit.megabytes:.0f} MB: {limit.bound}")
    rates = times.rates
    print(f"device                {rates.flops / 1e9:9.0f} GFLOP/s   {rates.bytes / 1e9:.1f} GB/s")
    if times.together_ms is not None:
        share = times.together_ms / (times.cameras * times.streaming_ms)
        print(f"{times.cameras:>2} cameras together   {times.together_ms:9.1f} ms", end="")
        print(f"   {100 * share:.0f} % of one after another")
    print(f"largest difference    {times.max_abs_diff:9.1e} of the logits")
    print(f"same labels           {100 * times.argmax_agreement:9.4f} %")
    print(f"peak memory           {times.peak_memory_mb:9.0f} MB", end="")
    print(f"   plain form {times.plain_peak_memory_mb:.0f} MB")
    bars = {
        "plain form": {"": times.plain_ms},
        "stream": {"": times.streaming_ms},
        "floor": {"": times.floor_ms},
        "stages of the stream": times.stages_ms,
    }
    if times.together_ms is not None:
        bars[f"{times.cameras} cameras together"] = {"": times.together_ms}
    _write(options, dataclasses.asdict(times), "ms per frame", bars)
    return 0


def run_node(options: argparse.Namespace) -> int:
    from stmem_ros.bench.node_bench import bench_node
    from stmem_ros.online.node_process import NodeProcessError

    if not (options.rate > 0 and options.seconds > 0):
        raise CommandError(
            f"--rate is {options.rate} and --seconds {options.seconds}; both must be positive"
        )
    _check(options)
    keep_freed_memory()  # as the node does
    try:
        times = bench_node(
            options.model,
            options.size,
            options.rate,
            options.seconds,
            options.device,
            execution(options),
        )
    except (OSError, ValueError, NodeProcessError) as error:
        raise CommandError(str(error)) from error
    print(f"bare push             {times.push_ms:9.1f} ms, median")
    print(f"image to label        {times.latency_p50_ms:9.1f} ms, median", end="")
    print(f"   {times.latency_p50_ms / times.push_ms:.2f} pushes", end="")
    print(f"   95 %: {times.latency_p95_ms:.1f} ms   99 %: {times.latency_p99_ms:.1f} ms")
    for stage, ms in times.stages_ms.items():
        print(f"  {stage:<20}{ms:9.1f} ms")
    print(f"images                {times.sent_hz:9.1f} Hz", end="")
    print(f"   labels {times.labelled_hz:.1f} Hz", end="")
    print(f"   {times.dropped} of {times.sent} dropped, {times.lost} lost on the way")
    print(f"CPU of a push         {times.push_cpu_ms:9.1f} ms", end="")
    print(f"   of the node {times.label_cpu_ms:.1f} ms a label, costmap included")
    print(f"memory                {times.memory_end_mb:9.0f} MB", end="")
    print(f"   {times.memory_end_mb - times.memory_start_mb:+.1f} MB since the first turn")
    bars = {
        "bare push": {"": times.push_ms},
        "image to label, median": {"": times.latency_p50_ms},
        "95 % within": {"": times.latency_p95_ms},
        "99 % within": {"": times.latency_p99_ms},
        "in the node": {k: v for k, v in times.stages_ms.items() if k != "total"},
    }
    _write(options, dataclasses.asdict(times), "ms", bars)
    return 0


def run_costmap(options: argparse.Namespace) -> int:
    from stmem_ros.bench.costmap import bench_costmap, model_labels, true_labels, world_rules
    from stmem_ros.bench.lidar import bench_lidar
    from stmem_ros.bench.sightings import BarredShares
    from stmem_ros.costmap.rules import default_rules
    from stmem_ros.io.output_file import check_output_files
    from stmem_ros.model.bundle import load_bundle

    if (options.bag is None) != (options.lidar is None):
        raise CommandError("--bag and --lidar need each other")
    if options.lidar is not None and options.model is None:
        raise CommandError("--lidar needs --model: a real drive has no true labels")
    _check(options)
    keep_freed_memory()
    sightings: tuple[BarredShares, ...] = ()
    try:
        if options.pictures is not None:
            inputs = [p for p in (options.bag, options.lidar) if p]
            check_output_files(options.pictures, inputs, options.force)
        model = None
        if options.model is not None:
            model = load_bundle(options.model, options.device)
        rules = default_rules(model.info.classes) if model else world_rules()
        labeller = model_labels if model else true_labels
        if options.lidar is not None:
            found = bench_lidar(
                options.bag, options.lidar, rules, model, labeller, options.pictures
            )
            figures = {f"{size:g} m": dataclasses.asdict(s) for size, s in found.items()}
        else:
            scores = bench_costmap(rules, model, labeller)
            sightings = scores.sightings
            figures = {"": dataclasses.asdict(scores)}
            del figures[""]["sightings"]  # a table of its own
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    if options.lidar is not None:
        print(f"{'cells of':>20}" + "".join(f"{title:>8}" for title in figures))
    for name in next(iter(figures.values())):
        print(f"{name:>20}" + "".join(f"{row[name]:8.4f}" for row in figures.values()))
    for row in sightings:
        state = "moving" if row.moving else "standing"
        print(f"{'barred, ' + row.name:>20} {state:>8}", end="")
        print("".join(f"   {at}: {s.barred:.3f} of {s.sightings}" for at, s in row.at.items()))
    content = (
        figures
        if options.lidar is not None
        else figures[""] | {"sightings": [dataclasses.asdict(row) for row in sightings]}
    )
    shares = {
        f"{name} {title}".strip(): {"": value}
        for title, row in figures.items()
        for name, value in row.items()
        if name not in NO_SHARES
    }
    _write(options, content, "share", shares)
    return 0


def run_plan(options: argparse.Namespace) -> int:
    from stmem_ros.bench.costmap import model_labels, true_labels, world_rules
    from stmem_ros.bench.plan import bench_plan
    from stmem_ros.costmap.rules import default_rules
    from stmem_ros.io.output_file import check_output_files
    from stmem_ros.model.bundle import load_bundle

    _check(options)
    keep_freed_memory()
    try:
        if options.pictures is not None:
            check_output_files(options.pictures, [], options.force)
        model = load_bundle(options.model, options.device) if options.model else None
        rules = default_rules(model.info.classes) if model else world_rules()
        labeller = model_labels if model else true_labels
        found = bench_plan(rules, model, labeller, pictures=options.pictures)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    rows = [dataclasses.asdict(s) | dataclasses.asdict(shares) for s, shares in found.items()]
    print("".join(f"{name:>17}" for name in rows[0]))
    for row in rows:
        print("".join(f"{v:17.3f}" if type(v) is float else f"{v!s:>17}" for v in row.values()))
    bars = {
        f"{s.lethal_threshold}, {s.radius:g} m, unknown {'yes' if s.allow_unknown else 'no'}": {
            "into what stands": shares.hit_standing,
            "into what moves": shares.hit_moving,
        }
        for s, shares in found.items()
    }
    _write(options, rows, "share of the paths", bars)
    return 0
