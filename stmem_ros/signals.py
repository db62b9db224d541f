"""SIGINT and SIGTERM end a process of ours soon, whatever it does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

GRACE = 2.5  # s that the process has to end by itself
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_on_signals(exit_code: int, on_signal: Callable[[], None]) -> None:
    """Call ``on_signal`` in the main thread at the first signal; later ones change nothing.

    A process that has not ended ``GRACE`` seconds after the first one is ended with ``exit_code``:
    its main thread may be inside code of another language, which no handler of Python interrupts.
    For the start of a process of our own: it sets handlers and the wake-up descriptor of signals.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def end_after_grace() -> None:
        while os.read(reader, 1)[0] not in SIGNALS:
            pass
        time.sleep(GRACE)
        os._exit(exit_code)

    signalled = threading.Event()

    def handle(number: int, frame: object) -> None:
        if not signalled.is_set():
            signalled.set()
            on_signal()

    for number in SIGNALS:
        signal.signal(number, handle)
    threading.Thread(target=end_after_grace, name="signals", daemon=True).start()
