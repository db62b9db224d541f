"""All notes come out of a backlog in order; of the items only the newest of each key."""

from stmem_ros.node.latest_labels_queue import Backlog


def test_only_the_newest_item_of_each_key_is_kept() -> None:
    backlog: Backlog[int, str] = Backlog()
    for note, key in enumerate(("left", "left", "right", "left")):
        backlog.put(key, note, f"{key} {note}")
    taken = [backlog.take(timeout=0) for _ in range(4)]
    assert taken == [(0, None), (1, None), (2, "right 2"), (3, "left 3")]
    assert backlog.take(timeout=0) is None
    assert (backlog.replaced("left"), backlog.replaced("right")) == (2, 0)


def test_what_was_taken_is_not_replaced() -> None:
    backlog: Backlog[int, str] = Backlog()
    backlog.put("left", 0, "first")
    assert backlog.take(timeout=0) == (0, "first")
    backlog.put("left", 1, "second")
    assert backlog.take(timeout=0) == (1, "second")
    assert backlog.replaced("left") == 0
