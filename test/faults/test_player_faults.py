"""A player that dies, and a disk that is full while it records."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image
from support.forks import Fork
from support.ros import LATCHED, NODE, Peer
from trial import LIMITS

from stmem_ros.commands import stmem
from stmem_ros.data.synthetic.bag import create_synthetic_bag

SMALL_DISK = 200_000  # bytes
PLAYED = ("--remap", "/camera/image_raw:=/image_raw", "/camera/camera_info:=/camera_info")

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    create_synthetic_bag(path, "straight", seed=3, frames=60, rate=10.0)
    return path


@pytest.fixture
def node(peer: Peer, start_node: Callable[..., Fork]) -> Fork:
    limits = [word for name, value in LIMITS.items() for word in ("-p", f"{name}:={value}")]
    node = start_node("-p", "use_sim_time:=true", *limits)
    peer.wait_until_active()
    return node


def test_a_player_that_was_killed_is_told_of_and_another_one_takes_over(
    peer: Peer, node: Fork, bag: Path, tmp_path: Path
) -> None:
    labels = peer.collect(Image, f"{NODE}/label")
    grids = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")

    def told() -> str:
        return "; ".join(status.message for status in diagnostics[-1].status)

    for number in range(2):
        player = Fork(stmem.main, ["stmem", "bag", "play", str(bag), "--loop", *PLAYED],
                      tmp_path / f"player{number}.log")  # fmt: skip
        try:
            before, grids_before = len(labels), len(grids)
            peer.wait(lambda n=before: len(labels) > n + 5, "labels")
            peer.wait(lambda n=grids_before: any(max(g.data) > 0 for g in grids[n:]), "a grid")
        finally:
            player.kill()
        peer.wait(lambda: "/clock has not moved" in told(), "a word of the clock", 5.0)
    assert node.is_running()


def limited() -> int:
    """``stmem`` on a disk that soon is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_DISK, SMALL_DISK))
    return stmem.main(sys.argv[1:])


def test_a_recording_on_a_full_disk_ends_with_a_reason_and_the_node_goes_on(
    peer: Peer, node: Fork, bag: Path, tmp_path: Path
) -> None:
    labels = peer.collect(Image, f"{NODE}/label")
    out = tmp_path / "recorded"
    words = ["stmem", "bag", "play", str(bag), "--record", str(out), *PLAYED]
    player = Fork(limited, words, tmp_path / "player.log")
    try:
        assert player.exit_code(60.0) == 1, player.text()
    finally:
        player.close()
    assert "Traceback" not in player.text() and str(out) in player.text()
    player = Fork(stmem.main, ["stmem", "bag", "play", str(bag), *PLAYED], tmp_path / "second.log")
    try:
        count = len(labels)
        peer.wait(lambda: len(labels) > count + 5, "labels")
    finally:
        player.close()
    assert node.is_running()
