"""rosbag2 files (MCAP; sqlite3 and ROS 1 bags are read too), without a ROS installation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from heapq import merge
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import (
    CompressionFormat,
    CompressionMode,
    StoragePlugin,
    Writer,
    WriterError,
)

from stmem_ros.error_text import error_text
from stmem_ros.io.bag_channel import BagFile, BagFileError, Channel, Profile
from stmem_ros.io.bag_contents import BagError, ImageForm, MessageError, Record, Topic
from stmem_ros.io.bag_files import open_bag
from stmem_ros.io.bounded_inflation import InflationError, inflate_message
from stmem_ros.io.message_types import CAMERA_INFO as CAMERA_INFO
from stmem_ros.io.message_types import CLOCK, COMPRESSED, RAW, TF, types
from stmem_ros.io.message_types import POINTS as POINTS
from stmem_ros.io.messages import MessageFactory
from stmem_ros.io.output_file import check_output_files
from stmem_ros.io.output_folder import OutputError
from stmem_ros.io.recorded_type import DecodeError, RecordedType
from stmem_ros.io.whole_output import whole_folder
from stmem_ros.stamps import SECOND, header_stamp, nanoseconds

SILENCE = 60 * SECOND  # ns; a bag whose first messages end in a longer one begins after it
FIRST_MESSAGES, FIRST_BYTES = 1000, 10_000_000  # that are looked at for how a bag begins


BAG_MESSAGES = MessageFactory(lambda name: types().types[name], np.asarray)


class BagReader:
    """Reads a bag in the order of recording; use it in a ``with`` statement.

    What is understood is read; what is not is left out and named in ``notes``.

    Args:
        path: a rosbag2 folder, with metadata.yaml or without; a single MCAP or sqlite3 file; a
            ROS 1 bag, or a folder of its parts. Files may be compressed, and messages in them.

    Raises:
        BagError: there is no bag, or nothing of it can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise BagError(f"no bag at {self.path}: no such file or folder")
        with ExitStack() as stack:
            try:
                opened = open_bag(self.path, stack)
            except (BagFileError, OSError) as error:
                raise BagError(f"{self.path} cannot be read: {error_text(error)}") from error
            self._stack = stack.pop_all()
        self._files = opened.files
        self._metadata = opened.metadata
        self._notes = list(opened.notes)
        self._types: dict[Channel, RecordedType] = {}
        self._channels = {file: self._channels_of(file) for file in self._files}
        if not any(self._channels.values()) and any(file.problem for file in self._files):
            self.close()
            raise BagError(f"{self.path} holds no topic: {'; '.join(self._notes)}")

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    @cached_property
    def topics(self) -> tuple[Topic, ...]:
        """All topics, by name."""
        by_name: dict[str, list[tuple[BagFile, Channel]]] = {}
        for file, channels in self._channels.items():
            for channel in channels.values():
                by_name.setdefault(channel.topic, []).append((file, channel))
        return tuple(self._topic(name, channels) for name, channels in sorted(by_name.items()))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with the bag and what was left out, a line each."""
        notes = list(self._notes)
        left_out: dict[str, list[str]] = {}
        for topic in self.topics:
            if (counted := self.announced.get(topic.name, topic.count)) != topic.count:
                notes.append(
                    f"metadata.yaml counts {counted} messages on {topic.name} where the bag holds "
                    f"{topic.count}"
                )
            if topic.problem:
                left_out.setdefault(topic.problem, []).append(topic.name)
        notes += [f"not readable: {', '.join(names)}: {why}" for why, names in left_out.items()]
        if self.data_start > self.start:
            silence = (self.data_start - self.start) / SECOND
            notes.append(
                f"its first messages were recorded {silence:.0f} s before the others: times are "
                "counted from the others on"
            )
        return tuple(notes)

    @property
    def announced(self) -> dict[str, int]:
        """Messages of each topic as metadata.yaml counts them; empty without it."""
        return {} if self._metadata is None else self._metadata.counts

    @property
    def start(self) -> int:
        """Time of the first message, ns; 0 without any."""
        return min((file.start for file in self._files if file.start is not None), default=0)

    @property
    def end(self) -> int:
        """Time of the last message, ns; 0 without any."""
        return max((file.end for file in self._files if file.end is not None), default=0)

    @cached_property
    def data_start(self) -> int:
        """Where the data begin, ns: after a long silence that follows the first messages."""
        start = self.start
        if self.end - start <= SILENCE:
            return start
        before = start
        for record in self.first_records():
            if record.time - before > SILENCE:
                start = record.time
            before = record.time
        return start

    @property
    def duration(self) -> float:
        """Seconds from where the data begin to the last message."""
        return max(0.0, (self.end - self.data_start) / SECOND)

    def records(self, topics: set[str] | None = None) -> Iterator[Record]:
        """Messages of some topics (all by default) in the order of recording.

        Raises:
            BagError: the bag is damaged in the middle.
        """
        parts = [self._records_of(file, topics) for file in self._files]
        try:
            if len(parts) == 1:
                yield from parts[0]
            else:
                yield from merge(*parts, key=lambda record: record.time)
        except (BagFileError, InflationError, OSError) as error:
            raise BagError(f"{self.path} is damaged: {error_text(error)}") from error

    def first_records(self) -> Iterator[Record]:
        """The first messages: enough of them to see how the bag begins, of few bytes in all."""
        size = 0
        for record in islice(self.records(), FIRST_MESSAGES):
            yield record
            size += len(record.data)
            if size > FIRST_BYTES:
                return

    def decode(self, record: Record) -> Any:
        """The message of a record, with the fields of today.

        Raises:
            MessageError: its bytes are no such message.
        """
        with self._named(record):
            return record.recorded.decode(record.data)

    def to_cdr(self, record: Record) -> bytes:
        """The bytes of a record as ROS 2 sends them today.

        Raises:
            MessageError: they have to be changed, and are no such message.
        """
        with self._named(record):
            return record.recorded.to_cdr(record.data)

    @contextmanager
    def _named(self, record: Record) -> Iterator[None]:
        """What is wrong with a record's bytes, with the place of the record."""
        try:
            yield
        except DecodeError as error:
            place = f"{self.path}, {record.topic} at {record.time}"
            raise MessageError(place, error_text(error)) from error

    def stamp(self, record: Record) -> int | None:
        """The stamp in a message, ns: of its header, its first transform, its clock.

        None without a stamp, or with none that was set.
        """
        recorded = record.recorded
        try:
            if recorded.problem:
                return None
            if recorded.has_header:
                return header_stamp(recorded.to_cdr(record.data)) or None
            if record.type == TF:
                transforms = recorded.decode(record.data).transforms
                return nanoseconds(transforms[0].header.stamp) or None if transforms else None
            if record.type == CLOCK:
                return nanoseconds(recorded.decode(record.data).clock)
        except (DecodeError, ValueError):
            pass
        return None

    def _channels_of(self, file: BagFile) -> dict[int, Channel]:
        """The channels of a file by their numbers; what it lacks is told by metadata.yaml."""
        found = {}
        for channel in file.channels:
            if self._metadata is not None:
                channel = _completed(
                    channel,
                    self._metadata.digests.get(channel.topic, ""),
                    self._metadata.profiles.get(channel.topic, ()),
                )
            found[channel.id] = channel
        return found

    def _type(self, channel: Channel) -> RecordedType:
        key = _of_type(channel)
        if key not in self._types:
            self._types[key] = RecordedType(key)
        return self._types[key]

    def _topic(self, name: str, channels: list[tuple[BagFile, Channel]]) -> Topic:
        recorded = {self._type(channel).name: self._type(channel) for _, channel in channels}
        kind = next(iter(recorded)) if len(recorded) == 1 else "?"
        depths: Counter[BagFile] = Counter()  # of each part of a bag, as all hold the same topics
        for file, channel in channels:
            depths[file] += sum(p.depth for p in channel.profiles if p.latched)
        depth = max(depths.values())
        count = sum(channel.count for _, channel in channels)
        damage = "" if count else "; ".join(self._notes)
        topic = Topic(name, kind, count, depth > 0, max(1, depth), damage=damage)
        if kind == "?":
            problem = f"it has messages of several types: {', '.join(recorded)}"
            return replace(topic, problem=problem, is_sendable=False)
        if recorded[kind].problem:
            sendable = recorded[kind].is_sendable
            return replace(topic, problem=recorded[kind].problem, is_sendable=sendable)
        if count and kind in (RAW, COMPRESSED):
            rate = (count - 1) / self.duration if self.duration else 0.0
            return replace(topic, image=self._image_form(name), rate=rate)
        return topic

    def _image_form(self, topic: str) -> ImageForm | None:
        try:
            return ImageForm.of(self.decode(next(self.records({topic}))))
        except (StopIteration, BagError):
            return None

    def _records_of(self, file: BagFile, topics: set[str] | None) -> Iterator[Record]:
        wanted = {
            number: (channel.topic, self._type(channel))
            for number, channel in self._channels[file].items()
            if topics is None or channel.topic in topics
        }
        if not wanted:
            return
        for number, time, data in file.messages(wanted.keys()):
            topic, recorded = wanted[number]
            yield Record(topic, recorded.name, time, inflate_message(data), recorded)


