"""The bond with Nav2's lifecycle manager, by which a stack learns that the node died."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.node import Node

from stmem_ros.node.ros_packages import bondpy

# As Nav2's servers have it (nav2_util/LifecycleNode).
TOPIC = "bond"
HEARTBEAT_PERIOD = 0.1  # s
HEARTBEAT_TIMEOUT = 4.0  # s
FAREWELL = Duration(seconds=1)  # that the end of the bond may take to arrive


def check_bond_is_possible() -> None:
    """Refuse a bond where there can be none.

    Raises:
        ValueError: bondpy, or the messages of bond, are not installed.
    """
    if bondpy is None:
        raise ValueError(
            "parameter bond is True, but bondpy is not installed; install it "
            "(ros-<distribution>-bondpy), or set bond to false"
        )


class LifecycleBond:
    """A bond named after the node, from when it is made until it is broken.

    The manager forms its end after the node was activated. That it does not, or dies, is logged and
    changes nothing: the node goes on, as Nav2's servers do.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._bond = bondpy.Bond(
            node, TOPIC, node.get_name(), on_broken=self._on_broken, on_formed=self._on_formed
        )
        self._bond.heartbeat_period = HEARTBEAT_PERIOD
        self._bond.heartbeat_timeout = HEARTBEAT_TIMEOUT
        self._bond.start()

    def destroy(self) -> None:
        """Break the bond: the manager is told at once."""
        bond = self._bond
        bond.set_broken_callback(None)  # it is meant
        bond.break_bond()
        bond.pub.wait_for_all_acked(FAREWELL)  # what is sent is lost with its publisher
        self.fall_silent()

    def fall_silent(self) -> None:
        """Send no more heartbeats: the manager breaks the bond after the time-out."""
        bond = self._bond
        with bond.lock:
            bond.is_shutdown = True  # else its end breaks the bond
            bond.condition.notify_all()
        # bondpy leaves all of these behind.
        for timer in (bond.connect_timer, bond.heartbeat_timer, bond.disconnect_timer):
            timer.cancel()
            if timer.timer.is_alive():
                timer.timer.join()
        bond.thread.join()
        self._node.destroy_subscription(bond.sub)
        self._node.destroy_publisher(bond.pub)
        parameter = bondpy.Constants.DISABLE_HEARTBEAT_TIMEOUT_PARAM
        if self._node.has_parameter(parameter):  # bondpy declares it at each time-out, and may once
            self._node.undeclare_parameter(parameter)

    def _on_formed(self) -> None:
        self._node.get_logger().info(f"bond {self._node.get_name()!r} is formed")

    def _on_broken(self) -> None:
        self._node.get_logger().warning(
            f"bond {self._node.get_name()!r} is broken, or was not formed: no lifecycle manager "
            "answers; the node goes on"
        )
