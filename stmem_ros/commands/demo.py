"""``stmem demo``: the main job end to end, with the real node over real middleware."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stmem_ros.commands.arguments import add_rectified
from stmem_ros.commands.errors import CommandError
from stmem_ros.io.output_folder import remove_folder

if TYPE_CHECKING:
    from stmem_ros.demo import DemoSummary
    from stmem_ros.io.bags import Topic
    from stmem_ros.io.video import Video

FRAMES = 60  # of the bundled scene, at 10 Hz
FOLDERS = ("input", "output", "log")  # that a demo leaves behind
FILES = ("node.log", "overlay.mp4", "costmap.png", "index.html", "summary.json")


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo",
        help="run the node on a scene, a bag or a video and show what it makes of it",
        epilog="example: stmem demo --bag drive --out demo-out",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--bag", type=Path, help="bag to play (default: a synthetic street)")
    source.add_argument("--video", type=Path, help="video file to play")
    parser.add_argument("--topic", help="image topic, where a bag has several cameras")
    parser.add_argument("--info-topic", help="camera_info topic, where it is not beside the images")
    add_rectified(parser)
    parser.add_argument("--model", default="onboard", help="shipped bundle or a bundle's folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--rate", type=float, help="speed, 1 is real time (default: real time, "
                        "waiting for the node where it is slower)")  # fmt: skip
    parser.add_argument("--force", action="store_true",
                        help="write into --out though it holds other things")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="where results go")
    parser.set_defaults(run_command=run)


def run(options: argparse.Namespace) -> int:
    from stmem_ros import demo  # noqa: F401  what it needs and is missing is told before the work
    from stmem_ros.io.video import Video
    from stmem_ros.online.node_process import NodeProcessError
    from stmem_ros.online.online_replay import ReplayError

    if options.rate is not None and not options.rate > 0:
        raise CommandError(f"--rate is {options.rate}; it must be positive")
    try:
        video = Video(options.video) if options.video else None
        bag = _prepare(options, video)
        summary, info = _show(bag, options)
    except (OSError, ValueError, NodeProcessError, ReplayError) as error:
        raise CommandError(str(error)) from error
    print(json.dumps(summary.__dict__, indent=1))
    print(f"open {options.out / 'index.html'}")
    if video is not None and video.problem:
        raise CommandError(video.problem)
    if info is not None and not summary.costmaps_out:
        raise CommandError(
            f"no grid came about, though there is a calibration on {info.name}; "
            f"`stmem evaluate {bag}` says why"
        )
    return 0


def _prepare(options: argparse.Namespace, video: Video | None) -> Path:
    """Claim the output folder; the bag to show, which is made of a video or the synthetic world.

    Raises:
        ValueError: the model or the output folder cannot be used.
    """
    from stmem_ros.data.synthetic.bag import create_synthetic_bag
    from stmem_ros.io import bag_create
    from stmem_ros.io.output_folder import EarlierLayout, claim_folder, renew_folder
    from stmem_ros.model.bundle import bundle_folder, read_info

    read_info(bundle_folder(options.model))
    inputs = [path for path in (options.bag, options.video) if path]
    layout = EarlierLayout(("summary.json", "overlay.mp4"), FOLDERS)
    claim_folder(options.out, inputs, options.force, layout)
    if options.bag is not None:
        return options.bag
    _clear(options.out)
    made: Path = options.out / "input"
    renew_folder(made)
    if video is None:
        create_synthetic_bag(made, "avenue", 3, FRAMES, 10.0)
    else:
        bag_create.create_bag(made, bag_create.read_video(video), None, None, None)
    return made


def _show(bag: Path, options: argparse.Namespace) -> tuple[DemoSummary, Topic | None]:
    """Play a bag to the node, and show what it made of it.

    Returns:
        The summary, and the topic of the calibration; None without.

    Raises:
        ValueError: the bag cannot be used.
        NodeProcessError, ReplayError: the node did not label it.
    """
    from stmem_ros.demo import DemoSummary, Recording, write_report
    from stmem_ros.evaluation.replay.bag_moments import TopicChoice, find_cameras
    from stmem_ros.io.bag_topics import is_rectified
    from stmem_ros.io.bags import BagReader
    from stmem_ros.io.output_folder import renew_folder
    from stmem_ros.online.online_replay import PlayedNode, replay_online
    from stmem_ros.parameters import DEFAULTS

    out: Path = options.out
    with BagReader(bag) as source:
        choice = TopicChoice(image=options.topic, info=options.info_topic)
        topics = find_cameras(source.topics, ("",), choice)[""]
        if options.bag is not None:
            _clear(out)
        rectified = options.rectified
        if rectified is None:
            rectified = is_rectified(topics.image)
        info = "none" if topics.info is None else topics.info.name
        said = "rectified" if rectified else "not rectified"
        print(f"images: {topics.image.name}, calibration: {info}; images are {said}")
        parameters = replace(
            DEFAULTS, model=options.model, device=options.device, rectified=rectified
        )
        for name in ("output", "log"):
            renew_folder(out / name)
        done = replay_online(source, topics, out, PlayedNode(parameters), options.rate)
        recording = Recording(source, topics.image, out / "output")
        summary = DemoSummary(
            frames_in=len(done.stamps),
            labels_out=len(done.latencies),
            costmaps_out=len(recording.grids),
            dropped=done.dropped,
            latency_ms=_percentiles(tuple(done.latencies.values())),
            miou=recording.miou(topics.label),
            model=recording.model,
            device=done.device,
        )
        write_report(recording, summary, out)
        for name, why in recording.left_out.items():
            print(f"messages on {name} are left out, the first: {why}")
    return summary, topics.info


def _percentiles(latencies: tuple[float, ...]) -> dict[str, float | None]:
    if not latencies:
        return {"p50": None, "p95": None}
    p50, p95 = np.percentile(latencies, (50, 95)) * 1000
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def _clear(out: Path) -> None:
    """Remove what an earlier demo left in the output folder; nothing else is removed."""
    for name in FOLDERS:
        remove_folder(out / name)
    for name in FILES:
        (out / name).unlink(missing_ok=True)
