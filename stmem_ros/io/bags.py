"""rosbag2 files (MCAP; sqlite3 and ROS 1 bags are read too), without a ROS installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
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
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from stmem_ros.io.bounded_chunks import bound_chunks
from stmem_ros.io.messages import MessageFactory
from stmem_ros.io.output_file import check_output_files
from stmem_ros.io.output_folder import OutputError
from stmem_ros.io.whole_output import whole_folder
from stmem_ros.resources import resource
from stmem_ros.stamps import nanoseconds

RAW = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINTS = "sensor_msgs/msg/PointCloud2"
TF = "tf2_msgs/msg/TFMessage"

MESSAGES = ("SemanticClass", "LabelInfo", "SemanticGrid", "FrameStatistics")


class BagError(ValueError):
    """A bag cannot be used; the message names it and what is wrong."""


@dataclass(frozen=True)
class Topic:
    """One topic of a bag.

    Attributes:
        name: such as ``/camera/image_raw``.
        type: ``pkg/msg/Name``.
        count: number of messages.
        latched: who listened late got its last messages, as its publisher offered (transient
            local) when it was recorded.
    """

    name: str
    type: str
    count: int
    latched: bool = False


@dataclass(frozen=True)
class Record:
    """One message of a bag: topic and type, the time it was recorded at (ns), its bytes (CDR)."""

    topic: str
    type: str
    time: int
    data: bytes


@lru_cache
def types() -> Typestore:
    """Message types of ROS 2 with those of this package."""
    store = get_typestore(Stores.ROS2_KILTED)
    for name in MESSAGES:
        text = resource("msg", f"{name}.msg").read_text()
        store.register(get_types_from_msg(text, f"stmem_ros/msg/{name}"))
    return store


BAG_MESSAGES = MessageFactory(lambda name: types().types[name], np.asarray)


class BagReader:
    """Reads a bag in the order of recording; use it in a ``with`` statement.

    Args:
        path: a rosbag2 folder, a single ``.mcap`` or ``.db3`` file, or a ROS 1 ``.bag``.

    Raises:
        BagError: there is no bag, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise BagError(f"no bag at {self.path}: no such file or folder")
        store = types()
        bound_chunks()
        try:
            self._reader = AnyReader([self.path], default_typestore=store)
            self._reader.open()
        except OSError as error:
            raise BagError(f"{self.path} cannot be read: {_one_line(error)}") from error
        except Exception as error:  # damaged bytes make any of the decoders fail in its own way
            raise BagError(
                f"{self.path} is no readable bag: {_one_line(error)}; if the recording was cut "
                "off, mend it with `mcap recover` or `ros2 bag reindex`"
            ) from error

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    @property
    def topics(self) -> tuple[Topic, ...]:
        """All topics, by name."""
        return tuple(
            Topic(
                name,
                info.msgtype or "?",
                info.msgcount,
                any(_is_latched(connection) for connection in info.connections),
            )
            for name, info in sorted(self._reader.topics.items())
        )

    @property
    def start(self) -> int:
        """Time of the first message, ns."""
        return self._reader.start_time

    @property
    def end(self) -> int:
        """Time of the last message, ns."""
        return self._reader.end_time

    @property
    def duration(self) -> float:
        """Seconds from the first to the last message."""
        return max(0.0, (self._reader.end_time - self._reader.start_time) / 1e9)

    def records(self, topics: set[str] | None = None) -> Iterator[Record]:
        """Messages of some topics (all by default) in the order of recording.

        Raises:
            BagError: the bag is damaged in the middle.
        """
        connections = [c for c in self._reader.connections if topics is None or c.topic in topics]
        if not connections:
            return
        try:
            for connection, stamp, data in self._reader.messages(connections):
                yield Record(connection.topic, connection.msgtype, stamp, bytes(data))
        except Exception as error:  # damaged bytes make any of the decoders fail in its own way
            raise BagError(f"{self.path} is damaged: {_one_line(error)}") from error

    def decode(self, record: Record) -> Any:
        """The message of a record.

        Raises:
            BagError: its bytes are no such message.
        """
        try:
            return self._reader.deserialize(record.data, record.type)
        except Exception as error:
            raise BagError(
                f"{self.path}, {record.topic} at {record.time}: not a {record.type}: "
                f"{_one_line(error)}"
            ) from error

    def to_cdr(self, record: Record) -> bytes:
        """The bytes of a record as ROS 2 sends them (ROS 1 bags store another form)."""
        if not self._reader.is2:
            message = self.decode(record)
            return bytes(types().serialize_cdr(message, record.type))
        return record.data


class StampedMessages:
    """Messages of a topic, taken by their stamps in the order they were published.

    Attributes:
        unmatched: messages passed over because no image has their stamp.
    """

    def __init__(self, bag: BagReader, topic: str, stamps: set[int]) -> None:
        self.unmatched = 0
        self._messages = self._read(bag, topic, stamps)
        self._next = next(self._messages, None)

    def take(self, stamp: int) -> Any:
        """The message with this stamp, None if it is not the next."""
        if self._next is None or self._next[0] != stamp:
            return None
        message = self._next[1]
        self._next = next(self._messages, None)
        return message

    def _read(self, bag: BagReader, topic: str, stamps: set[int]) -> Iterator[tuple[int, Any]]:
        for record in bag.records({topic}):
            message = bag.decode(record)
            stamp = nanoseconds(message.header.stamp)
            if stamp in stamps:
                yield stamp, message
            else:
                self.unmatched += 1


class BagWriter:
    """Writes a rosbag2 in MCAP; use it in a ``with`` statement.

    The bag is there when it is whole: half a bag is none.

    Args:
        path: folder to make; one that is there must hold nothing.
        compress: compress the file's chunks (zstd), as labels and grids are worth it.
        force: a bag that is there already is replaced.

    Raises:
        BagError: the folder holds files already or cannot be written.
    """

    def __init__(self, path: Path, compress: bool = False, force: bool = False) -> None:
        self.path = Path(path)
        self._connections: dict[str, Connection] = {}
        try:
            check_output_files(self.path, force=force)
            with ExitStack() as stack:
                files = ("metadata.yaml", f"{self.path.resolve().name}.mcap")
                part = stack.enter_context(whole_folder(self.path, files))
                self._writer = Writer(part, version=9, storage_plugin=StoragePlugin.MCAP)
                if compress:
                    self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
                self._writer.open()
                self._whole = stack.pop_all()
        except (OutputError, WriterError, OSError) as error:
            raise BagError(f"bag {self.path} cannot be written: {_one_line(error)}") from error

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
        with self._whole:
            self._writer.close()

    def write(self, topic: str, kind: str, message: Any, time: int, latched: bool = False) -> None:
        """Write a message (of ``BAG_MESSAGES``) recorded at ``time`` ns."""
        self.write_cdr(topic, kind, bytes(types().serialize_cdr(message, kind)), time, latched)

    def write_cdr(
        self, topic: str, kind: str, data: bytes, time: int, latched: bool = False
    ) -> None:
        """Write a message that is serialised already."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=types(), offered_qos_profiles=[_qos(latched)]
            )
        self._writer.write(self._connections[topic], time, data)


def _is_latched(connection: Connection) -> bool:
    """Whether a publisher kept its messages for those who listen late."""
    if isinstance(connection.ext, ConnectionExtRosbag2):
        profiles = connection.ext.offered_qos_profiles
        return any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in profiles)
    return bool(connection.ext.latching)


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
