"""Messages of rclpy's classes and of rosbags' are the same on the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from support.cameras import CAMERAS
from support.replayed import RULES, replayed

from stmem_ros.costmap.messages import label_info, obstacle_cloud, occupancy_grid, semantic_grid
from stmem_ros.data.synthetic.drive import MOUNTING
from stmem_ros.evaluation.replay.replayed_frame import ReplayedFrame
from stmem_ros.io.bags import BAG_MESSAGES, CAMERA_INFO, COMPRESSED, POINTS, RAW, TF, types
from stmem_ros.io.images import encode_jpeg
from stmem_ros.io.messages import MessageFactory
from stmem_ros.io.output_topics import GRID, LABEL_INFO, SEMANTIC_GRID
from stmem_ros.node.ros_messages import ROS_MESSAGES, MessageTypeError, message_type
from stmem_ros.stamps import header_stamp, nanoseconds

STAMP = 1_700_000_000_123_456_789
POSE = MOUNTING.base_from_camera()


@pytest.fixture(scope="module")
def frame() -> ReplayedFrame:
    return next(replayed(1))


def cloud_with_depth(messages: MessageFactory, frame: ReplayedFrame, header: Any) -> Any:
    """A cloud of every pixel, of which one has no depth."""
    points = np.random.default_rng(0).normal(size=(*frame.label.shape, 3)).astype(np.float32)
    points[0, 0] = np.nan
    update = replace(frame.map.update, cloud=points)
    return obstacle_cloud(messages, update, frame.label, RULES, header)


def occupancy(unseen_cost: int) -> Callable[[MessageFactory, ReplayedFrame, Any], Any]:
    def make(messages: MessageFactory, frame: ReplayedFrame, header: Any) -> Any:
        grid = frame.map.update.grid
        return occupancy_grid(messages, grid.cost, grid, header, unseen_cost)

    return make


# What is made of a frame: the type, and how.
KINDS = {
    "rgb8": (RAW, lambda m, f, h: m.image(f.rgb, h)),
    "mono8": (RAW, lambda m, f, h: m.image(f.label, h)),
    "32FC1": (RAW, lambda m, f, h: m.image(f.label.astype(np.float32), h)),
    "rows with a step": (RAW, lambda m, f, h: m.image(f.rgb[::2, ::3], h)),
    "jpeg": (COMPRESSED, lambda m, f, h: m.compressed_image(encode_jpeg(f.rgb), "jpeg", h)),
    **{
        f"camera_info {name}": (CAMERA_INFO, lambda m, f, h, c=camera: m.camera_info(c, h))
        for name, camera in CAMERAS.items()
    },
    "transform": (TF, lambda m, f, h: m.transform(POSE, "camera", h)),
    "costmap": (GRID, occupancy(-1)),
    "costmap, unseen cells free": (GRID, occupancy(0)),
    "grid": (SEMANTIC_GRID, lambda m, f, h: semantic_grid(m, f.map.update.grid, RULES, h)),
    "label_info": (LABEL_INFO, lambda m, f, h: label_info(m, "small", RULES, h)),
    "points": (POINTS, lambda m, f, h: obstacle_cloud(m, f.map.update, f.label, RULES, h)),
    "points with depth": (POINTS, cloud_with_depth),
}


@pytest.mark.parametrize("kind", KINDS)
def test_both_families_of_classes_give_the_same_bytes(kind: str, frame: ReplayedFrame) -> None:
    name, make = KINDS[kind]
    of_ros, of_bags = (
        make(messages, frame, messages.header(STAMP, "odom"))
        for messages in (ROS_MESSAGES, BAG_MESSAGES)
    )
    written = bytes(types().serialize_cdr(of_bags, name))
    sent = serialize_message(of_ros)
    # Between fields rclpy leaves what was in memory: that padding is written anew.
    assert bytes(types().serialize_cdr(types().deserialize_cdr(sent, name), name)) == written
    assert len(sent) == len(written)


def test_a_stamp_comes_back_from_a_message_and_from_its_bytes() -> None:
    header = ROS_MESSAGES.header(STAMP, "camera")
    assert nanoseconds(header.stamp) == STAMP
    assert header_stamp(serialize_message(header)) == STAMP


@pytest.mark.parametrize("name", ["no_such_msgs/msg/Image", "sensor_msgs/msg/NoSuch"])
def test_a_type_that_is_not_installed_is_named(name: str) -> None:
    with pytest.raises(MessageTypeError, match=name):
        message_type(name)
