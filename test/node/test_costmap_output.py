"""What the node publishes of the grid."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from nav_msgs.msg import OccupancyGrid
from support.ros import LATCHED, Peer, image_message

from stmem_ros.bench.costmap import KnownPoses
from stmem_ros.classes import CAMVID
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.data.synthetic.scene import ID
from stmem_ros.frames import CameraFrame, LabelledFrame
from stmem_ros.health import Level
from stmem_ros.io.bags import BAG_MESSAGES
from stmem_ros.node.camera_stream import Arrival
from stmem_ros.node.costmap_output import CostmapOutput
from stmem_ros.node.passed_time import PassedTime
from stmem_ros.parameters import node_parameters
from stmem_ros.pipeline import Pipeline, PipelineConfig

RULES = default_rules(CAMVID)
INFO = BAG_MESSAGES.camera_info(CAMERA, BAG_MESSAGES.header(0, "optical"))


def road(pipeline: Pipeline, seconds: float) -> LabelledFrame:
    image = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    label = np.full(image.shape[:2], ID["road"], np.uint8)
    source = SimpleNamespace(arrival=Arrival(image_message(image, seconds)))
    frame = CameraFrame("", image, round(seconds * 1e9), "optical", source)
    return pipeline.labelled_frame(frame, label, np.full_like(label, 255))


def is_known(costmap: OccupancyGrid) -> bool:
    return bool((np.array(costmap.data) >= 0).any())


def test_what_was_fused_before_a_reset_is_not_published_after_it(peer: Peer) -> None:
    pipeline = Pipeline(
        None, RULES, PipelineConfig(), KnownPoses(np.linalg.inv(MOUNTING.base_from_camera()))
    )
    output = CostmapOutput(peer.node, node_parameters({}), RULES, PassedTime(lambda: None))
    stream = SimpleNamespace(name="", info_topic="camera_info", info=INFO)
    costmaps = peer.collect(OccupancyGrid, "~/costmap", LATCHED)

    before = road(pipeline, 10.0)
    output.publish(stream, before, pipeline.fuse(before, INFO))
    peer.wait(lambda: len(costmaps) == 1, "a grid")
    on_its_way = road(pipeline, 10.1)
    fused = pipeline.fuse(on_its_way, INFO)
    pipeline.reset()
    output.begin_epoch(pipeline.epoch)
    peer.wait(lambda: len(costmaps) == 2, "the grid that is taken back")
    output.publish(stream, on_its_way, fused)
    after = road(pipeline, 10.2)
    output.publish(stream, after, pipeline.fuse(after, INFO))
    peer.wait(lambda: len(costmaps) == 3, "the next grid")
    assert [is_known(c) for c in costmaps] == [True, False, True]
    assert costmaps[1].info.origin == costmaps[0].info.origin
    assert costmaps[2].header.stamp == after.frame.source.arrival.image.header.stamp
    assert output.health.updates == 2


def test_a_reset_before_the_first_grid_publishes_none(peer: Peer) -> None:
    output = CostmapOutput(peer.node, node_parameters({}), RULES, PassedTime(lambda: None))
    costmaps = peer.collect(OccupancyGrid, "~/costmap", LATCHED)
    output.begin_epoch(1)
    pipeline = Pipeline(
        None, RULES, PipelineConfig(), KnownPoses(np.linalg.inv(MOUNTING.base_from_camera()))
    )
    pipeline.reset()
    first = road(pipeline, 10.0)
    stream = SimpleNamespace(name="", info_topic="camera_info", info=INFO)
    output.publish(stream, first, pipeline.fuse(first, INFO))
    peer.wait(lambda: costmaps, "the first grid")
    assert len(costmaps) == 1 and is_known(costmaps[0])


@pytest.mark.parametrize(("frame", "named"), [("optical", ""), ("/optical", ""), ("left", "left")])
def test_a_calibration_of_another_frame_is_told(peer: Peer, frame: str, named: str) -> None:
    output = CostmapOutput(peer.node, node_parameters({}), RULES, PassedTime(lambda: None))
    info = BAG_MESSAGES.camera_info(CAMERA, BAG_MESSAGES.header(0, frame))
    poses = KnownPoses(np.linalg.inv(MOUNTING.base_from_camera()))
    pipeline = Pipeline(None, RULES, PipelineConfig(), poses)
    labelled = road(pipeline, 10.0)
    stream = SimpleNamespace(name="", info_topic="camera_info", info=info)
    output.publish(stream, labelled, pipeline.fuse(labelled, info))
    status = output.health.status(0.0, {})
    assert named in status.message and (status.level is Level.WARN) == bool(named)
