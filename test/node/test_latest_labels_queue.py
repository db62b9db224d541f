"""All notes of a key come out in order; of the items only those that are still worth it."""

from collections.abc import Callable

from stmem_ros.node.latest_labels_queue import LatestLabelsQueue

Queue = LatestLabelsQueue[int, str]


def unless(text: str) -> Callable[[str, float], bool]:
    """An item of that text is not due, however long it waits."""
    return lambda item, waited: item != text


def test_only_the_newest_item_of_each_key_is_kept() -> None:
    queue = Queue()
    for note, key in enumerate(("left", "left", "right", "left")):
        queue.put(key, note, f"{key} {note}")
    taken = [queue.take(timeout=0) for _ in range(4)]
    assert taken == [(0, None), (1, None), (3, "left 3"), (2, "right 2")]
    assert queue.take(timeout=0) is None
    assert (queue.replaced("left"), queue.replaced("right")) == (2, 0)


def test_what_was_taken_is_not_replaced() -> None:
    queue = Queue()
    queue.put("left", 0, "first")
    assert queue.take(timeout=0) == (0, "first")
    queue.put("left", 1, "second")
    assert queue.take(timeout=0) == (1, "second")
    assert queue.replaced("left") == 0


def test_an_item_that_is_not_due_holds_up_its_own_key_alone() -> None:
    queue = Queue()
    queue.put("left", 0, "early")
    queue.put("right", 1, "first")
    assert queue.take(0, unless("early")) == (1, "first")
    assert queue.take(0, unless("early")) is None
    for note in (2, 3):
        queue.put("left", note, "newer")
        queue.put("right", note, "next")
        assert queue.take(0, unless("early")) == (note, "next")
    # It is not replaced while it is waited for; the newest one waits behind it.
    assert [queue.take(timeout=0) for _ in range(3)] == [(0, "early"), (2, None), (3, "newer")]


def test_an_item_is_told_how_long_it_was_waited_for() -> None:
    queue = Queue()
    queue.put("left", 0, "early")
    assert queue.take(60.0, lambda item, waited: waited > 0.05) == (0, "early")


def test_keys_take_turns_where_their_items_come_faster_than_they_are_taken() -> None:
    queue = Queue()
    taken = []
    for note in range(20):
        for key in ("left", "right"):
            queue.put(key, note, key)
        while (found := queue.take(timeout=0)) is not None and found[1] is None:
            pass
        assert found is not None
        taken.append(found[1])
    assert taken == ["left", "right"] * 10
