"""SIGINT and SIGTERM end a process of ours soon, whatever it does."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

GRACE = 2.5  # s that the process has to end by itself
MOMENT = 0.01  # s
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_signalled = threading.Event()


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

    handled = threading.Event()

    def handle(number: int, frame: object) -> None:
        _signalled.set()
        if not handled.is_set():
            handled.set()
            on_signal()

    def raise_again(lost: sys.UnraisableHookArgs) -> None:
        """What a finaliser, such as tqdm's, was interrupted in goes on as if nothing had been."""
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(lost)
            return
        handled.clear()
        threading.Timer(MOMENT, os.kill, (os.getpid(), signal.SIGINT)).start()

    sys.unraisablehook = raise_again
    for number in SIGNALS:
        signal.signal(number, handle)
    os.register_at_fork(after_in_child=_forget_signals)  # a child's signals are its own
    threading.Thread(target=end_after_grace, name="signals", daemon=True).start()


def was_signalled() -> bool:
    """Whether a signal came since :func:`end_on_signals`: what fails then may fail because of it.

    An exception that ``on_signal`` raises inside a library may come out as an error of its own.
    """
    return _signalled.is_set()


def ignore_signals() -> None:
    """The process ends already."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _forget_signals() -> None:
    _signalled.clear()
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
