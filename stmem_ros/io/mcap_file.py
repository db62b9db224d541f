"""MCAP files: by their index, or from their beginning as far as they go.

The format: https://mcap.dev/spec. Files of any profile and with any channels are opened; what
cannot be decoded is left to who asks for it.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any
from zlib import crc32

from stmem_ros.io.bag_channel import BagFileError, Channel, parse_profiles
from stmem_ros.io.bounded_inflation import InflationError, inflate

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, CHUNK_INDEX, STATISTICS, DATA_END = (
    0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x0B, 0x0F
)  # fmt: skip
_HEAD = struct.Struct("<BQ")  # of a record: its kind, the length of what follows
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, time of recording, of publishing
_CHUNK = struct.Struct("<QQQI")  # times of the first and last message, size, checksum
_FOOTER = struct.Struct("<QQI")  # where the summary begins, where its offsets do, checksum
_COUNT = struct.Struct("<HQ")  # channel, messages
FOOTER_LENGTH = _HEAD.size + _FOOTER.size + len(MAGIC)


@dataclass(frozen=True)
class _Chunk:
    """Where a chunk's record lies, and which channels have messages in it (None: not known)."""

    start: int
    begin: int
    length: int
    channels: frozenset[int] | None


@dataclass
class _Contents:
    """What was read of a file, from its index or from all of its records."""

    schemas: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[_Chunk] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    start: int | None = None
    end: int | None = None
    has_loose_messages: bool = False  # that lie in no chunk

    def saw_message(self, channel: int, time: int) -> None:
        self.counts[channel] += 1
        self.start = time if self.start is None else min(self.start, time)
        self.end = time if self.end is None else max(self.end, time)


