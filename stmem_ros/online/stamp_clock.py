"""The time that /clock tells while a bag is played: that of the stamps in its messages.

Where stamps and times of recording are of one scale, the clock shows the times of recording. A
recorder without simulated time writes those of the wall clock beside a simulator's stamps, which
count from 0 and at another pace: then the clock follows the stamps.
"""

from __future__ import annotations

from statistics import median

from stmem_ros.io.bags import BagReader, Record
from stmem_ros.io.message_types import CLOCK
from stmem_ros.stamps import SECOND

SAME_SCALE = 10 * SECOND  # ns; messages come no later than that after their stamp
SAME_TIME = 10 * SECOND  # ns; a stamp farther from the newest tells another time than that of now


class StampClock:
    """Turns times of recording into those of the clock; it never goes back, until it begins anew.

    Args:
        bag: open; its first messages are looked at.

    Attributes:
        is_of_stamps: whether stamps are of another scale than times of recording.
    """

    def __init__(self, bag: BagReader) -> None:
        self._bag = bag
        first = [
            (record.type, record.time, stamp)
            for record in bag.first_records()
            if record.time >= bag.data_start and (stamp := bag.stamp(record)) is not None
        ]
        apart = [time - stamp for _, time, stamp in first]
        self._offset = round(median(apart)) if apart else 0
        self.is_of_stamps = abs(self._offset) > SAME_SCALE
        clocks = {topic.name for topic in bag.topics if topic.type == CLOCK and topic.count}
        self.sources = clocks if self.is_of_stamps else set()  # topics to hear, played or not
        self.begin()

    def begin(self) -> None:
        """The bag begins, or begins again."""
        self._newest: tuple[int, int] | None = None  # a stamp, and when it was recorded, ns
        self._shown: int | None = None

    def hear(self, record: Record) -> None:
        """Take note of the stamp of a message whose turn has come."""
        if not self.is_of_stamps or (self.sources and record.topic not in self.sources):
            return
        stamp = self._bag.stamp(record)
        if stamp is None:
            return
        newest = record.time - self._offset if self._newest is None else self._newest[0]
        if abs(stamp - newest) < SAME_TIME and (self._newest is None or stamp > newest):
            self._newest = stamp, record.time

    def at(self, time: int) -> int:
        """The time to show at a time of recording, ns."""
        if not self.is_of_stamps:
            return time
        shown = time - self._offset
        if self._newest is not None:
            stamp, heard = self._newest
            shown = stamp + max(0, time - heard)
        self._shown = shown if self._shown is None else max(shown, self._shown)
        return self._shown
