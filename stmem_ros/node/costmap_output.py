"""The costmap side of the node: what the pipeline says of the grid, as messages."""

from __future__ import annotations

import threading
import time

from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.messages import obstacle_cloud, occupancy_grid, semantic_grid
from stmem_ros.costmap.rules import CostRules
from stmem_ros.frames import LabelledFrame, MapProblem, MapResult
from stmem_ros.msg import SemanticGrid
from stmem_ros.node.camera_stream import CameraStream
from stmem_ros.node.ros_messages import ROS_MESSAGES
from stmem_ros.parameters import NodeParameters

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class CostmapOutput:
    """Publishes the grid that all cameras fill.

    Attributes:
        problem: why the newest labels of cameras did not reach the grid, or what it lacks; empty if
            all is well.
        updates: labels fused since activation.
        failures: labels that could not be fused since activation.
        updated: monotonic time of the last of them.
    """

    def __init__(self, node: Node, parameters: NodeParameters, rules: CostRules) -> None:
        self._node = node
        self._parameters = parameters
        self._rules = rules
        self._problems: dict[str, str] = {}  # of each camera's newest labels
        self._epoch = 0  # of the pipeline; what is of an earlier one is not published
        self._published: tuple[GridSnapshot, str] | None = None  # the newest, and its frame
        self._lock = threading.Lock()  # of the two before
        self.updates = 0
        self.failures = 0
        self.updated: float | None = None
        self._costmap = node.create_publisher(OccupancyGrid, "~/costmap", LATCHED)
        self._grid = node.create_publisher(SemanticGrid, "~/grid", LATCHED)
        self._layers = {
            name: node.create_publisher(OccupancyGrid, f"~/layers/{name}", LATCHED)
            for name in rules.layers
        }
        self._points = node.create_publisher(PointCloud2, "~/points", 5)

    @property
    def problem(self) -> str:
        if not self._problems:
            return "no labels yet"
        return "; ".join(
            f"{camera}: {problem}" if camera else problem
            for camera, problem in list(self._problems.items())  # another thread adds to them
            if problem
        )

    def fail(self, stream: CameraStream, reason: str) -> None:
        """Take note that a camera's labels could not be fused."""
        self._note_failure(stream, f"costmap not updated: {reason}")

    def _note_failure(self, stream: CameraStream, problem: str) -> None:
        self.failures += 1
        self._problems[stream.name] = problem

    def destroy(self) -> None:
        """Take the publishers away."""
        for publisher in (self._costmap, self._grid, self._points, *self._layers.values()):
            self._node.destroy_publisher(publisher)

    def begin_epoch(self, epoch: int) -> None:
        """Take back what was published: the grid is unknown now, everywhere.

        Nothing of an epoch of the pipeline before ``epoch`` is published after it.
        """
        with self._lock:
            self._epoch = epoch
            if self._published is not None:
                grid, frame = self._published
                now = self._node.get_clock().now().to_msg()
                self._publish_grid(grid.unknown(), Header(stamp=now, frame_id=frame))

    def publish(self, stream: CameraStream, labelled: LabelledFrame, result: MapResult) -> None:
        """Publish the grid after a frame, or take note of why it was not updated."""
        with self._lock:
            if labelled.epoch >= self._epoch:
                self._publish(stream, labelled, result)

    def _publish(self, stream: CameraStream, labelled: LabelledFrame, result: MapResult) -> None:
        placed = result.placed
        if result.problem is MapProblem.NO_CAMERA_INFO:
            topic = self._node.resolve_topic_name(stream.info_topic)
            problem = f"no CameraInfo on {topic}: labels go on, the costmap waits"
            self._note_failure(stream, problem)
        elif placed is None:
            self.fail(stream, result.text)
        if placed is None:
            return
        self._problems[stream.name] = result.text
        self.updates += 1
        self.updated = time.monotonic()
        stamp = labelled.frame.source.arrival.image.header.stamp
        if self._points.get_subscription_count():
            base = Header(stamp=stamp, frame_id=self._parameters.base_frame)
            points = obstacle_cloud(ROS_MESSAGES, placed.update, labelled.label, self._rules, base)
            self._points.publish(points)
        if result.publish:
            self._publish_grid(placed.update.grid, Header(stamp=stamp, frame_id=placed.frame))

    def _publish_grid(self, grid: GridSnapshot, header: Header) -> None:
        self._published = grid, header.frame_id
        unseen = self._parameters.unseen_cost
        self._costmap.publish(occupancy_grid(ROS_MESSAGES, grid.cost, grid, header, unseen))
        for name, publisher in self._layers.items():
            layer = occupancy_grid(ROS_MESSAGES, grid.layers[name], grid, header, unseen)
            publisher.publish(layer)
        self._grid.publish(semantic_grid(ROS_MESSAGES, grid, self._rules, header))
