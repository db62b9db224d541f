"""Real nodes in real processes, each test in a ROS domain of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from domain_coordinator import domain_id
from support.ros import NodeProcess, Peer

from stmem_ros.resources import resource


@pytest.fixture
def ros_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Environment of this process and its children: a domain of its own, this machine alone."""
    with domain_id() as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros-log"))
        profile = resource("config", "fastdds_large_images.xml")
        monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(profile))
        yield


@pytest.fixture
def peer(ros_domain: None) -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def start_node(ros_domain: None, small_bundle: Path, tmp_path: Path):
    """A function that starts a node with more ROS arguments; it is ended after the test."""
    started: list[NodeProcess] = []

    def start(*arguments: str, bundle: Path | None = None) -> NodeProcess:
        log = tmp_path / f"node{len(started)}.log"
        started.append(NodeProcess(bundle or small_bundle, log, *arguments))
        return started[-1]

    yield start
    for node in started:
        node.close()
