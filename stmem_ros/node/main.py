#!/usr/bin/env python3
"""Executable ``segmentation_node``."""

from __future__ import annotations

import sys

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from stmem_ros.node.segmentation_node import SegmentationNode
from stmem_ros.streaming.kernels.allocator import keep_freed_memory


def main() -> int:
    """Run the node until it is interrupted; exit code 1 if it cannot start by itself."""
    keep_freed_memory()
    rclpy.init()
    node = SegmentationNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not node.failed:
            executor.spin_once(timeout_sec=1.0)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        executor.shutdown()  # else its guard condition may be collected before it, which it reports
        node.destroy_node()
        rclpy.try_shutdown()
    return int(node.failed)


if __name__ == "__main__":
    sys.exit(main())
