"""What the node tells about its health, once a second on ``/diagnostics``."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from rclpy.node import Node

from stmem_ros.health import Status

FAREWELL = Duration(seconds=1)  # that the last message may take to arrive


class Diagnostics:
    """Collects one status per subcomponent and publishes them together.

    Names are ``<node>: <Subcomponent>``, as diagnostic_updater writes them, with the node's
    namespace where it has one: names of two nodes differ.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._name = node.get_fully_qualified_name().lstrip("/")
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._statuses: list[DiagnosticStatus] = []

    def add(self, part: str, status: Status) -> None:
        """Add the status of a subcomponent."""
        self._statuses.append(
            DiagnosticStatus(
                level=bytes([status.level]),
                name=f"{self._name}: {part}",
                message=status.message,
                hardware_id=self._node.get_namespace(),
                values=[KeyValue(key=key, value=str(v)) for key, v in status.values.items()],
            )
        )

    def publish(self) -> None:
        """Send what was added since the last time."""
        message = DiagnosticArray(status=self._statuses)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._statuses = []
        self._publisher.publish(message)

    def wait_until_sent(self) -> None:
        """Wait a moment for those who listen: the node is about to end."""
        self._publisher.wait_for_all_acked(FAREWELL)

    def destroy(self) -> None:
        """Take the publisher away."""
        self._node.destroy_publisher(self._publisher)
