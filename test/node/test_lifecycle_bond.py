"""The bond with a lifecycle manager, by the real bondpy where it is installed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from lifecycle_msgs.msg import Transition
from support.ros import PATIENCE, Peer

from stmem_ros.node.lifecycle_bond import HEARTBEAT_TIMEOUT
from stmem_ros.node.segmentation_node import SegmentationNode

NAME = "segmentation_node"
needs_bondpy = pytest.mark.skipif(find_spec("bondpy") is None, reason="bondpy is not installed")


class Manager:
    """The other end of the bond, as Nav2's lifecycle manager has it."""

    def __init__(self, peer: Peer) -> None:
        from bondpy import bondpy

        self.formed, self.broken = threading.Event(), threading.Event()
        self._bond = bondpy.Bond(
            peer.node, "bond", NAME, on_broken=self.broken.set, on_formed=self.formed.set
        )
        self._bond.heartbeat_timeout = HEARTBEAT_TIMEOUT
        self._bond.start()

    def close(self) -> None:
        self._bond.shutdown()


@pytest.mark.skipif(find_spec("bondpy") is not None, reason="bondpy is installed")
def test_a_bond_without_bondpy_is_refused_in_one_line(start_node: Callable) -> None:
    node = start_node("-p", "bond:=true")
    assert node.exit_code(timeout=PATIENCE) == 1
    assert "bondpy" in node.text().strip().splitlines()[-1]
    assert "Traceback" not in node.text()


@needs_bondpy
@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_the_manager_learns_that_the_node_ended_by_the_heartbeats_it_misses(
    peer: Peer, start_node: Callable, end: str
) -> None:
    from bond.msg import Status

    node = start_node("-p", "bond:=true")
    peer.wait_until_active()
    manager = Manager(peer)  # as Nav2's: after the node was activated
    assert manager.formed.wait(PATIENCE)
    heartbeats = peer.collect(Status, "bond")
    peer.wait(lambda: len(heartbeats) > 20, "heartbeats")  # a time-out begins with the second
    assert not manager.broken.is_set()
    ended = time.monotonic()
    getattr(node, end)()
    assert manager.broken.wait(PATIENCE)
    assert HEARTBEAT_TIMEOUT - 0.5 < time.monotonic() - ended < HEARTBEAT_TIMEOUT + 6.0
    manager.close()


@needs_bondpy
def test_the_manager_learns_at_once_that_the_node_was_deactivated(
    peer: Peer, start_node: Callable
) -> None:
    start_node("-p", "bond:=true")
    peer.wait_until_active()
    manager = Manager(peer)
    assert manager.formed.wait(PATIENCE)
    assert peer.transition(Transition.TRANSITION_DEACTIVATE)
    assert manager.broken.wait(HEARTBEAT_TIMEOUT - 1.0)
    manager.close()


def test_the_bond_is_broken_once_the_work_has_ended() -> None:
    ended: list[str] = []
    node = SimpleNamespace(
        _bond=SimpleNamespace(destroy=lambda: ended.append("bond")),
        _worker=SimpleNamespace(stop=lambda: ended.append("work"), broken=False),
    )
    SegmentationNode._stop_work(node)
    assert ended == ["work", "bond"]
