"""All notes come out of the queue in order; of the items only the newest of each key."""

from stmem_ros.node.latest_labels_queue import LatestLabelsQueue


def test_only_the_newest_item_of_each_key_is_kept() -> None:
    queue: LatestLabelsQueue[int, str] = LatestLabelsQueue()
    for note, key in enumerate(("left", "left", "right", "left")):
        queue.put(key, note, f"{key} {note}")
    taken = [queue.take(timeout=0) for _ in range(4)]
    assert taken == [(0, None), (1, None), (2, "right 2"), (3, "left 3")]
    assert queue.take(timeout=0) is None
    assert (queue.replaced("left"), queue.replaced("right")) == (2, 0)


def test_what_was_taken_is_not_replaced() -> None:
    queue: LatestLabelsQueue[int, str] = LatestLabelsQueue()
    queue.put("left", 0, "first")
    assert queue.take(timeout=0) == (0, "first")
    queue.put("left", 1, "second")
    assert queue.take(timeout=0) == (1, "second")
    assert queue.replaced("left") == 0
