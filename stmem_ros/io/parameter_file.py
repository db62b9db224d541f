"""ROS 2 parameter files: YAML that gives nodes their parameters, each node by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stmem_ros.configuration import ConfigurationError, read_yaml, shown_name

TITLE = "parameter file"


def read_node_parameters(path: Path, node_name: str) -> dict[str, Any]:
    """The parameters that a file gives a node, by their dotted names.

    Entries count in the order of the file, as in ROS: a later one goes before an earlier one.

    Args:
        node_name: of the node; with its namespace (``/front/segmentation_node``) where the file has
            nodes of the same name in several.

    Raises:
        ConfigurationError: the file cannot be read, or has no parameters for the node.
    """
    entries = list(_entries(read_yaml(path, TITLE, _RosLoader), ""))
    full_name = _full_name(path, node_name, [name for name, _ in entries])
    found = [parameters for name, parameters in entries if _matches(name, full_name)]
    if not found:
        raise ConfigurationError(
            f"{TITLE} {path} has no ros__parameters for {node_name}; it has them for "
            f"{', '.join(shown_name(name) for name, _ in entries) or 'no node'}"
        )
    merged: dict[str, Any] = {}
    for parameters in found:
        if not isinstance(parameters, dict):
            raise ConfigurationError(f"{TITLE} {path}: ros__parameters is {parameters!r}")
        merged |= _flat(parameters)
    return merged


class _RosLoader(yaml.SafeLoader):
    """What rcl takes plain scalars for: truth values, numbers, and text in all other cases."""


_RosLoader.yaml_implicit_resolvers = {}  # SafeLoader's are those of YAML 1.1
_RosLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("$"), [""])
_RosLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile("(y|yes|true|on|n|no|false|off)$", re.IGNORECASE),
    list("yYtToOnNfF"),
)
_RosLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile("[-+]?(0[0-7]*|[1-9][0-9]*|0[xX][0-9a-fA-F]+)$"),
    list("-+0123456789"),
)
_RosLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)$", re.I),
    list("-+.0123456789"),
)
# SafeLoader knows no `y` and `n`.
_RosLoader.add_constructor(
    "tag:yaml.org,2002:bool",
    lambda loader, node: node.value.lower() in ("y", "yes", "true", "on"),
)


def _entries(content: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The nodes of a file, or of a namespace in it: full name or pattern, and parameters."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key == "ros__parameters":
            yield name, value
        else:
            yield from _entries(value, f"{name}/{str(key).strip('/')}")


def _full_name(path: Path, node_name: str, names: list[str]) -> str:
    """The node's name with the namespace that the file gives it, ``/`` if it gives none."""
    if "/" in node_name:
        return node_name
    exact = {n for n in names if "*" not in n and n.rpartition("/")[2] == node_name}
    if len(exact) > 1:
        raise ConfigurationError(
            f"{TITLE} {path} has parameters for several nodes {node_name}: "
            f"{', '.join(map(shown_name, sorted(exact)))}; name one of them"
        )
    return exact.pop() if exact else f"/{node_name}"


def _matches(pattern: str, full_name: str) -> bool:
    """Whether an entry is for a node; ``*`` stands for one name and ``**`` for any number."""
    parts = {"**": "(/[^/]+)*", "*": "/[^/]+"}
    names = pattern.strip("/").split("/")
    return bool(
        re.fullmatch("".join(parts.get(name, "/" + re.escape(name)) for name in names), full_name)
    )


def _flat(parameters: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