class McapFile:
    """An open MCAP file; a ``BagFile``.

    Raises:
        BagFileError: not even its beginning is that of an MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        self._file = path.open("rb")
        self._size = path.stat().st_size
        if self._file.read(len(MAGIC)) != MAGIC:
            self._file.close()
            raise BagFileError("it does not begin as MCAP files do")
        contents = self._indexed()
        self._contents = self._scanned() if contents is None else contents
        self._contents.chunks.sort(key=lambda chunk: (chunk.start, chunk.begin))
        self.start, self.end = self._contents.start, self._contents.end
        counts = self._contents.counts
        self.channels = tuple(
            Channel(**(vars(c) | {"count": counts[c.id]})) for c in self._contents.channels.values()
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(self, ids: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Messages of some channels.

        Raises:
            BagFileError: a chunk is damaged.
        """
        wanted = frozenset(ids)
        loose = self._contents.has_loose_messages
        try:
            yield from self._loose_messages(wanted) if loose else self._chunk_messages(wanted)
        except (struct.error, OverflowError) as error:
            raise BagFileError("a record is cut off, or its numbers are damaged") from error

    def _chunk_messages(self, wanted: frozenset[int]) -> Iterator[tuple[int, int, bytes]]:
        """Messages of a file where all lie in chunks, which may overlap."""
        waiting: list[tuple[int, int, int, int, bytes]] = []
        for chunk in self._contents.chunks:
            if chunk.channels is not None and wanted.isdisjoint(chunk.channels):
                continue
            while waiting and waiting[0][0] < chunk.start:
                time, _, _, channel, data = heappop(waiting)
                yield channel, time, data
            for number, (channel, time, data) in enumerate(self._read_chunk(chunk, wanted)):
                heappush(waiting, (time, chunk.begin, number, channel, data))
        while waiting:
            time, _, _, channel, data = heappop(waiting)
            yield channel, time, data

    # The index

    def _indexed(self) -> _Contents | None:
        """What the summary at the end says; None where it is missing or says too little."""
        if self._size < len(MAGIC) + FOOTER_LENGTH:
            return None
        self._file.seek(self._size - FOOTER_LENGTH)
        end = self._file.read(FOOTER_LENGTH)
        kind, _ = _HEAD.unpack_from(end)
        (begin, *_) = _FOOTER.unpack_from(end, _HEAD.size)
        length = self._size - FOOTER_LENGTH - begin
        if not end.endswith(MAGIC) or kind != FOOTER or not begin or length < 0:
            return None
        self._file.seek(begin)
        contents = _Contents()
        total = None
        try:
            for kind, data in _records(memoryview(self._file.read(length))):
                if kind == STATISTICS:
                    total = _read_statistics(data, contents)
                else:
                    _read_record(kind, data, contents)
        except (struct.error, OverflowError, BagFileError):
            return None
        if any(chunk.begin + chunk.length > begin for chunk in contents.chunks):
            return None
        if total is None or (total and not (contents.chunks and contents.channels)):
            return None
        return contents

    # From the beginning

    def _walk(self) -> Iterator[tuple[int, int, int]]:
        """Kind, position and length of the data of the file's records, up to the end of its data.

        Where the file ends within a record, that is its problem, and the last record.
        """
        position = len(MAGIC)
        while position + _HEAD.size <= self._size:
            self._file.seek(position)
            kind, length = _HEAD.unpack(self._file.read(_HEAD.size))
            position += _HEAD.size
            if kind in (FOOTER, DATA_END):
                return
            if not kind or position + length > self._size:
                yield kind, position, self._size - position
                break
            yield kind, position, length
            position += length
        self.problem = (
            "the recording was cut off (it has no end): it is read as far as it goes, "
            f"{self._size} bytes"
        )

    def _scanned(self) -> _Contents:
        """What the records say, as far as the file goes."""
        contents = _Contents()
        for kind, begin, length in self._walk():
            if kind == MESSAGE:
                if length >= _MESSAGE.size:
                    channel, _, time, _ = _MESSAGE.unpack(self._file.read(_MESSAGE.size))
                    contents.saw_message(channel, time)
                    contents.has_loose_messages = True
                continue
            if kind not in (SCHEMA, CHANNEL, CHUNK):
                continue
            try:
                if kind == CHUNK:
                    self._scan_chunk(begin, length, contents)
                else:
                    data = self._file.read(length)
                    _read_record(kind, memoryview(data), contents)
            except (struct.error, OverflowError, BagFileError) as error:
                why = error if isinstance(error, BagFileError) else "a record is cut off"
                self.problem = f"it is damaged {begin} bytes from its beginning: {why}"
                break
        return contents

    def _scan_chunk(self, begin: int, length: int, contents: _Contents) -> None:
        start, data = self._chunk_data(begin, length)
        channels = set()
        for kind, record in _records(data, to_the_end=False):
            if kind == MESSAGE:
                channel, _, time, _ = _MESSAGE.unpack_from(record)
                contents.saw_message(channel, time)
                channels.add(channel)
            else:
                _read_record(kind, record, contents)
        contents.chunks.append(_Chunk(start, begin, length, frozenset(channels)))

    def _loose_messages(self, wanted: frozenset[int]) -> Iterator[tuple[int, int, bytes]]:
        """Messages of a file where some lie in no chunk, as they come."""
        for kind, begin, length in self._walk():
            if kind == CHUNK:
                yield from self._read_chunk(_Chunk(0, begin, length, None), wanted)
            elif kind == MESSAGE and length >= _MESSAGE.size and begin + length <= self._size:
                channel, _, time, _ = _MESSAGE.unpack(self._file.read(_MESSAGE.size))
                if channel in wanted:
                    yield channel, time, self._file.read(length - _MESSAGE.size)

    # Chunks

    def _read_chunk(self, chunk: _Chunk, wanted: frozenset[int]) -> list[tuple[int, int, bytes]]:
        """A chunk's messages of some channels, in the order of recording."""
        _, data = self._chunk_data(chunk.begin, chunk.length)
        found = []
        for kind, record in _records(data, to_the_end=False):
            if kind == MESSAGE:
                channel, _, time, _ = _MESSAGE.unpack_from(record)
                if channel in wanted:
                    found.append((channel, time, bytes(record[_MESSAGE.size :])))
        found.sort(key=lambda message: message[1])
        return found

    def _chunk_data(self, begin: int, length: int) -> tuple[int, memoryview]:
        """The time of a chunk's first message, and its records; of a cut one what is there."""
        self._file.seek(begin)
        head = self._file.read(min(length, _CHUNK.size + 4 + 16 + 8))
        start, _, size, checksum = _CHUNK.unpack_from(head)
        (name_length,) = struct.unpack_from("<I", head, _CHUNK.size)
        at = _CHUNK.size + 4
        compression = head[at : at + name_length].decode("ascii", "replace")
        at += name_length
        (compressed,) = struct.unpack_from("<Q", head, at)
        at += 8
        is_whole = at + compressed <= length
        if not is_whole and compression:
            raise BagFileError("a compressed chunk is cut off")
        self._file.seek(begin + at)
        data = self._file.read(min(compressed, length - at))
        try:
            data = inflate(data, compression, size) if compression else data
        except InflationError as error:
            raise BagFileError(str(error)) from error
        if is_whole and (len(data) != size or (checksum and crc32(data) != checksum)):
            raise BagFileError("a chunk is damaged: its checksum or its size is another")
        return start, memoryview(data)


