"""Bags of ROS 1."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from rosbags.interfaces import ConnectionExtRosbag1
from rosbags.rosbag1 import Reader

from stmem_ros.error_text import error_text
from stmem_ros.io.bag_channel import ROS1, BagFileError, Channel, Profile
from stmem_ros.io.bounded_inflation import bound_ros1_chunks

MAGIC = b"#ROSBAG V"
VERSION = "2.0"


class Ros1File:
    """An open file; a ``BagFile``.

    Raises:
        BagFileError: it is damaged or has no index.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        bound_ros1_chunks()
        self._reader = Reader(path)
        try:
            self._reader.open()
        except Exception as error:  # damaged bytes make it fail in many ways
            raise BagFileError(_why_not_opened(path, error_text(error))) from error
        self.channels = tuple(
            Channel(
                id=connection.id,
                topic=connection.topic,
                type=connection.msgtype,
                encoding=ROS1,
                definition=connection.msgdef.data,
                definition_format="ros1msg",
                profiles=(Profile(_is_latched(connection.ext), 1),),
                count=connection.msgcount,
            )
            for connection in self._reader.connections
        )
        has_messages = any(channel.count for channel in self.channels)
        self.start = self._reader.start_time if has_messages else None
        self.end = self._reader.end_time - 1 if has_messages else None

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def messages(self, ids: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Messages of some channels.

        Raises:
            BagFileError: a chunk is damaged.
        """
        connections = [c for c in self._reader.connections if c.id in ids]
        try:
            for connection, time, data in self._reader.messages(connections):
                yield connection.id, time, bytes(data)
        except Exception as error:  # damaged bytes make it fail in many ways
            raise BagFileError(
                "a chunk of its messages is damaged; copy the file again, or mend it with "
                "`rosbag reindex`"
            ) from error


def _why_not_opened(path: Path, said: str) -> str:
    """Why a file cannot be opened, and what helps; ``said`` is what rosbags says."""
    with path.open("rb") as file:
        version = file.readline(16).removeprefix(MAGIC).strip().decode("ascii", "replace")
    if version != VERSION:
        return (
            f"it is a ROS 1 bag of version {version!r}, where {VERSION} is read; bring it there "
            "in ROS 1 with `rosbag fix OLD NEW`"
        )
    if "index" in said:
        return (
            "its index is missing or damaged, as where a recording was cut off; mend it with "
            "`rosbag reindex`"
        )
    return (
        "the records of its header or its index are damaged; copy the file again, or mend it with "
        "`rosbag reindex`"
    )


def _is_latched(connection: object) -> bool:
    return isinstance(connection, ConnectionExtRosbag1) and bool(connection.latching)
