"""``stmem mask``: masks of what moves along with a camera."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from stmem_ros.commands.arguments import add_force
from stmem_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from stmem_ros.data.still_edges import StillEdges

MOST_IMAGES = 300  # of a bag that are looked at


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("mask", help="mask a hood, a gripper or a mirror in the images")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    learn = actions.add_parser(
        "learn",
        help="find what never moves while the camera does, and write it as a mask",
        epilog="example: stmem mask learn drive --out hood.png",
    )
    learn.add_argument("bags", type=Path, nargs="+", metavar="bag",
                       help="recording of a drive with turns")  # fmt: skip
    learn.add_argument("--topic", help="image topic, where a bag has several cameras")
    learn.add_argument("--out", type=Path, default=Path("mask.png"),
                       help="PNG to write: black where nothing is labelled")  # fmt: skip
    add_force(learn)
    learn.set_defaults(run_command=run_learn)


def run_learn(options: argparse.Namespace) -> int:
    import cv2

    from stmem_ros.data.still_edges import StillEdges
    from stmem_ros.io.output_file import check_output_file
    from stmem_ros.io.whole_output import whole_file

    edges = StillEdges()
    try:
        check_output_file(options.out, options.bags, options.force)
        for path in options.bags:
            _look_at(path, options.topic, edges)
        mask = edges.mask()
        with whole_file(options.out) as part:
            if not cv2.imwrite(str(part), 255 - 255 * mask.astype("uint8")):
                raise OSError(f"{options.out} cannot be written; name a .png")
    except (OSError, ValueError, cv2.error) as error:
        raise CommandError(str(error)) from error
    print(
        f"{mask.mean():.1%} of the image is masked, by {edges.count} images: {options.out}; "
        "look at it, and name it in parameter masks"
    )
    return 0


def _look_at(path: Path, topic: str | None, edges: StillEdges) -> None:
    """Add the images of a bag, at most ``MOST_IMAGES`` from its beginning to its end.

    Images that cannot be read are left out and told.

    Raises:
        BagError: the bag cannot be read.
        StillEdgesError: images are of different sizes.
    """
    from tqdm import tqdm

    from stmem_ros.io.bag_contents import MessageError
    from stmem_ros.io.bag_topics import find_image_topic
    from stmem_ros.io.bags import BagReader
    from stmem_ros.io.encodings import BitDepth, ImageError
    from stmem_ros.io.images import decode_image

    with BagReader(path) as bag:
        camera = find_image_topic(bag.topics, topic)
        step = -(-camera.count // MOST_IMAGES)
        depth = BitDepth()
        records = tqdm(bag.records({camera.name}), total=camera.count, desc="looking", unit="frame")
        left_out = []
        for record in islice(records, None, None, step):
            try:
                image = decode_image(bag.decode(record), depth)
            except (MessageError, ImageError) as error:
                left_out.append(error)
                continue
            edges.add(image)
    if left_out:
        print(f"{path}: {len(left_out)} images are left out, the first: {left_out[0]}")
