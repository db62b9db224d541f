"""A type of messages as a bag recorded it: how its bytes become messages of today."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import (
    Stores,
    TypesysError,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)
from rosbags.typesys.store import Typestore

from stmem_ros.error_text import error_text
from stmem_ros.io.bag_channel import CDR, ROS1, Channel
from stmem_ros.io.message_types import earlier_types, name_of_today, types
from stmem_ros.io.message_upgrade import (
    Definitions,
    UpgradeError,
    is_same,
    named_type,
    upgrade,
)

HEADER = "std_msgs/msg/Header"
IDL = ("ros2idl", "omgidl")
CDR_HEADER = 4  # bytes before a message
PLAIN_CDR = (b"\0\0", b"\0\1")  # how they begin; others are of XCDR2, or lists of parameters


class DecodeError(ValueError):
    """Bytes are no message of their type; one line."""


class RecordedType:
    """The type of a channel's messages.

    A type that is known needs no definition. One that is not is read by the definition in the bag.

    Attributes:
        name: ``pkg/msg/Name`` of today.
        problem: why messages cannot be decoded, empty if they can.
    """

    def __init__(self, channel: Channel) -> None:
        self.name = name_of_today(channel.type)
        self.problem = ""
        self._channel = channel
        self._is_ros1 = channel.encoding == ROS1
        self._recorded: Definitions = {}
        if channel.encoding not in (CDR, ROS1):
            self.problem = f"its messages are {channel.encoding or 'of no encoding'!r}, not CDR"
            return
        is_known = self.name in types().fielddefs
        try:
            self._recorded = self._parse()
            if not is_known:
                self._check_digest()
        except Exception as error:  # any text may be a definition, and fail in its own way
            self._recorded = {}
            if not is_known:
                why = (
                    str(error)
                    if isinstance(error, UpgradeError)
                    else "it is no definition of a message"
                )
                self.problem = f"the definition of {self.name} cannot be used: {why}"
        if not is_known and not self._recorded and not self.problem:
            self.problem = f"{self.name} has no definition in the bag"
        if not self.problem:
            self._find_conversion()

    @cached_property
    def has_header(self) -> bool:
        """Whether messages of today begin with a header."""
        fields = self._today.fielddefs[self.name][1]
        return bool(fields) and fields[0][1] == (Nodetype.NAME, HEADER)

    @property
    def is_sendable(self) -> bool:
        """Whether there are bytes that ROS 2 can send, as far as is known."""
        return not self.problem or self._channel.encoding == CDR

    @property
    def is_as_today(self) -> bool:
        """Whether the recorded bytes are surely those that ROS 2 sends today."""
        return not self._is_ros1 and self._upgrade is None and not self._other_definitions

    def decode(self, data: bytes) -> Any:
        """The message of today.

        Raises:
            DecodeError: the bytes are no such message.
        """
        if self.problem:
            raise DecodeError(self.problem)
        if not self._is_ros1 and len(data) >= CDR_HEADER and data[:2] not in PLAIN_CDR:
            raise DecodeError(  # of our own: the first rosbags 0.11 reads them as CDR
                f"it begins with the bytes {data[:CDR_HEADER].hex(' ')}, not as CDR does (00 00 or "
                "00 01): record it with the middleware's default encoding"
            )
        try:
            message = self._deserialize(data)
        except Exception as error:  # damaged bytes make a decoder fail in its own way
            raise DecodeError(
                f"its {len(data)} bytes are not a {self.name}: they are cut off, damaged, or of "
                "another type"
            ) from error
        try:
            return message if self._upgrade is None else self._upgrade(message)
        except Exception as error:
            raise DecodeError(f"{self.name} cannot be upgraded: {error_text(error)}") from error

    def to_cdr(self, data: bytes) -> bytes:
        """The bytes as ROS 2 sends them today.

        Raises:
            DecodeError: they are no such message, and have to be changed.
        """
        if self._channel.encoding == CDR and (self.problem or self.is_as_today):
            return data
        return bytes(self._today.serialize_cdr(self.decode(data), self.name))

    def _parse(self) -> Definitions:
        """The definitions in the bag, by today's names; empty without any."""
        text = self._channel.definition
        if not text.strip() and (not self._is_ros1 or not self._channel.definition_format):
            return {}
        if self._channel.definition_format not in IDL:
            return get_types_from_msg(text, self.name)
        found: Definitions = {}
        for part in text.split("=" * 80 + "\n"):
            if part.startswith("IDL: "):
                part = part.partition("\n")[2]
            if part.strip():
                found.update(get_types_from_idl(part))
        return found

    def _check_digest(self) -> None:
        """Raises UpgradeError if the definition is not the one that was used in recording."""
        digest = self._channel.digest
        if digest.startswith("RIHS01_") and self._recorded:
            store = _store(self.name, self._recorded, types().fielddefs)
            if store.hash_rihs01(self.name) != digest:
                raise UpgradeError("it is not the one that was recorded, its hash differs")

    def _find_conversion(self) -> None:
        """Find the stores of the recorded and of today's messages, and what is between them."""
        self._today = self._source = types()
        self._upgrade: Callable[[Any], Any] | None = None
        if self.name not in self._today.fielddefs:
            self._today = _store(self.name, self._today.fielddefs, self._recorded)
        if not self._recorded or is_same(self.name, self._recorded, self._today.fielddefs):
            self._source = self._today
            return
        try:
            self._source = _store(self.name, self._recorded, self._today.fielddefs)
            self._upgrade = upgrade(self.name, self._source, self._today)
        except (UpgradeError, LookupError) as error:
            self.problem = error_text(error)

    def _deserialize(self, data: bytes) -> Any:
        if self._is_ros1:
            return self._source.deserialize_ros1(data, self.name)
        try:
            return self._source.deserialize_cdr(data, self.name)
        except Exception:
            if self._recorded or not self._use_earlier_definition(data):
                raise
        return self._source.deserialize_cdr(data, self.name)

    @cached_property
    def _other_definitions(self) -> tuple[Typestore, ...]:
        """Of earlier releases, that a type without a definition may have had."""
        if self._recorded:
            return ()
        return tuple(
            store
            for store in earlier_types()
            if self.name in store.fielddefs
            and not is_same(self.name, store.fielddefs, self._today.fielddefs)
        )

    def _use_earlier_definition(self, data: bytes) -> bool:
        """Take the definition of the release that bytes without one fit; whether there is any."""
        for store in self._other_definitions:
            try:
                store.deserialize_cdr(data, self.name)
                self._upgrade = upgrade(self.name, store, self._today)
            except Exception:
                continue
            self._source = store
            return True
        return False


def _store(name: str, *definitions: Definitions) -> Typestore:
    """A store of a type and of all types in it, each by the first definitions that have it."""
    found: Definitions = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        having = next((d for d in definitions if name in d), None)
        if having is None:
            raise UpgradeError(f"{name} has no definition in the bag")
        found[name] = having[name]
        waiting += [inner for _, desc in found[name][1] if (inner := named_type(desc)) is not None]
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(found)
    except TypesysError as error:  # of time and duration there is one definition alone
        raise UpgradeError(
            "its times or durations have other fields than those of ROS 2"
        ) from error
    return store
