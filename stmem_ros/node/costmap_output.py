"""The costmap side of the node: what the pipeline says of the grid, as messages."""

from __future__ import annotations

import threading

from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.messages import obstacle_cloud, occupancy_grid, semantic_grid
from stmem_ros.costmap.rules import CostRules
from stmem_ros.frames import LabelledFrame, MapProblem, MapResult
from stmem_ros.geometry.camera_info import other_frame
from stmem_ros.health import GridHealth
from stmem_ros.msg import SemanticGrid
from stmem_ros.node.camera_stream import CameraStream
from stmem_ros.node.passed_time import PassedTime
from stmem_ros.node.ros_messages import ROS_MESSAGES
from stmem_ros.parameters import NodeParameters

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class CostmapOutput:
    """Publishes the grid that all cameras fill.

    Attributes:
        health: since activation.
    """

    def __init__(
        self, node: Node, parameters: NodeParameters, rules: CostRules, now: PassedTime
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._rules = rules
        self._now = now
        self._epoch = 0  # of the pipeline; what is of an earlier one is not published
        self._published: tuple[GridSnapshot, str] | None = None  # the newest, and its frame
        self._lock = threading.Lock()  # of the two before
        self.begin()
        self._costmap = node.create_publisher(OccupancyGrid, "~/costmap", LATCHED)
        self._grid = node.create_publisher(SemanticGrid, "~/grid", LATCHED)
        self._layers = {
            name: node.create_publisher(OccupancyGrid, f"~/layers/{name}", LATCHED)
            for name in rules.layers
        }
        self._points = node.create_publisher(PointCloud2, "~/points", 5)

    def begin(self) -> None:
        """The node becomes active: nothing has reached the grid yet."""
        self.health = GridHealth(self._parameters.health, self._parameters.cameras, self._now())

    def fail(self, stream: CameraStream, reason: str) -> None:
        """Take note that a camera's labels could not be fused."""
        self.health.not_updated(stream.name, f"costmap not updated: {reason}")

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
            self._take_back()

    def publish(self, stream: CameraStream, labelled: LabelledFrame, result: MapResult) -> None:
        """Publish the grid after a frame, or take note of why it was not updated."""
        with self._lock:
            if labelled.epoch >= self._epoch:
                self._publish(stream, labelled, result)

    def _publish(self, stream: CameraStream, labelled: LabelledFrame, result: MapResult) -> None:
        placed = result.placed
        if result.problem is MapProblem.NO_CAMERA_INFO:
            topic = self._node.resolve_topic_name(stream.info_topic)
            text = f"no CameraInfo on {topic}: labels go on, the costmap waits"
            self.health.not_updated(stream.name, text)
        elif placed is None:
            self.fail(stream, result.text)
        if placed is None:
            return
        foreign = "" if stream.info is None else other_frame(stream.info, labelled.frame.frame_id)
        problem = "; ".join(filter(None, (result.text, foreign)))
        self.health.updated(stream.name, self._now(), problem)
        stamp = labelled.frame.source.arrival.image.header.stamp
        if self._points.get_subscription_count():
            base = Header(stamp=stamp, frame_id=self._parameters.base_frame)
            label = labelled.label
            size = stream.published_size(label.shape)
            points = obstacle_cloud(ROS_MESSAGES, placed.update, label, self._rules, base, size)
            self._points.publish(points)
        if result.publish:
            self._published = placed.update.grid, placed.frame
            header = Header(stamp=stamp, frame_id=placed.frame)
            self._publish_grid(placed.update.grid, header, self._parameters.unseen_cost)

    def take_back(self) -> None:
        """Publish the last grid once more with all cells unknown, also with ``unseen_cost: 0``."""
        with self._lock:
            self._take_back()

    def _take_back(self) -> None:
        if self._published is None:
            return
        (grid, frame), self._published = self._published, None
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=frame)
        self._publish_grid(grid.unknown(), header, unseen=-1)

    def _publish_grid(self, grid: GridSnapshot, header: Header, unseen: int) -> None:
        self._costmap.publish(occupancy_grid(ROS_MESSAGES, grid.cost, grid, header, unseen))
        for name, publisher in self._layers.items():
            layer = occupancy_grid(ROS_MESSAGES, grid.layers[name], grid, header, unseen)
            publisher.publish(layer)
        self._grid.publish(semantic_grid(ROS_MESSAGES, grid, self._rules, header))
