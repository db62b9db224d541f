"""What a bag holds: its topics and its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stmem_ros.io.recorded_type import RecordedType


class BagError(ValueError):
    """A bag cannot be used; the message names it and what is wrong."""


class MessageError(BagError):
    """A message of a bag cannot be read; ``reason`` says why, without its place in the bag."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class ImageForm:
    """What the first image of a topic tells.

    Attributes:
        encoding: of an Image; of a CompressedImage its ``format``.
        width, height: pixels, 0 where only decoding would tell.
    """

    encoding: str
    width: int = 0
    height: int = 0

    @classmethod
    def of(cls, message: Any) -> ImageForm:
        """That of an Image or a CompressedImage."""
        if hasattr(message, "encoding"):
            return cls(message.encoding, message.width, message.height)
        return cls(message.format)


@dataclass(frozen=True)
class Topic:
    """One topic of a bag.

    Attributes:
        name: such as ``/camera/image_raw``.
        type: ``pkg/msg/Name`` of today.
        count: number of messages.
        latched: who listened late got its last messages, as its publisher offered (transient
            local) when it was recorded.
        depth: how many of them.
        image: form of its first image; None where it has none.
        rate: messages a second, 0 where that is not known.
        problem: why its messages cannot be decoded, empty if they can.
        is_sendable: whether its bytes are those of ROS 2, though they cannot be decoded here.
        damage: of a topic without messages, what is wrong with the bag: they may be lost.
    """

    name: str
    type: str
    count: int
    latched: bool = False
    depth: int = 1
    image: ImageForm | None = None
    rate: float = 0.0
    problem: str = ""
    is_sendable: bool = True
    damage: str = ""


@dataclass(frozen=True)
class Record:
    """One message of a bag.

    Attributes:
        topic: its name.
        type: ``pkg/msg/Name`` of today.
        time: of recording, ns.
        data: its bytes, as recorded.
        recorded: how they were.
    """

    topic: str
    type: str
    time: int
    data: bytes
    recorded: RecordedType
