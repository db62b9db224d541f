"""The options of ``stmem evaluate`` that go with data sets alone, and with bags alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from stmem_ros.commands.arguments import add_rectified
from stmem_ros.data.datasets import DATASETS


def dataset_options() -> argparse.ArgumentParser:
    """What goes with a data set alone; a parent of the command's parser."""
    parser = argparse.ArgumentParser(add_help=False)
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
    data.add_argument(
        "--intervals",
        action="store_true",
        help="instead, what STF and MAR add where frames lie farther apart: at lower rates and "
        "with dropped frames",
    )
    return parser


def bag_options() -> argparse.ArgumentParser:
    """What goes with bags alone; a parent of the command's parser."""
    parser = argparse.ArgumentParser(add_help=False)
    bags = parser.add_argument_group("bags")
    bags.add_argument(
        "--out",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help="where results go (default: evaluation)",
    )
    bags.add_argument(
        "--params",
        type=Path,
        metavar="FILE",
        help="parameter file of the node that drives; bags are replayed as it would work on them",
    )
    bags.add_argument("--topic", help="image topic, where a bag has several cameras")
    bags.add_argument("--info-topic", help="camera_info topic, where it is not beside the images")
    bags.add_argument("--label-topic", help="topic of reference labels (mono8)")
    bags.add_argument("--points-topic", help="PointCloud2 or depth image the grid is checked with")
    add_rectified(bags)
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
    bags.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="KIND",
        help="a fault that is no failure: no_frame, no_labelled_frame, no_labelled_pixel, no_grid, "
        "no_points, fewer_frames",
    )
    bags.add_argument("--jobs", type=int, default=1, help="bags at a time (default: 1)")
    bags.add_argument("--engine", choices=("local", "ray"), default="local")
    bags.add_argument("--address", help="of a Ray cluster (default: Ray on this machine alone)")
    bags.add_argument(
        "--resume", action="store_true", help="keep the bags that an earlier run has finished"
    )
    return parser
