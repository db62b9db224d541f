"""The costmap side of the node: camera_info and transforms in, grids out."""

from __future__ import annotations

import time

from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from stmem_ros.costmap.mapper import MapUpdate, SemanticMapper
from stmem_ros.costmap.rate_limiter import Pace
from stmem_ros.costmap.rules import CostRules
from stmem_ros.geometry.camera import to_camera
from stmem_ros.geometry.transforms import FramesNotConnectedError, TransformError
from stmem_ros.io.images import decode_depth
from stmem_ros.msg import SemanticGrid
from stmem_ros.node import conversions
from stmem_ros.node.camera_stream import CameraStream
from stmem_ros.node.ros_packages import Transforms
from stmem_ros.parameters import NodeParameters
from stmem_ros.streaming.segmenter import Segmentation

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class CostmapOutput:
    """Fuses the labels of all cameras into one grid and publishes it.

    Attributes:
        problem: why the newest labels of cameras did not reach the grid, or what it lacks; empty if
            well.
        updates: labels fused since activation.
        updated: monotonic time of the last of them.
    """

    def __init__(
        self, node: Node, parameters: NodeParameters, rules: CostRules, transforms: Transforms
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._rules = rules
        self._transforms = transforms
        self._mapper = SemanticMapper(parameters.grid, rules)
        self._pace = Pace(parameters.costmap_rate)
        self._problems: dict[str, str] = {}  # of each camera's newest labels
        self.updates = 0
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

    def failed(self, stream: CameraStream, reason: str) -> None:
        """Take note that a camera's labels could not be fused."""
        self._problems[stream.name] = f"costmap not updated: {reason}"

    def destroy(self) -> None:
        """Take the publishers away."""
        for publisher in (self._costmap, self._grid, self._points, *self._layers.values()):
            self._node.destroy_publisher(publisher)

    def reset(self) -> None:
        """Forget the grid."""
        self._mapper.reset()
        self._pace.reset()

    def update(
        self,
        stream: CameraStream,
        header: Header,
        segmentation: Segmentation,
        depth: Image | None,
    ) -> None:
        """Fuse one image's labels and publish the grid; ``problem`` says if that failed."""
        stamp = conversions.nanoseconds(header.stamp)
        p = self._parameters
        if stream.info is None:
            self._problems[stream.name] = (
                f"no CameraInfo on {self._node.resolve_topic_name(stream.info_topic)}: "
                "labels go on, the costmap waits"
            )
            return
        try:
            camera = to_camera(stream.info, p.rectified)
            begun = time.monotonic()
            camera_from_base = self._transforms.lookup(
                header.frame_id.lstrip("/"), p.base_frame, stamp, p.transform_timeout
            )
            try:
                left = max(0.0, p.transform_timeout - (time.monotonic() - begun))
                odom_from_base = self._transforms.lookup(p.odom_frame, p.base_frame, stamp, left)
                problem = ""
            except FramesNotConnectedError:
                odom_from_base = None
                problem = (
                    f"no odometry (no transforms connect {p.base_frame!r} to {p.odom_frame!r}): "
                    f"the grid lies in {p.base_frame!r} and holds the newest image alone"
                )
            update = self._mapper.update(
                segmentation.label,
                segmentation.confidence,
                stamp / 1e9,
                camera,
                camera_from_base,
                odom_from_base,
                None if depth is None else decode_depth(depth),
            )
        except (TransformError, ValueError) as error:
            self.failed(stream, str(error))
            return
        self._problems[stream.name] = problem
        self.updates += 1
        self.updated = time.monotonic()
        if self._points.get_subscription_count():
            base = Header(stamp=header.stamp, frame_id=p.base_frame)
            points = conversions.cloud(update, segmentation.label, self._rules, base)
            self._points.publish(points)
        frame = p.base_frame if odom_from_base is None else p.odom_frame
        self._publish(update, Header(stamp=header.stamp, frame_id=frame), stamp)

    def _publish(self, update: MapUpdate, header: Header, stamp: int) -> None:
        if not self._pace.due(stamp):
            return
        unseen = self._parameters.unseen_cost
        grid = update.grid
        self._costmap.publish(conversions.occupancy_grid(grid.cost, grid, header, unseen))
        for name, publisher in self._layers.items():
            publisher.publish(conversions.occupancy_grid(grid.layers[name], grid, header, unseen))
        self._grid.publish(conversions.semantic_grid(grid, header, self._rules))
