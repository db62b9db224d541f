"""The clock of a bag that is played: worked out once, begun anew with each round."""

from collections.abc import Iterator
from pathlib import Path

from support.bags import write_bag
from support.ros import Peer

from stmem_ros.io.bags import BagReader, Record
from stmem_ros.online.player import BagPlayer, PlayOptions
from stmem_ros.online.stamp_clock import StampClock
from stmem_ros.stamps import SECOND

STAMPS = [12 * SECOND + i * SECOND // 10 for i in range(3)]  # of a simulation


def simulated(folder: Path) -> Path:
    return write_bag(folder / "bag", [b"x"] * len(STAMPS), (), STAMPS)


class CountingReader(BagReader):
    looked = 0

    def first_records(self) -> Iterator[Record]:
        self.looked += 1
        return super().first_records()


def test_a_bag_is_looked_at_once_however_often_it_is_played(peer: Peer, tmp_path: Path) -> None:
    with CountingReader(simulated(tmp_path)) as bag:
        player = BagPlayer(peer.node, bag, PlayOptions())
        for _ in range(2):
            player.play(50.0)
        assert player.start == STAMPS[0]
        assert bag.looked == 1 and player.played == 2 * len(STAMPS)


def test_the_clock_begins_anew_with_each_round(tmp_path: Path) -> None:
    with BagReader(simulated(tmp_path)) as bag:
        clock = StampClock(bag)
        for _ in range(2):
            clock.begin()
            shown = []
            for record in bag.records():
                clock.hear(record)
                shown.append(clock.at(record.time))
            assert shown == STAMPS
