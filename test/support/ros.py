"""The test's side of integration tests: a peer node, and the node under test in its process."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from support.forks import Fork

from stmem_ros.node.main import main
from stmem_ros.node.ros_messages import ROS_MESSAGES

NODE = "/segmentation_node"
HELLO = 1  # stamp in s of images that only test the connection; not collected
PATIENCE = 60.0  # s any condition may take on a busy machine
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Peer:
    """The test's own node: sends, collects, calls services, waits for conditions."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = Node("test_peer")
        self._get_state = self.node.create_client(GetState, f"{NODE}/get_state")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        rclpy.try_shutdown()
        self._thread.join(timeout=10)

    def collect(self, kind: type, topic: str, qos: QoSProfile | int = 50) -> list:
        """A list that fills with the messages of a topic."""
        messages: list = []

        def take(message: object) -> None:
            header = getattr(message, "header", None)
            if header is None or header.stamp.sec != HELLO:
                messages.append(message)

        self.node.create_subscription(kind, topic, take, qos)
        return messages

    def wait(self, condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"waited {timeout} s for {what}"
            time.sleep(0.01)

    def call(self, kind: type, service: str, request: object) -> object:
        client = self.node.create_client(kind, service)
        assert client.wait_for_service(timeout_sec=PATIENCE), f"no service {service}"
        # A node drops requests and answers of clients it has yet to discover. It hears of them in
        # their order: when it answers a younger client, it knows this one.
        self._ask_state(self.node.create_client(GetState, f"{NODE}/get_state"))
        future = client.call_async(request)
        self.wait(future.done, f"an answer of {service}")
        return future.result()

    def state(self) -> int:
        return self._ask_state(self._get_state)

    def _ask_state(self, client: Client) -> int:
        """Asks until there is an answer: asking twice does no harm."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if not client.wait_for_service(timeout_sec=1.0):
                continue
            future = client.call_async(GetState.Request())
            again = time.monotonic() + 2.0
            while not future.done() and time.monotonic() < again:
                time.sleep(0.01)
            if future.done():
                return future.result().current_state.id
        raise AssertionError(f"waited {PATIENCE} s for an answer of {client.srv_name}")

    def transition(self, number: int) -> bool:
        request = ChangeState.Request()
        request.transition.id = number
        return self.call(ChangeState, f"{NODE}/change_state", request).success

    def wait_until_active(self) -> None:
        self.wait(lambda: self.state() == State.PRIMARY_STATE_ACTIVE, "the node to be active")

    def set_parameter(self, name: str, value: object):

        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        return self.call(SetParameters, f"{NODE}/set_parameters", request).results[0]

    def describe(self, names: list[str]) -> list:
        request = DescribeParameters.Request(names=names)
        return self.call(DescribeParameters, f"{NODE}/describe_parameters", request).descriptors

    def image_sender(
        self,
        topic: str = "/image_raw",
        labels: str = f"{NODE}/label",
        frame: str = "camera_optical_frame",
    ) -> Callable[..., None]:
        """A function that publishes an rgb8 image with a stamp in seconds.

        Before it is handed out, images of the distant past are sent until one comes back labelled:
        that an endpoint was discovered on one side does not mean that it was on the other.
        """
        publisher = self.node.create_publisher(Image, topic, 5)
        greeted = threading.Event()
        listener = self.node.create_subscription(Image, labels, lambda message: greeted.set(), 5)
        end = time.monotonic() + PATIENCE
        stamp = float(HELLO)
        while not greeted.wait(0.5):
            assert time.monotonic() < end, f"no image of {topic} came back labelled"
            stamp += 0.001  # the same once more would be late
            publisher.publish(image_message(np.zeros((32, 32, 3), np.uint8), stamp))
        # By the thread that spins: it may be waiting for the subscription.
        self._executor.create_task(self.node.destroy_subscription, listener)

        def send(rgb: np.ndarray, stamp: float, encoding: str = "rgb8") -> None:
            message = image_message(rgb, stamp, encoding)
            message.header.frame_id = frame
            publisher.publish(message)

        return send


def image_message(rgb: np.ndarray, stamp: float, encoding: str = "rgb8") -> Image:
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding=encoding)
    message.step = rgb[0].nbytes
    message.data = array("B", rgb.tobytes())
    message.header = ROS_MESSAGES.header(round(stamp * 1e9), "camera_optical_frame")
    return message


def start_node(bundle: Path, log: Path, *arguments: str, run: Callable[[], int] = main) -> Fork:
    """A running segmentation_node on the CPU, with more ROS arguments."""
    words = ["segmentation_node", "--ros-args", "-p", f"model:={bundle}", "-p", "device:=cpu"]
    return Fork(run, [*words, *arguments], log)
