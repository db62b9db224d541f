"""What the node tells about its health, once a second on ``/diagnostics``."""

from __future__ import annotations

import time

import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from stmem_ros.node.camera_stream import CameraStream
from stmem_ros.node.costmap_output import CostmapOutput

SILENCE = 2.0  # s without an image that are a problem


class Diagnostics:
    """Collects one status per subcomponent and publishes them together.

    Names are ``<node>: <Subcomponent>``, as diagnostic_updater writes them.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._statuses: list[DiagnosticStatus] = []

    def add_input(self, stream: CameraStream, topic: str, dropped: int) -> None:
        """Add what a camera sends on ``topic``; ``dropped``: images replaced by newer ones."""
        counters = stream.counters
        wanted = topic + stream.paired_with
        silence = None
        if counters.last_image is not None:
            silence = time.monotonic() - counters.last_image
        problem = stream.loss(topic)
        if silence is None:
            problem = f"no image yet on {wanted}"
        elif silence > SILENCE:
            problem = f"no image on {wanted} for {silence:.1f} s"
        elif counters.refused > counters.refused_reported:
            problem = f"{counters.refused} images not used, last: {counters.last_error}"
        counters.refused_reported = counters.refused
        self._add(
            f"Input {stream.name}".strip(),
            problem,
            {
                "received": counters.received,
                "labelled": counters.labelled,
                "dropped": dropped,
                "late": counters.late,
                "invalid": counters.invalid,
            },
        )

    def add_model(self, name: str, device: torch.device, memory: int, broken: str) -> None:
        """Add the model; ``memory``: bytes it holds on a GPU; ``broken``: why it fails, or ''."""
        values = {"model": name, "device": device, "memory": memory}
        self._add("Model", broken, values, DiagnosticStatus.ERROR)

    def add_costmap(self, costmap: CostmapOutput, skipped: int) -> None:
        """Add the costmap; ``skipped``: labels that newer ones replaced before they were fused."""
        age = "never"
        if costmap.updated is not None:
            age = f"{time.monotonic() - costmap.updated:.2f}"
        values = {
            "updates": costmap.updates,
            "failures": costmap.failures,
            "skipped": skipped,
            "age_s": age,
        }
        self._add("Costmap", costmap.problem, values)

    def publish(self) -> None:
        """Send what was added since the last time."""
        message = DiagnosticArray(status=self._statuses)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._statuses = []
        self._publisher.publish(message)

    def destroy(self) -> None:
        """Take the publisher away."""
        self._node.destroy_publisher(self._publisher)

    def _add(
        self,
        part: str,
        problem: str,
        values: dict[str, object],
        level: bytes = DiagnosticStatus.WARN,
    ) -> None:
        """Add the status of a subcomponent; ``level`` of its problem, '' where all is well."""
        self._statuses.append(
            DiagnosticStatus(
                level=level if problem else DiagnosticStatus.OK,
                name=f"{self._node.get_name()}: {part}",
                message=problem or "OK",
                hardware_id=self._node.get_namespace(),
                values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
            )
        )
