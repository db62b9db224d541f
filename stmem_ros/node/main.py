#!/usr/bin/env python3
"""Executable ``segmentation_node``."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import TextIO

from stmem_ros.error_text import error_text
from stmem_ros.signals import end_on_signals
from stmem_ros.streaming.kernels.allocator import keep_freed_memory

WAKE_UP = 0.2  # s between two looks for a signal, which does not wake up the executor


def main() -> int:
    """Run the node until SIGINT or SIGTERM; exit code 1 if it cannot start by itself."""
    keep_freed_memory()  # before the first thread
    stop = threading.Event()
    spinning = threading.Event()

    def on_signal() -> None:
        stop.set()
        if not spinning.is_set():  # nothing was begun that has to be ended
            os._exit(0)

    end_on_signals(0, on_signal)

    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from stmem_ros.node.security import UNPROTECTED, Strategy, asked_security
    from stmem_ros.node.segmentation_node import SegmentationNode

    try:
        security = asked_security()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = SegmentationNode()
    except (ValueError, RuntimeError, ParameterException) as error:  # what it was started with
        print(f"segmentation_node: {error_text(error)}", file=sys.stderr)
        return 1
    if security is Strategy.PERMISSIVE:
        node.get_logger().warning(UNPROTECTED)
    log_warnings(node.get_logger().warning)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning.set()
    try:
        while not node.failed and not stop.is_set() and rclpy.ok():
            executor.spin_once(timeout_sec=WAKE_UP)
    finally:
        failed = node.failed
        executor.shutdown()  # else its guard condition may be collected before it, which it reports
        node.destroy_node()
        rclpy.try_shutdown()
    return int(failed)


def log_warnings(log: Callable[[str], object]) -> None:
    """Have warnings that come while images are worked on be logged, each once: what runs slower."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        log(str(message))

    warnings.showwarning = show


if __name__ == "__main__":
    sys.exit(main())
