"""The bond with a lifecycle manager, by the real bondpy where it is installed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.util import find_spec

import pytest
from support.ros import PATIENCE, Peer

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
        self._bond.heartbeat_timeout = 4.0
        self._bond.start()


@pytest.mark.skipif(find_spec("bondpy") is not None, reason="bondpy is installed")
def test_a_bond_without_bondpy_is_refused_in_one_line(start_node: Callable) -> None:
    node = start_node("-p", "bond:=true")
    assert node.exit_code(timeout=PATIENCE) == 1
    assert "bondpy" in node.text().strip().splitlines()[-1]
    assert "Traceback" not in node.text()


@needs_bondpy
@pytest.mark.parametrize(("end", "seconds"), [("interrupt", 3.0), ("kill", 8.0)])
def test_the_manager_learns_that_the_node_ended(
    peer: Peer, start_node: Callable, end: str, seconds: float
) -> None:
    manager = Manager(peer)
    node = start_node("-p", "bond:=true")
    assert manager.formed.wait(PATIENCE)
    assert not manager.broken.is_set()
    ended = time.monotonic()
    getattr(node, end)()
    assert manager.broken.wait(PATIENCE)
    assert time.monotonic() - ended < seconds
