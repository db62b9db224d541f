"""Messages of a bag that are looked for by their stamps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stmem_ros.io.bags import BagReader
from stmem_ros.stamps import nanoseconds


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