def _completed(channel: Channel, digest: str, profiles: tuple[Profile, ...]) -> Channel:
    return replace(channel, digest=channel.digest or digest, profiles=channel.profiles or profiles)


def _of_type(channel: Channel) -> Channel:
    """What of a channel tells how its messages are read."""
    return replace(channel, id=0, topic="", profiles=(), count=0)


class BagWriter:
    """Writes a rosbag2 in MCAP; use it in a ``with`` statement.

    The bag is there when it is whole: half a bag is none.

    Args:
        path: folder to make; one that is there must hold nothing.
        compress: compress the file's chunks (zstd), as labels and grids are worth it.
        force: a bag that is there already is replaced.

    Raises:
        BagError: the folder holds files already or cannot be written; so do all methods.
    """

    def __init__(self, path: Path, compress: bool = False, force: bool = False) -> None:
        self.path = Path(path)
        self._connections: dict[str, Connection] = {}
        with self._named_errors():
            check_output_files(self.path, force=force)
            with ExitStack() as stack:
                files = ("metadata.yaml", f"{self.path.resolve().name}.mcap")
                part = stack.enter_context(whole_folder(self.path, files))
                self._writer = Writer(part, version=9, storage_plugin=StoragePlugin.MCAP)
                if compress:
                    self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
                self._writer.open()
                self._whole = stack.pop_all()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        with suppress(Exception):
            self._writer.close()
        self._whole.__exit__(kind, error, trace)

    def close(self) -> None:
        """Finish the bag."""
        with self._named_errors(), self._whole:
            self._writer.close()

    def write(self, topic: str, kind: str, message: Any, time: int, latched: bool = False) -> None:
        """Write a message (of ``BAG_MESSAGES``) recorded at ``time`` ns."""
        self.write_cdr(topic, kind, bytes(types().serialize_cdr(message, kind)), time, latched)

    def write_cdr(
        self, topic: str, kind: str, data: bytes, time: int, latched: bool = False
    ) -> None:
        """Write a message that is serialised already."""
        with self._named_errors():
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(
                    topic, kind, typestore=types(), offered_qos_profiles=[_qos(latched)]
                )
            self._writer.write(self._connections[topic], time, data)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (OutputError, WriterError, OSError) as error:
            raise BagError(f"bag {self.path} cannot be written: {error_text(error)}") from error


def _qos(latched: bool) -> Qos:
    forever = QosTime(2147483647, 4294967295)
    return Qos(
        QosHistory.KEEP_LAST,
        10,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
