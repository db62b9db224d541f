"""Configurations: YAML files that are read into frozen dataclasses, with every value checked.

The types of the fields say what a file may hold: ``bool``, ``int``, ``float``, ``str``,
``Literal``, an ``Enum`` (written as the name of a member), tuples (written as lists),
``dict[str, ...]``, other dataclasses; ``Annotated[int, Range(ge=0, le=9)]`` has limits.
A whole number may stand for a ``float``; numbers are finite. A section without content is empty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from stmem_ros.error_text import error_text

T = TypeVar("T")

LONGEST_FILE = 200_000  # characters of a YAML file
MOST_VALUES = 100_000  # of a YAML file
SHOWN_LENGTH = 80  # characters of a value in a message


@dataclass(frozen=True)
class Range:
    """Limits of a number in an annotation: at least, above, at most, below."""

    ge: float = -math.inf
    gt: float = -math.inf
    le: float = math.inf
    lt: float = math.inf

    def holds(self, value: float) -> bool:
        return self.ge <= value <= self.le and self.gt < value < self.lt

    def __str__(self) -> str:
        if math.isfinite(self.ge) and math.isfinite(self.le):
            return f" from {self.ge:g} to {self.le:g}"
        limits = (("from", self.ge), ("above", self.gt), ("to", self.le), ("below", self.lt))
        return "".join(f" {word} {limit:g}" for word, limit in limits if math.isfinite(limit))


Positive = Annotated[float, Range(gt=0.0)]
NotNegative = Annotated[float, Range(ge=0.0)]
Probability = Annotated[float, Range(ge=0.0, le=1.0)]
MOST = 1_000_000_000  # of whatever is counted; more is a slip of the finger
Count = Annotated[int, Range(ge=0, le=MOST)]
CountFromOne = Annotated[int, Range(ge=1, le=MOST)]


class ConfigurationError(ValueError):
    """A configuration file cannot be used; one line names the file, the key and the value."""


def read_configuration(path: Path, kind: type[T], title: str) -> T:
    """Read a YAML file.

    Args:
        kind: the dataclass that the file describes.
        title: what the file is, for the messages: ``cost rules``.

    Raises:
        ConfigurationError: the file is unreadable, or a key is unknown, missing or has a value that
            is not allowed.
    """
    raw = read_yaml(path, title)
    try:
        return convert(raw, kind)
    except ConfigurationError as error:
        raise ConfigurationError(f"{title} {path}: {error}") from None


def read_yaml(path: Path, title: str, loader: type[yaml.SafeLoader] | None = None) -> Any:
    """What a YAML file holds, as plain Python values.

    Args:
        loader: how YAML becomes values; by default as in YAML 1.1, but ``1e-3`` is a number.

    Raises:
        ConfigurationError: the file cannot be read or is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > LONGEST_FILE:
            raise ValueError(f"it has {len(text)} characters; allowed: at most {LONGEST_FILE}")
        return _load(text, loader or YamlLoader)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{title} {path} is missing") from error
    except (OSError, ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{title} {path} cannot be read: {yaml_problem(error)}") from error


def yaml_problem(error: Exception) -> str:
    """Why a YAML file could not be read, one line: for files that people write."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"it is no YAML at line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, (UnicodeDecodeError, yaml.reader.ReaderError)):
        return "it is no text in UTF-8"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return error_text(error)


def convert(value: Any, kind: Any, key: str = "") -> Any:
    """A value of a YAML file as what a type says.

    Args:
        kind: a dataclass, or another type that the module's text names.
        key: where the value stands, such as ``frame.augmentation``; for messages.

    Raises:
        ConfigurationError: the value is not allowed; the message names key and value.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _to_dataclass(value, kind, key)
    if origin is dict:
        return {
            name: convert(item, arguments[1], _join(key, name))
            for name, item in _mapping(value, key).items()
        }
    if origin is tuple and is_dataclass(arguments[0]) and isinstance(value, list):
        return tuple(convert(v, arguments[0], f"{key}[{i}]") for i, v in enumerate(value))
    if isinstance(kind, type) and issubclass(kind, Enum):
        members = {name.lower(): member for name, member in kind.__members__.items()}
        if str(value).lower() in members:
            return members[str(value).lower()]
        raise _refusal(key, value, ", ".join(members))
    try:
        return _plain(value, kind)
    except (ValueError, OverflowError):
        raise _refusal(key, value, _allowed(kind)) from None


def check_values(instance: Any) -> None:
    """Check the fields of a dataclass that was not read from a file.

    Raises:
        ConfigurationError: a value is not allowed; the message names the field.
    """
    for name, kind in get_type_hints(type(instance), include_extras=True).items():
        convert(getattr(instance, name), kind, name)


def _load(text: str, kind: type[yaml.SafeLoader]) -> Any:
    """What YAML says, of a size that is known before anything is made of it.

    A few aliases (``*name``) of aliases may stand for any number of values.
    """
    loader = kind(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if (values := _count(node, {})) > MOST_VALUES:
            raise ValueError(f"it holds {values:.3g} values; allowed: at most {MOST_VALUES}")
        _check_keys(node, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[yaml.Node, int]) -> int:
    """Values of a node with its aliases written out; ``counts`` of the nodes seen before."""
    if node not in counts:
        counts[node] = MOST_VALUES + 1  # for one that holds itself
        parts = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        counts[node] = 1 + sum(_count(part, counts) for part in parts)
    return counts[node]


def _check_keys(node: yaml.Node, seen: set[yaml.Node]) -> None:
    """Refuse a key that stands twice in one mapping: YAML forbids it, PyYAML takes the last one."""
    if node in seen:
        return
    seen.add(node)
    lines: dict[str, int] = {}
    for part in node.value if isinstance(node, yaml.CollectionNode) else ():
        if not isinstance(part, tuple):
            _check_keys(part, seen)
            continue
        key, value = part
        if isinstance(key, yaml.ScalarNode):
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ValueError(
                    f"the key {shown_name(key.value)} stands in it twice, in lines "
                    f"{lines[key.value]} and {line}; keep one"
                )
            lines[key.value] = line
        _check_keys(value, seen)


class YamlLoader(yaml.SafeLoader):
    """YAML 1.1, where ``1e-3`` is a number too, as in YAML 1.2 and in ROS."""


YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _to_dataclass(value: Any, kind: Any, key: str) -> Any:
    given = _mapping(value, key)
    names = [f.name for f in fields(kind)]
    for name in given:
        if name not in names:
            raise ConfigurationError(f"{_join(key, name)} is unknown; allowed: {', '.join(names)}")
    types = get_type_hints(kind, include_extras=True)
    values = {name: convert(v, types[name], _join(key, name)) for name, v in given.items()}
    for f in fields(kind):
        if f.name not in given and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigurationError(f"{_join(key, f.name)} is missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigurationError(f"{key}: {error}" if key else str(error)) from error


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise _refusal(key or "the content", value, "a mapping of keys to values")
    for name in value:
        if not isinstance(name, str):
            raise _refusal(f"a key of {key or 'the file'}", name, "text")
    return value


def shown_name(name: str) -> str:
    """A name as messages show it: in one line, and not longer than need be."""
    if name.isprintable() and len(name) <= SHOWN_LENGTH:
        return name
    return _shown(name)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN_LENGTH else shown[:SHOWN_LENGTH] + "..."


def _join(key: str, name: str) -> str:
    name = shown_name(name)
    return f"{key}.{name}" if key else name


def _refusal(key: str, value: Any, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{key} is {_shown(value)}; allowed: {allowed}")


def _plain(value: Any, kind: Any) -> Any:
    """A value as a type that has no fields.

    Raises:
        ValueError, OverflowError: it is none.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        number, limits = _plain(value, arguments[0]), arguments[1]
        if not limits.holds(number):
            raise ValueError
        return number
    if origin is tuple and isinstance(value, list | tuple):
        of_any_length = arguments[-1] is Ellipsis
        kinds = arguments[:1] * len(value) if of_any_length else arguments
        return tuple(_plain(v, k) for v, k in zip(value, kinds, strict=True))
    if origin is Literal and value in arguments:
        return value
    if kind is float and type(value) is int:
        value = float(value)
    is_plain = isinstance(kind, type) and type(value) is kind
    if not is_plain or (kind is float and not math.isfinite(value)):
        raise ValueError
    return value


def _allowed(kind: Any) -> str:
    """What values a type takes, in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return f"{_allowed(arguments[0])}{arguments[1]}"
    if origin is Literal:
        return ", ".join(arguments)
    if origin is tuple and is_dataclass(arguments[0]):
        return "a list of mappings"
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"a list of {count}{_allowed(arguments[0])}"
    return {bool: "true, false", str: "text", int: "whole numbers", float: "numbers"}[kind]
