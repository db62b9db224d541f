"""The SROS2 policy and what the processes of this package really use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sensor_msgs.msg import Image
from support.forks import Fork
from support.ros import Peer

from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.resources import resource

NODE = "segmentation_node"
# That a street's bag has no topics for.
COMPRESSED = {("publish", "/image_raw/compressed"), ("publish", "/depth/compressedDepth")}
# Of the node where a package is installed.
OPTIONAL = {
    ("publish", f"/{NODE}/vision_info"): "vision_msgs",
    ("publish", "/bond"): "bondpy",
    ("subscribe", "/bond"): "bondpy",
}
# What a node does, and how the graph and the policy name it.
VERBS = {
    "publish": "get_publisher_names_and_types_by_node",
    "subscribe": "get_subscriber_names_and_types_by_node",
    "reply": "get_service_names_and_types_by_node",
    "request": "get_client_names_and_types_by_node",
}
Permission = tuple[str, str]  # verb and full name


@pytest.fixture(scope="module")
def policy() -> dict[str, set[Permission]]:
    """What each node is permitted; no node is permitted anything by two enclaves."""
    permitted = {}
    tree = ElementTree.parse(resource("config", "security", "policy.xml"))
    for profile in tree.iter("profile"):
        name = profile.get("node", "")
        assert profile.get("ns") == "/" and name not in permitted
        permitted[name] = {
            (verb, full_name(entry.text or "", name))
            for rule in profile
            for verb in VERBS
            if rule.get(verb) == "ALLOW"
            for entry in rule
        }
    return permitted


def full_name(name: str, node: str) -> str:
    return name.replace("~", f"/{node}") if name.startswith("~") else "/" + name.lstrip("/")


def used(peer: Peer, node: str) -> set[Permission]:
    """What a running node has in the graph; nothing before it was found."""
    if node not in peer.node.get_node_names():
        return set()
    return {
        (verb, name)
        for verb, getter in VERBS.items()
        for name, _ in getattr(peer.node, getter)(node, "/")
    }


def wait_for_use(peer: Peer, node: str, *last: Permission) -> set[Permission]:
    """What a node uses, once what it makes last was found."""
    found: set[Permission] = set()

    def complete() -> bool:
        found.clear()
        found.update(used(peer, node))
        return found.issuperset(last)

    peer.wait(complete, f"{last} of {node}")
    return found


def check(found: set[Permission], permitted: set[Permission], unused: set[Permission]) -> None:
    """All that was found is permitted, and nothing else is but what is ``unused`` here."""

    def matches(permission: Permission, use: Permission) -> bool:
        return permission[0] == use[0] and fnmatchcase(use[1], permission[1])

    missing = {use for use in found if not any(matches(p, use) for p in permitted)}
    assert not missing, "config/security/policy.xml permits too little"
    needless = {p for p in permitted if not any(matches(p, use) for use in found)}
    assert needless == unused, "config/security/policy.xml permits too much"


def test_the_node_is_permitted_what_it_uses_and_nothing_else(
    peer: Peer, start_node: Callable[..., Fork], policy: Mapping[str, set[Permission]]
) -> None:
    variants: tuple[dict[str, object], ...] = (
        {},
        {"image_transport": "compressed", "depth": "true"},
        {"label_size": "feature", "use_sim_time": "true", "depth": "true",
         "depth_transport": "compressedDepth"},
    )  # fmt: skip
    found: set[Permission] = set()
    for i, parameters in enumerate(variants):
        name = f"node{i}"
        words = (word for key, value in parameters.items() for word in ("-p", f"{key}:={value}"))
        start_node("-r", f"__node:={name}", *words)
        last = (("reply", f"/{name}/reset"), ("publish", "/diagnostics"))
        uses = wait_for_use(peer, name, *last)
        found |= {(verb, use.replace(f"/{name}/", f"/{NODE}/")) for verb, use in uses}
    absent = {use for use, package in OPTIONAL.items() if find_spec(package) is None}
    check(found, policy[NODE], absent)


def test_the_player_is_permitted_what_it_uses_and_nothing_else(
    peer: Peer,
    start_stmem: Callable[..., Fork],
    policy: Mapping[str, set[Permission]],
    tmp_path: Path,
) -> None:
    start_stmem("bag", "play", street(tmp_path), "--loop", *from_the_camera())
    name = "stmem_bag_player"
    last = (("reply", f"/{name}/get_type_description"), ("publish", "/tf_static"))
    found = wait_for_use(peer, name, *last)
    check(found, policy[name], COMPRESSED)


def test_the_recorder_is_permitted_what_it_uses_and_nothing_else(
    peer: Peer,
    start_node: Callable[..., Fork],
    start_stmem: Callable[..., Fork],
    policy: Mapping[str, set[Permission]],
    tmp_path: Path,
) -> None:
    start_node("-p", "use_sim_time:=true", "-p", "image_reliability:=reliable")
    images = peer.collect(Image, "/image_raw")
    recorder = start_stmem(
        *("bag", "play", street(tmp_path), "--record", tmp_path / "out", "--rate", "0.05"),
        *from_the_camera(),
    )
    name = "stmem_replay"
    peer.wait(lambda: images, "an image to be played")
    last = (("subscribe", "/diagnostics"), ("publish", "/tf_static"))
    check(wait_for_use(peer, name, *last), policy[name], COMPRESSED)
    recorder.close()


def test_a_stranger_neither_publishes_images_nor_reads_labels(
    policy: Mapping[str, set[Permission]],
) -> None:
    def permitted(verb: str, name: str) -> set[str]:
        return {
            node
            for node, permissions in policy.items()
            if any(v == verb and fnmatchcase(name, pattern) for v, pattern in permissions)
        }

    assert permitted("publish", "/image_raw") == {"stmem_bag_player", "stmem_replay"}
    assert permitted("subscribe", f"/{NODE}/label") == {"stmem_replay"}
    assert permitted("publish", f"/{NODE}/label") == {NODE}
    assert permitted("request", f"/{NODE}/set_parameters") == set()


def street(folder: Path) -> Path:
    create_synthetic_bag(folder / "bag", "straight", seed=2, frames=4, rate=10.0)
    return folder / "bag"


def from_the_camera() -> list[str]:
    """Options that play a street's images as the topics of the policy."""
    names = ("image_raw", "camera_info", "depth")
    topics = [*(f"/camera/{name}" for name in names), "/tf", "/tf_static"]
    return ["--topics", *topics, "--remap", *(f"/camera/{name}:=/{name}" for name in names)]
