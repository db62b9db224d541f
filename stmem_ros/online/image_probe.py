"""Measuring whether images of a camera's size get from one process to another.

``python -m stmem_ros.online.image_probe WIDTH HEIGHT`` is the receiving process; it prints one line
of JSON. Stamps are of the monotonic clock, which processes of one machine share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from stmem_ros.node.ros_messages import ROS_MESSAGES
from stmem_ros.stamps import nanoseconds

TOPIC = "stmem_doctor/image"
COUNT = 30
PERIOD = 0.05  # s between images
TIMEOUT = 20.0  # s for the receiving process to appear, and to end


@dataclass(frozen=True)
class ProbeResult:
    """Images sent and received, median and worst time between processes in ms."""

    sent: int
    received: int
    median_ms: float
    worst_ms: float


def probe(width: int, height: int, reliable: bool) -> ProbeResult:
    """Send rgb8 images to another process, with the environment of this one.

    Raises:
        RuntimeError: the other process did not appear, or did not end as it should.
    """
    command = [sys.executable, "-m", "stmem_ros.online.image_probe", str(width), str(height)]
    command += ["reliable"] if reliable else []
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Node("stmem_doctor")
        publisher = node.create_publisher(Image, TOPIC, QoSProfile(depth=5))
        deadline = time.monotonic() + TIMEOUT
        while not publisher.get_subscription_count():
            if time.monotonic() > deadline or receiver.poll() is not None:
                raise RuntimeError("the receiving process did not appear")
            time.sleep(0.05)
        message = ROS_MESSAGES.image(np.zeros((height, width, 3), np.uint8), Header())
        for number in range(COUNT):
            message.header = ROS_MESSAGES.header(time.monotonic_ns(), str(number))
            publisher.publish(message)
            time.sleep(PERIOD)
        output, _ = receiver.communicate(timeout=TIMEOUT)
        if receiver.returncode:
            raise RuntimeError(f"the receiving process ended with code {receiver.returncode}")
    except subprocess.TimeoutExpired as error:
        raise RuntimeError("the receiving process did not end") from error
    finally:
        receiver.kill()
        rclpy.try_shutdown()
    times = sorted(json.loads(output.splitlines()[-1]))  # Fast DDS 2 prints before it
    median = times[len(times) // 2] if times else float("nan")
    return ProbeResult(COUNT, len(times), median, times[-1] if times else float("nan"))


def receive(width: int, height: int, reliable: bool) -> None:
    """Take images until they stop; print how long each was on its way, ms."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("stmem_doctor_receiver")
    times: list[float] = []
    last = time.monotonic() + TIMEOUT
    done = False

    def on_image(message: Image) -> None:
        nonlocal last, done
        times.append((time.monotonic_ns() - nanoseconds(message.header.stamp)) / 1e6)
        last = time.monotonic() + 2.0
        done = message.header.frame_id == str(COUNT - 1)

    policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    node.create_subscription(Image, TOPIC, on_image, QoSProfile(depth=5, reliability=policy))
    while not done and time.monotonic() < last:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps(times), flush=True)
    rclpy.try_shutdown()


if __name__ == "__main__":
    receive(int(sys.argv[1]), int(sys.argv[2]), "reliable" in sys.argv)
