"""Security that is asked for and cannot be had is said, never left out without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.forks import Fork
from support.ros import Peer

from stmem_ros.node.security import (
    ENABLE,
    ENCLAVE,
    KEYSTORE,
    STRATEGY,
    SecurityError,
    Strategy,
    asked_security,
)
from stmem_ros.online.environment import private_environment


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets the variables of security, and those alone."""

    def ask(**variables: str) -> None:
        for name in (ENABLE, STRATEGY, KEYSTORE, ENCLAVE):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return ask


def keystore_without_keys(folder: Path) -> str:
    (folder / "keystore" / "enclaves" / "stmem").mkdir(parents=True)
    return str(folder / "keystore")


@pytest.mark.parametrize(
    ("variables", "strategy"),
    [
        ({}, None),
        ({ENABLE: "false", STRATEGY: "any"}, None),
        ({ENABLE: "true", KEYSTORE: "k"}, Strategy.PERMISSIVE),
        ({ENABLE: "true", KEYSTORE: "k", STRATEGY: "Enforce"}, Strategy.ENFORCE),
    ],
)
def test_what_is_asked_for_is_read_as_ros_reads_it(ask, variables, strategy) -> None:
    ask(**variables)
    assert asked_security() is strategy


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({ENABLE: "1", KEYSTORE: "k"}, "'1'"),
        ({ENABLE: "True", KEYSTORE: "k"}, "'True'"),
        ({ENABLE: "true", KEYSTORE: "k", STRATEGY: "enforce"}, "'enforce'"),
        ({ENABLE: "true", STRATEGY: "Enforce"}, KEYSTORE),
    ],
)
def test_a_text_that_ros_takes_for_off_is_refused(ask, variables, named) -> None:
    ask(**variables)
    with pytest.raises(SecurityError, match=named):
        asked_security()


def test_a_node_of_a_private_domain_does_not_leave_security_out(ask, tmp_path: Path) -> None:
    ask(**{ENABLE: "true", KEYSTORE: "k"})
    with pytest.raises(SecurityError, match=ENABLE):
        private_environment(tmp_path)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({ENABLE: "yes"}, ENABLE),
        ({ENABLE: "true", STRATEGY: "Enforce", ENCLAVE: "/none"}, "enclaves/none"),
        ({ENABLE: "true", STRATEGY: "Enforce", ENCLAVE: "/stmem"}, "error creating node"),
    ],
)
def test_a_node_that_cannot_be_secure_ends_and_says_why_in_one_line(
    ros_domain, ask, start_node: Callable[..., Fork], tmp_path: Path, variables, named
) -> None:
    ask(**{KEYSTORE: keystore_without_keys(tmp_path)}, **variables)
    node = start_node()
    assert node.exit_code(timeout=60) == 1
    (line,) = [line for line in node.text().splitlines() if line.startswith("segmentation_node: ")]
    assert named in line
    assert "Traceback" not in node.text()


def test_a_node_that_goes_on_unprotected_says_so(
    peer: Peer, ask, start_node: Callable[..., Fork], tmp_path: Path
) -> None:
    keystore = keystore_without_keys(tmp_path)
    ask(**{ENABLE: "true", KEYSTORE: keystore, ENCLAVE: "/none"})
    node = start_node()
    peer.wait_until_active()
    assert "[WARN]" in node.text() and STRATEGY in node.text()


def test_a_bag_that_cannot_be_played_securely_is_refused_in_one_line(
    ros_domain, ask, start_stmem: Callable[..., Fork], tmp_path: Path
) -> None:
    from support.bags import jpeg, panorama, write_bag

    bag = write_bag(tmp_path / "bag", [jpeg(image) for image in panorama(2)])
    keystore = keystore_without_keys(tmp_path)
    ask(**{ENABLE: "true", STRATEGY: "Enforce", KEYSTORE: keystore, ENCLAVE: "/none"})
    player = start_stmem("bag", "play", bag)
    assert player.exit_code(timeout=60) == 1
    assert "stmem bag: security is on" in player.text() and "enclaves/none" in player.text()
    assert "Traceback" not in player.text()
