"""Files of rosbag2's sqlite3 storage, of all its versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote

from stmem_ros.io.bag_channel import BagFileError, Channel, parse_profiles

MAGIC = b"SQLite format 3\0"
# Of a damaged file, whose bytes may also be in the text of the error itself.
DAMAGE = (sqlite3.Error, UnicodeDecodeError)
TABLES = ("topics", "messages")
ADVICE = "mend it with `sqlite3 FILE .recover | sqlite3 MENDED`"


class SqliteFile:
    """An open file; a ``BagFile``.

    Raises:
        BagFileError: it is damaged, or another kind of database.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        # What a recorder that was killed left in its log counts; without a log nothing changes.
        log = path.with_name(path.name + "-wal")
        mode = "mode=ro" if log.is_file() and log.stat().st_size else "immutable=1"
        self._database = sqlite3.connect(f"file:{quote(str(path.resolve()))}?{mode}", uri=True)
        try:
            if missing := [name for name in TABLES if not self._columns(name)]:
                self.close()
                raise BagFileError(
                    f"it is an sqlite3 database, but no bag: it has no table {missing[0]}"
                )
            self.channels = self._read_channels()
            row = self._database.execute("SELECT MIN(timestamp), MAX(timestamp) FROM messages")
            self.start, self.end = row.fetchone()
        except DAMAGE as error:
            self.close()
            raise BagFileError(f"its tables are damaged; {ADVICE}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def messages(self, ids: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Messages of some channels.

        Raises:
            BagFileError: a page is damaged.
        """
        marks = ",".join("?" for _ in ids)
        query = (
            "SELECT topic_id, timestamp, data FROM messages "
            f"WHERE topic_id IN ({marks}) ORDER BY timestamp"
        )
        try:
            yield from self._database.execute(query, tuple(ids))
        except DAMAGE as error:
            raise BagFileError(
                f"a table is damaged and cannot be read to its end; {ADVICE}"
            ) from error

    def _read_channels(self) -> tuple[Channel, ...]:
        counts = dict(
            self._database.execute("SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id")
        )
        definitions: dict[str, tuple[str, str]] = {}
        if self._columns("message_definitions"):
            rows = self._database.execute(
                "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            )
            definitions = {kind: (form, text) for kind, form, text in rows}
        wanted = ("id", "name", "type", "serialization_format", "offered_qos_profiles",
                  "type_description_hash")  # fmt: skip
        have = self._columns("topics")
        names = ", ".join(name if name in have else "''" for name in wanted)
        channels = []
        for number, topic, kind, encoding, profiles, digest in self._database.execute(
            f"SELECT {names} FROM topics ORDER BY id"
        ):
            form, text = definitions.get(kind, ("", ""))
            channels.append(
                Channel(
                    id=number,
                    topic=topic,
                    type=kind,
                    encoding=encoding,
                    definition=text,
                    definition_format=form,
                    digest=digest,
                    profiles=parse_profiles(profiles),
                    count=counts.get(number, 0),
                )
            )
        return tuple(channels)

    def _columns(self, table: str) -> set[str]:
        return {row[1] for row in self._database.execute(f"PRAGMA table_info({table})")}
