"""What the node tells about its health, once a second on ``/diagnostics``."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node


class Diagnostics:
    """Collects one status a subcomponent and publishes them together.

    Names are ``<node>: <Subcomponent>``, as diagnostic_updater writes them.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._statuses: list[DiagnosticStatus] = []

    def add(self, part: str, problem: str, values: dict[str, object], error: bool = False) -> None:
        """Add the status of a subcomponent; ``problem`` is empty where all is well."""
        level = DiagnosticStatus.OK
        if problem:
            level = DiagnosticStatus.ERROR if error else DiagnosticStatus.WARN
        self._statuses.append(
            DiagnosticStatus(
                level=level,
                name=f"{self._node.get_name()}: {part}",
                message=problem or "OK",
                hardware_id=self._node.get_namespace(),
                values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
            )
        )

    def destroy(self) -> None:
        """Take the publisher away."""
        self._node.destroy_publisher(self._publisher)

    def publish(self) -> None:
        """Send what was added since the last time."""
        message = DiagnosticArray(status=self._statuses)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._statuses = []
        self._publisher.publish(message)