def _records(data: memoryview, to_the_end: bool = True) -> Iterator[tuple[int, memoryview]]:
    """Kind and data of the records that lie one after the other.

    Raises:
        BagFileError: the last one is cut off, and all are to be read ``to_the_end``.
    """
    position, end = 0, len(data)
    while position + _HEAD.size <= end:
        kind, length = _HEAD.unpack_from(data, position)
        position += _HEAD.size
        if length > end - position:
            if to_the_end:
                raise BagFileError("a record is longer than what holds it")
            return
        yield kind, data[position : position + length]
        position += length


class _Fields:
    """Reads the fields of a record one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def numbers(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values

    def block(self) -> memoryview:
        (length,) = self.numbers("<I")
        block = self._data[self._at : self._at + length]
        if len(block) < length:
            raise BagFileError("a field is cut off")
        self._at += length
        return block

    def text(self) -> str:
        return bytes(self.block()).decode("utf-8", "replace")

    @property
    def remains(self) -> bool:
        return self._at < len(self._data)


def _read_record(kind: int, data: memoryview, contents: _Contents) -> None:
    """Take what a schema, a channel or the index of a chunk says; other records say nothing."""
    fields = _Fields(data)
    if kind == SCHEMA:
        (number,) = fields.numbers("<H")
        contents.schemas[number] = fields.text(), fields.text(), fields.text()
    elif kind == CHANNEL:
        channel = _read_channel(fields, contents.schemas)
        contents.channels.setdefault(channel.id, channel)
    elif kind == CHUNK_INDEX:
        start, _, begin, length = fields.numbers("<QQQQ")
        offsets = fields.block()
        channels = frozenset(c for c, _ in _COUNT.iter_unpack(offsets)) if offsets else None
        data_begin, data_length = begin + _HEAD.size, length - _HEAD.size
        contents.chunks.append(_Chunk(start, data_begin, data_length, channels))


def _read_channel(fields: _Fields, schemas: dict[int, tuple[str, str, str]]) -> Channel:
    number, schema = fields.numbers("<HH")
    topic, encoding = fields.text(), fields.text()
    values = _Fields(fields.block())
    metadata = {}
    while values.remains:
        key = values.text()
        metadata[key] = values.text()
    name, definition_format, definition = schemas.get(schema, ("?", "", ""))
    return Channel(
        id=number,
        topic=topic,
        type=name,
        encoding=encoding,
        definition=definition,
        definition_format=definition_format,
        digest=metadata.get("topic_type_hash", ""),
        profiles=parse_profiles(metadata.get("offered_qos_profiles", "")),
    )


def _read_statistics(data: memoryview, contents: _Contents) -> int:
    """Take the counts and times; returns how many messages there are."""
    fields = _Fields(data)
    total, _, _, _, _, _, start, end = fields.numbers("<QHIIIIQQ")
    contents.counts.update(dict(_COUNT.iter_unpack(fields.block())))
    if total:
        contents.start, contents.end = start, end
    return total
