"""A worker keeps order, lets one item wait, and ends after the last."""

import threading

from stmem_ros.node.worker import Worker


def test_items_are_worked_on_in_order_and_the_last_before_the_end() -> None:
    done: list[int] = []
    worker = Worker("test", done.append)
    for i in range(20):
        worker.put(i)
    worker.close()
    assert done == list(range(20))


def test_one_item_waits_and_whoever_puts_another() -> None:
    done: list[int] = []
    free = threading.Event()

    def work(item: int) -> None:
        free.wait()
        done.append(item)

    worker = Worker("test", work)
    put: list[int] = []

    def put_three() -> None:
        for i in range(3):
            worker.put(i)
            put.append(i)

    putting = threading.Thread(target=put_three)
    putting.start()
    putting.join(timeout=0.3)
    assert putting.is_alive() and put == [0, 1] and not done
    free.set()
    putting.join()
    worker.close()
    assert done == [0, 1, 2]
