"""What a file of a bag holds: its channels, and how any kind of file is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

CDR, ROS1 = "cdr", "ros1"  # forms of messages that are read
KEEP_ALL = 1_000  # messages that a profile which keeps all is taken to keep


@dataclass(frozen=True)
class Profile:
    """What of a publisher's quality of service matters for playing: is it latched, how deep."""

    latched: bool
    depth: int


@dataclass(frozen=True)
class Channel:
    """The messages of one topic and type in one file.

    Attributes:
        id: in its file.
        topic: such as ``/camera/image_raw``.
        type: ``pkg/msg/Name``, as it was recorded.
        encoding: of the messages: ``cdr``, ``ros1``, or another that is not read.
        definition: of the type, empty without.
        definition_format: ``ros2msg``, ``ros2idl``, ``ros1msg``, ...
        digest: the hash that the definition is said to have, empty without.
        profiles: of the publishers.
        count: messages.
    """

    id: int
    topic: str
    type: str
    encoding: str
    definition: str = ""
    definition_format: str = ""
    digest: str = ""
    profiles: tuple[Profile, ...] = ()
    count: int = 0


class BagFile(Protocol):
    """A file that is open.

    Attributes:
        channels: what it holds.
        start, end: ns of its first and its last message; of none where it has no messages.
        problem: why it was not read to its end, empty if it was; what was read counts.
    """

    channels: tuple[Channel, ...]
    start: int | None
    end: int | None
    problem: str

    def messages(self, ids: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Channel, time of recording (ns) and bytes of messages, in the order of recording."""

    def close(self) -> None:
        """Close the file."""


class BagFileError(ValueError):
    """A file is no bag, or damaged; one line says how, and what helps where something does."""


def parse_profiles(value: Any) -> tuple[Profile, ...]:
    """Profiles as rosbag2 writes them, in any of its versions: YAML, or what YAML stands for.

    What cannot be understood is no profile: it says nothing about the messages.
    """
    if isinstance(value, str):
        try:
            value = yaml.load(value, Loader=YAML_LOADER)
        except yaml.YAMLError:
            return ()
    if not isinstance(value, list):
        return ()
    profiles = []
    for entry in value:
        if isinstance(entry, dict):
            latched = entry.get("durability") in (1, "transient_local")
            keeps_all = entry.get("history") in (2, "keep_all")
            depth = entry.get("depth")
            depth = depth if isinstance(depth, int) and 0 < depth < KEEP_ALL else 1
            profiles.append(Profile(latched, KEEP_ALL if keeps_all else depth))
    return tuple(profiles)


YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # metadata of bags may be long
