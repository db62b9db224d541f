"""``stmem bag``: making, listing and playing rosbag2 files."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Annotated

from stmem_ros.commands.arguments import add_force
from stmem_ros.commands.errors import CommandError
from stmem_ros.configuration import Count, CountFromOne, Range, convert
from stmem_ros.error_text import error_text

CREATED = {  # what numbers of a new bag may be
    "rate": Annotated[float, Range(ge=0.001, le=10_000.0)],
    "camera_height": Annotated[float, Range(gt=0.0, le=1000.0)],
    "camera_pitch": Annotated[float, Range(ge=-90.0, le=90.0)],
    "frames": CountFromOne,
    "seed": Count,
}


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("bag", help="make, list and play rosbag2 files (MCAP)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    create = actions.add_parser(
        "create",
        help="images, a video or the synthetic world to a bag",
        epilog="example: stmem bag create drive --images frames --labels labels --rate 15",
    )
    create.add_argument("out", type=Path, help="folder of the new bag")
    source = create.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, help="folder of JPEG or PNG files")
    source.add_argument("--video", type=Path, help="video file")
    source.add_argument("--synthetic", metavar="KIND",
                        help="synthetic drive: straight, avenue, crowded or turn")  # fmt: skip
    create.add_argument("--labels", type=Path, help="folder of label images of the same names")
    create.add_argument(
        "--names", type=Path, help="text file with a name per line: chooses and orders the images"
    )
    create.add_argument(
        "--rate", type=float, help="frames per second (default: 10, or the video's)"
    )
    create.add_argument("--calibration", type=Path, help="YAML of camera_calibration or OpenCV, "
                        "or JSON")  # fmt: skip
    create.add_argument("--camera-height", type=float, help="m over the ground; writes /tf_static")
    create.add_argument("--camera-pitch", type=float, default=0.0, help="degrees downwards")
    create.add_argument("--frames", type=int, default=60, help="frames of a synthetic drive")
    create.add_argument("--seed", type=int, default=1, help="seed of a synthetic drive")
    create.add_argument("--cameras", type=_names, default=[], metavar="NAMES",
                        help="of a synthetic drive, such as front,rear: topics of each under its "
                        "name (default: one, under /camera)")  # fmt: skip
    add_force(create)
    create.set_defaults(run_command=run_create)

    info = actions.add_parser(
        "info", help="what is in a bag", epilog="example: stmem bag info drive"
    )
    info.add_argument("bag", type=Path)
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run_command=run_info)

    play = actions.add_parser(
        "play",
        help="publish a bag with /clock",
        epilog="example: stmem bag play drive --rate 0.5 --remap /camera/image_raw:=/image_raw",
    )
    play.add_argument("bag", type=Path)
    play.add_argument("--rate", type=float, default=1.0, help="speed, 1 is real time (default)")
    play.add_argument("--loop", action="store_true", help="begin again at the end")
    play.add_argument("--topics", nargs="+", help="play these topics alone")
    play.add_argument("--exclude", nargs="+", default=[], help="do not play these topics")
    play.add_argument("--max-silence", type=float, default=10.0, metavar="S",
                      help="shorten longer silences to S seconds of the bag (default: 10; inf: "
                      "play all as they are)")  # fmt: skip
    play.add_argument("--remap", nargs="+", default=[], metavar="FROM:=TO", help="rename topics")
    play.add_argument("--record", type=Path, metavar="OUT",
                      help="wait for the node; record what it publishes as bag OUT")  # fmt: skip
    play.add_argument("--image", metavar="TOPIC", help="with --record: the camera the node "
                      "listens to, where the bag has several")  # fmt: skip
    play.add_argument("--cameras", type=_names, default=[""], metavar="NAMES",
                      help="with --record: of the node, where it has several, as of its parameter "
                      "cameras: front,rear")  # fmt: skip
    play.set_defaults(run_command=run_play)


def _names(text: str) -> list[str]:
    return text.split(",")


def run_create(options: argparse.Namespace) -> int:
    from stmem_ros.io.output_file import check_output_files

    for name in () if options.images else ("labels", "names"):
        if getattr(options, name) is not None:
            raise CommandError(f"--{name} goes with --images alone")
    if options.cameras and not options.synthetic:
        raise CommandError("--cameras goes with --synthetic alone")
    inputs = (options.images, options.video, options.labels, options.names, options.calibration)
    try:
        for name, kind in CREATED.items():
            if (value := getattr(options, name)) is not None:
                convert(value, kind, f"--{name.replace('_', '-')}")
        check_output_files(options.out, [path for path in inputs if path], options.force)
        count, problem = _create_synthetic(options) if options.synthetic else _create(options)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    if not count:
        raise CommandError(problem or f"{options.images or options.video}: no frame to write")
    print(f"{count} frames written to {options.out}")
    if problem:
        raise CommandError(problem)
    return 0


def _create_synthetic(options: argparse.Namespace) -> tuple[int, str]:
    from stmem_ros.data.synthetic.bag import create_synthetic_bag

    create_synthetic_bag(
        options.out,
        options.synthetic,
        options.seed,
        options.frames,
        options.rate or 10.0,
        options.force,
        options.cameras,
    )
    return options.frames, ""


def _create(options: argparse.Namespace) -> tuple[int, str]:
    """From images or a video: how many frames were written, and which are missing."""
    from stmem_ros.geometry.camera import Mounting
    from stmem_ros.io import bag_create
    from stmem_ros.io.calibration import read_calibration
    from stmem_ros.io.video import Video

    video = None
    if options.video:
        video = Video(options.video)
        rate, frames = options.rate, bag_create.read_video(video)
    else:
        files = bag_create.image_files(options.images, options.labels, options.names)
        if turned := sum(file.is_turned for file in files):
            print(
                f"{turned} of {len(files)} images are to be looked at turned, by their EXIF; "
                "their pixels are taken as they are stored"
            )
        rate, frames = options.rate or 10.0, bag_create.read_files(files)
    camera = read_calibration(options.calibration) if options.calibration else None
    mounting = None
    if options.camera_height:
        mounting = Mounting(options.camera_height, math.radians(options.camera_pitch))
    count = bag_create.create_bag(options.out, frames, rate, camera, mounting, options.force)
    return count, "" if video is None else video.problem


def run_info(options: argparse.Namespace) -> int:
    from stmem_ros.io.bags import BagError, BagReader

    try:
        with BagReader(options.bag) as bag:
            topics, duration, notes = bag.topics, bag.duration, bag.notes
    except BagError as error:
        raise CommandError(str(error)) from error
    if options.json:
        rows = [{"name": t.name, "type": t.type, "count": t.count} for t in topics]
        print(json.dumps({"bag": str(options.bag), "duration_s": duration, "topics": rows,
                          "notes": notes}))  # fmt: skip
        return 0
    print(f"{options.bag}: {duration:.2f} s, {sum(t.count for t in topics)} messages")
    for topic in topics:
        print(f"{topic.count:8d}  {topic.name}  ({topic.type})")
    for note in notes:
        print(f"note: {note}")
    return 0


def run_play(options: argparse.Namespace) -> int:
    from stmem_ros.io.bags import BagError
    from stmem_ros.io.output_file import check_output_files
    from stmem_ros.io.output_folder import OutputError
    from stmem_ros.node.security import SecurityError, asked_security
    from stmem_ros.online.online_replay import ReplayError, record_while_playing
    from stmem_ros.online.player import PlayOptions, play_bag

    if options.record and options.loop:
        raise CommandError("--record takes no --loop: a recording ends with the bag")
    try:
        remaps = dict(pair.split(":=", 1) for pair in options.remap)
    except ValueError as error:
        raise CommandError(f"--remap {options.remap}: each must be FROM:=TO") from error
    if not options.rate > 0:
        raise CommandError(f"--rate is {options.rate}; it must be positive")
    if not options.max_silence >= 0:
        raise CommandError(f"--max-silence is {options.max_silence}; it must be 0 or more seconds")
    choice = PlayOptions(
        frozenset(options.topics) if options.topics else None,
        frozenset(options.exclude),
        remaps,
        options.max_silence,
    )
    security = None
    try:
        security = asked_security()
        if options.record:
            check_output_files(options.record, [options.bag])
            done = record_while_playing(
                options.bag, options.image, options.record, options.rate, choice, options.cameras
            )
            labelled = len(done.latencies)
            print(f"{len(done.stamps)} images played, {labelled} labelled: {options.record}")
        else:
            play_bag(options.bag, options.rate, options.loop, choice, _print_played)
    except (BagError, OutputError, ReplayError, SecurityError) as error:
        raise CommandError(str(error)) from error
    except RuntimeError as error:
        if security is None:
            raise
        raise CommandError(f"security is on: {error_text(error)}") from error
    return 0


def _print_played(count: int) -> None:
    print(f"{count} messages played", flush=True)
