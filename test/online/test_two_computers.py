"""A node on a robot and a laptop beside it: two network namespaces, joined by a cable."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from stmem_ros.online.middleware import large_image_environment

PATIENCE = 60  # s
NODE = [sys.executable, "-m", "stmem_ros.node.main"]
# Waits until the node is seen and heard.
LAPTOP = f"""
import time
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
rclpy.init()
node, heard = rclpy.create_node("laptop"), []
node.create_subscription(DiagnosticArray, "/diagnostics", heard.append, 10)
end = time.monotonic() + {PATIENCE}
while not (heard and "segmentation_node" in node.get_node_names()):
    assert time.monotonic() < end, f"heard {{len(heard)}}, seen {{node.get_node_names()}}"
    rclpy.spin_once(node, timeout_sec=0.1)
"""
# Sends images of 6 MB between two processes; prints how many came, and the bytes on all interfaces.
ROBOT = """
from pathlib import Path
from stmem_ros.online.image_probe import probe
def bytes_received():
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    return sum(int(line.split(":")[1].split()[0]) for line in lines)
before = bytes_received()
result = probe(1920, 1080, reliable=True)
print(result.received, bytes_received() - before)
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def computers() -> Iterator[tuple[str, str]]:
    """The names of two network namespaces that are joined by a pair of interfaces."""
    names = [f"{kind}-{uuid.uuid4().hex[:8]}" for kind in ("robot", "laptop")]
    ends = [f"v{name[-8:]}" for name in names]
    made = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", end)
            for interface in (end, "lo"):
                ip("-n", name, "link", "set", interface, "up")
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        pytest.skip(f"network namespaces cannot be made here: {reason!r}")
    else:
        yield names[0], names[1]
    finally:
        for name in made:
            ip("netns", "delete", name)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """That of a shell on either computer."""
    for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", *large_image_environment()):
        monkeypatch.delenv(name, raising=False)
    return os.environ | {"ROS_LOG_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}


def on(computer: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", computer, *command]


def test_a_launched_node_is_seen_from_a_second_computer(
    computers: tuple[str, str], environment: dict[str, str], tmp_path: Path
) -> None:
    robot, laptop = computers
    with (tmp_path / "node.log").open("w") as log:
        node = subprocess.Popen(
            on(robot, *NODE), env=environment | large_image_environment(), stdout=log, stderr=log
        )
        try:
            subprocess.run(on(laptop, sys.executable, "-c", LAPTOP), env=environment, check=True)
        finally:
            node.terminate()
            code = node.wait(PATIENCE)
    assert code == 0, (tmp_path / "node.log").read_text()


def test_large_images_go_by_shared_memory_on_the_robot(
    computers: tuple[str, str], environment: dict[str, str]
) -> None:
    command = on(computers[0], sys.executable, "-c", ROBOT)
    variables = environment | large_image_environment()
    done = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    received, on_the_network = map(int, done.stdout.split())
    assert received >= 27
    assert on_the_network < 1920 * 1080 * 3  # of the 30 images not even one
