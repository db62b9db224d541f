"""The node as its users meet it: another process, over Fast DDS."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from nav_msgs.msg import OccupancyGrid
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from stmem_ros.msg import FrameStatistics, LabelInfo, SemanticGrid
from support.ros import LATCHED, NODE, PATIENCE, Peer, image_message
from support.small import small_bank
from tf2_msgs.msg import TFMessage

from stmem_ros.costmap.points import POINT
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, drive
from stmem_ros.data.synthetic.scene import ID, make_scene
from stmem_ros.geometry.camera import Mounting
from stmem_ros.model.bundle import load_bundle
from stmem_ros.node.ros_messages import ROS_MESSAGES
from stmem_ros.online.node_process import NodeProcess, NodeProcessError
from stmem_ros.streaming.segmenter import StreamingSegmenter


def send_and_wait(peer: Peer, send, labels: list, frames, start: float = 100.0) -> None:
    """Send each frame once the label of the one before has come."""
    for i, frame in enumerate(frames):
        send(frame, start + i / 10)
        peer.wait(lambda n=i + 1: len(labels) >= n, f"label {i + 1}")


def seconds(stamp: Time) -> float:
    return stamp.sec + stamp.nanosec / 1e9


def problems(diagnostics: list[DiagnosticArray], part: str) -> list[str]:
    name = f"segmentation_node: {part}"
    return [s.message for d in diagnostics for s in d.status if s.name == name]


def test_labels_are_those_of_the_core_with_the_header_of_the_image(
    peer: Peer, start_node, frames, small_bundle: Path
) -> None:
    start_node()
    labels = peer.collect(Image, f"{NODE}/label")
    confidences = peer.collect(Image, f"{NODE}/confidence")
    statistics = peer.collect(FrameStatistics, f"{NODE}/statistics")
    peer.wait_until_active()
    send_and_wait(peer, peer.image_sender(), labels, frames)
    peer.wait(lambda: len(statistics) == 6 and len(confidences) == 6, "all statistics")

    stream = StreamingSegmenter(load_bundle(small_bundle, "cpu"))
    for i, (frame, label, confidence) in enumerate(zip(frames, labels, confidences, strict=True)):
        want = stream.push(frame, 100.0 + i / 10)
        assert (label.encoding, label.step) == ("mono8", 128)
        assert label.header.frame_id == "camera_optical_frame"
        assert label.header.stamp == confidence.header.stamp
        assert seconds(label.header.stamp) == 100.0 + i / 10
        got = np.frombuffer(label.data, np.uint8).reshape(96, 128)
        assert (got == want.label).mean() > 0.999
        sure = np.frombuffer(confidence.data, np.uint8).reshape(96, 128).astype(int)
        assert np.abs(sure - want.confidence).max() <= 2
    last = statistics[-1]
    assert (last.ring_length, last.ring_capacity, last.device) == (3, 3, "cpu")
    assert (last.frames_dropped, last.frames_invalid, last.frames_late) == (0, 0, 0)
    parts = last.convert + last.upload + last.backbone + last.stf + last.mar + last.decode
    assert 0 < parts < last.total


def test_the_label_set_is_latched(peer: Peer, start_node) -> None:
    start_node()
    peer.wait_until_active()
    infos = peer.collect(LabelInfo, f"{NODE}/label_info", LATCHED)
    peer.wait(lambda: infos, "the label set")
    assert infos[0].model == "small"
    assert [c.name for c in infos[0].classes][3] == "road"
    assert infos[0].classes[3].kind == infos[0].classes[3].KIND_GROUND
    assert infos[0].classes[8].cost == 100


def test_the_costmap_needs_camera_info_and_transforms_and_says_so(
    peer: Peer, start_node, small_bundle: Path
) -> None:
    start_node()
    labels = peer.collect(Image, f"{NODE}/label")
    costmaps = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    grids = peer.collect(SemanticGrid, f"{NODE}/grid", LATCHED)
    layers = peer.collect(OccupancyGrid, f"{NODE}/layers/drivable", LATCHED)
    points = peer.collect(PointCloud2, f"{NODE}/points")
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.wait_until_active()
    send = peer.image_sender()
    image = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    stamps = (100.0 + i / 10 for i in range(1000))
    odometry = peer.node.create_publisher(TFMessage, "/tf", 100)
    pose = np.eye(4)
    pose[:2, 3] = 3.14, -2.72
    sent_beside: list[Callable[[], None]] = []  # what goes out with each image

    def push_until(condition, what: str, moving: bool = False) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, what
            count, stamp = len(labels), next(stamps)
            if moving:
                odometry.publish(transform("odom", "base_footprint", pose, stamp))
            for publish in sent_beside:
                publish()
            send(image, stamp)
            peer.wait(lambda n=count: len(labels) > n, "a label")

    push_until(
        lambda: any("/camera_info" in p for p in problems(diagnostics, "Costmap")),
        "a diagnostic that misses CameraInfo",
    )
    assert not costmaps

    infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    info = camera_info()
    sent_beside.append(lambda: infos.publish(info))
    push_until(
        lambda: any(
            "base_footprint" in p and "camera_optical_frame" in p
            for p in problems(diagnostics, "Costmap")
        ),
        "a diagnostic that misses transforms",
    )
    assert not costmaps

    mount_camera(peer)
    push_until(
        lambda: costmaps and any("'odom'" in p for p in problems(diagnostics, "Costmap")),
        "a costmap without odometry",
    )
    assert costmaps[-1].header.frame_id == "base_footprint"
    push_until(lambda: points, "points")
    assert points[-1].header.frame_id == "base_footprint"

    push_until(
        lambda: costmaps[-1].header.frame_id == "odom" and points, "a costmap in odom", moving=True
    )
    diagnostics.clear()
    push_until(lambda: "OK" in problems(diagnostics, "Costmap"), "a healthy diagnostic", True)

    grid = costmaps[-1]
    assert (grid.info.width, grid.info.height) == (200, 200)
    assert grid.info.resolution == pytest.approx(0.2)
    origin = np.array([grid.info.origin.position.x, grid.info.origin.position.y])
    assert np.allclose(origin / 0.2, np.round(origin / 0.2), atol=1e-6)
    assert np.abs(origin + 20 - pose[:2, 3]).max() <= 0.2
    assert grid.info.origin.orientation.w == 1.0
    costs = np.array(grid.data)
    assert set(np.unique(costs)) <= {-1, 0, 60, 100} and (costs >= 0).any()
    assert len(grids[-1].label) == len(grids[-1].confidence) == 200 * 200
    assert len(layers[-1].data) == 200 * 200
    assert points[-1].header.frame_id == "base_footprint"  # its origin moves along, for planners
    assert [f.name for f in points[-1].fields] == ["x", "y", "z", "label", "cost"]
    assert len(points[-1].data) == points[-1].width * points[-1].point_step


def test_what_the_costmap_cannot_use_is_named_and_the_grid_keeps_its_last_state(
    peer: Peer, start_node
) -> None:
    start_node("-p", "base_frame:=base", "-p", "costmap.stale_after:=0")
    labels = peer.collect(Image, f"{NODE}/label")
    costmaps = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.wait_until_active()
    send = peer.image_sender()
    infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    static = peer.node.create_publisher(TFMessage, "/tf_static", LATCHED)
    image = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    stamps = (100.0 + i / 10 for i in range(1000))

    def push_until(info: CameraInfo, condition, what: str) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, what
            count = len(labels)
            infos.publish(info)
            send(image, next(stamps))
            peer.wait(lambda n=count: len(labels) > n, "a label")

    def is_named(*named: str) -> bool:
        return any(all(n in p for n in named) for p in problems(diagnostics, "Costmap"))

    mounted = transform("base", "camera_optical_frame", MOUNTING.base_from_camera(), 0.0)
    static.publish(mounted)
    push_until(camera_info(), lambda: costmaps, "a costmap")

    no_numbers, no_size, another, singular = (camera_info() for _ in range(4))
    no_numbers.k[0] = float("nan")
    no_size.width = 0
    another.width = 482
    singular.k = [375.0, 375.0, 240.0] * 2 + [0.0, 0.0, 1.0]
    for info, named in (
        (no_numbers, ("nan",)),
        (no_size, ("0 x 360",)),
        (another, ("482 x 360", "480 x 360")),
        (singular, ("375", "cx")),
    ):
        push_until(info, lambda n=named: is_named(*n), f"a diagnostic that names {named}")
        count, labelled = len(costmaps), len(labels)
        push_until(info, lambda n=labelled + 3: len(labels) >= n, "labels that go on")
        assert len(costmaps) == count
    looking_up = Mounting(height=1.45, pitch=-1.2).base_from_camera()
    static.publish(transform("base", "camera_optical_frame", looking_up, 0.0))
    push_until(camera_info(), lambda: is_named("ground"), "a diagnostic of the view")
    ages = [
        float(value.value)
        for message in diagnostics
        for status in message.status
        for value in status.values
        if value.key == "age_s" and "costmap not updated" in status.message
        if value.value != "never"  # the first image may come before its transform
    ]
    assert ages[-1] > ages[0] and ages == sorted(ages)

    static.publish(mounted)
    count = len(costmaps)
    push_until(camera_info(), lambda: len(costmaps) > count, "a costmap when all is well again")


def packed_depth(millimetres: np.ndarray, header: Header) -> CompressedImage:
    """As image_transport's compressedDepth sends it: a header of 12 bytes, and a PNG."""
    data = bytes(12) + cv2.imencode(".png", millimetres)[1].tobytes()
    return ROS_MESSAGES.compressed_image(data, "16UC1; compressedDepth png", header)


@pytest.mark.parametrize("transport", ["raw", "compressedDepth"])
def test_with_depth_each_pixel_is_placed_by_its_own(peer: Peer, start_node, transport: str) -> None:
    start_node("-p", "depth:=true", "-p", f"depth_transport:={transport}")
    costmaps = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    points = peer.collect(PointCloud2, f"{NODE}/points")
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.wait_until_active()
    images = peer.node.create_publisher(Image, "/image_raw", 5)
    packed = transport == "compressedDepth"
    depth_topic = (CompressedImage, "/depth/compressedDepth") if packed else (Image, "/depth")
    depths = peer.node.create_publisher(*depth_topic, 5)
    infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    mount_camera(peer)
    info = camera_info()
    frame = next(drive(make_scene("straight", 4), 1))
    metres = np.nan_to_num(frame.view.depth, nan=0.0)
    millimetres = np.minimum(1000 * metres, 65535).astype(np.uint16)
    stamps = (100.0 + i / 10 for i in range(1000))

    def push_until(condition, depth: np.ndarray | None, what: str) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, what
            stamp = next(stamps)
            infos.publish(info)
            images.publish(image_message(frame.view.rgb, stamp))
            if depth is not None:
                message = image_message(depth, stamp + 0.005, "16UC1")
                depths.publish(packed_depth(depth, message.header) if packed else message)
            time.sleep(0.2)

    push_until(
        lambda: any("depth" in p for p in problems(diagnostics, "Input")),
        None,
        "a diagnostic that misses depth",
    )
    push_until(lambda: points and costmaps, millimetres, "a costmap from depth")
    cloud = points[-1]
    assert (cloud.height, cloud.width) == (360, 480) and not cloud.is_dense
    sent = np.frombuffer(cloud.data, POINT).reshape(360, 480)
    assert np.isnan(sent["x"][metres == 0]).all()
    road = (frame.view.label == ID["road"]) & (metres > 0) & (metres < 15)
    assert np.abs(sent["z"][road]).max() < 0.05  # the ground lies in the base frame's plane

    push_until(
        lambda: any("240 x 180" in p for p in problems(diagnostics, "Costmap")),
        millimetres[::2, ::2],
        "a diagnostic that names the depth's size",
    )


def test_points_without_depth_are_as_many_as_the_pixels_of_the_mask(peer: Peer, start_node) -> None:
    start_node("-p", "points:=all", "-p", "label_size:=feature")
    labels = peer.collect(Image, f"{NODE}/label")
    points = peer.collect(PointCloud2, f"{NODE}/points")
    peer.wait_until_active()
    mount_camera(peer)
    infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    send = peer.image_sender()
    info, image = camera_info(), next(drive(make_scene("straight", 4), 1)).view.rgb
    stamps = (100.0 + i / 10 for i in range(1000))
    end = time.monotonic() + PATIENCE
    while not points:
        assert time.monotonic() < end, "points"
        infos.publish(info)
        before = len(labels)
        send(image, next(stamps))
        peer.wait(lambda n=before: len(labels) > n, "a label")
    cloud = points[0]
    (mask,) = (m for m in labels if m.header.stamp == cloud.header.stamp)
    assert (cloud.height, cloud.width) == (mask.height, mask.width) != (360, 480)
    assert cloud.point_step == 16 and len(cloud.data) == 16 * mask.height * mask.width
    sent = np.frombuffer(cloud.data, POINT)
    assert sent["label"].tobytes() == bytes(mask.data)


def test_costmaps_come_no_faster_than_costmap_rate(peer: Peer, start_node, frames) -> None:
    start_node("-p", "costmap_rate:=5.0", "-p", "costmap.stale_after:=0")
    labels = peer.collect(Image, f"{NODE}/label")
    costmaps = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    peer.wait_until_active()
    mount_camera(peer)
    infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    send = peer.image_sender()
    info, image = camera_info(), next(drive(make_scene("straight", 4), 1)).view.rgb
    for i in range(30):  # 20 Hz
        infos.publish(info)  # with each image, as cameras do: the first may come too early
        send(image, 100 + i / 20)
        peer.wait(lambda n=i + 1: len(labels) >= n, f"label {i + 1}")
    peer.wait(lambda: len(costmaps) >= 3, "costmaps")
    stamps = [seconds(c.header.stamp) for c in costmaps]
    assert all(b - a > 0.17 for a, b in pairwise(stamps))
    assert len(costmaps) <= 9


def test_labels_do_not_wait_for_the_costmap(peer: Peer, start_node) -> None:
    start_node("-p", "transform_timeout:=4.0")
    labels = peer.collect(Image, f"{NODE}/label")
    statistics = peer.collect(FrameStatistics, f"{NODE}/statistics")
    costmaps = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    peer.wait_until_active()
    mount_camera(peer)
    infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    odometry = peer.node.create_publisher(TFMessage, "/tf", 100)
    send = peer.image_sender()
    info, image = camera_info(), next(drive(make_scene("straight", 4), 1)).view.rgb
    stamp = 100.0
    while not costmaps or costmaps[-1].header.frame_id != "odom":
        stamp += 0.1
        odometry.publish(transform("odom", "base_footprint", np.eye(4), stamp))
        infos.publish(info)
        before = len(statistics)
        send(image, stamp)
        peer.wait(lambda n=before: len(statistics) > n, "statistics")
    labelled, counted = len(labels), len(statistics)
    late = [stamp + i / 10 for i in (1, 2, 3, 4)]
    for i, of_late in enumerate(late):  # their transforms are not known yet
        send(image, of_late)
        peer.wait(lambda n=labelled + i: len(labels) > n, "a label")
    assert len(statistics) == counted
    odometry.publish(transform("odom", "base_footprint", np.eye(4), stamp + 1))
    peer.wait(lambda: len(statistics) == counted + 4, "statistics of all")
    assert [seconds(s.header.stamp) for s in statistics[counted:]] == pytest.approx(late)
    first, *replaced, newest = statistics[counted:]
    assert first.costmap > 0 and newest.costmap > 0 and first.total > newest.total
    assert not any(s.costmap for s in replaced)


def test_labels_of_feature_size_have_a_camera_info_of_their_own(
    peer: Peer, start_node, frames, small_bundle: Path
) -> None:
    start_node("-p", "label_size:=feature")
    labels = peer.collect(Image, f"{NODE}/label")
    infos = peer.collect(CameraInfo, f"{NODE}/label/camera_info")
    peer.wait_until_active()
    camera_infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    info = CameraInfo(width=256, height=192, distortion_model="plumb_bob", d=[0.0] * 5)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 60, 128, 96
    info.k = [200.0, 0.0, 140.0, 0.0, 210.0, 100.0, 0.0, 0.0, 1.0]
    send = peer.image_sender()
    for i in range(100):
        camera_infos.publish(info)
        count = len(labels)
        send(frames[0], 100.0 + i)  # a second apart: each begins anew
        peer.wait(lambda n=count: len(labels) > n, "a label")
        if infos:
            break
    model = load_bundle(small_bundle, "cpu")
    stride = round(model.architecture.stride)
    label, own = labels[-1], infos[-1]
    assert (label.width, label.height) == (own.width, own.height) == (128 // stride, 96 // stride)
    # A coarse pixel's centre is that of the pixels it is made of.
    centre = (np.array([140 - 100, 100 - 60]) + 0.5) / stride - 0.5
    assert np.allclose(own.k.reshape(3, 3)[:2, 2], centre)
    assert (own.k[0], own.k[4]) == (200 / stride, 210 / stride)
    want = StreamingSegmenter(model).push(frames[0], 0.0).label
    got = np.frombuffer(label.data, np.uint8).reshape(label.height, label.width)
    assert (got == want[stride // 2 :: stride, stride // 2 :: stride]).mean() > 0.99


def test_a_precision_that_was_not_checked_is_used_and_warned_of(
    peer: Peer, start_node, frames
) -> None:
    node = start_node("-p", "precision:=bfloat16")
    labels = peer.collect(Image, f"{NODE}/label")
    peer.wait_until_active()
    send_and_wait(peer, peer.image_sender(), labels, frames[:2])
    lines = [line for line in node.text().splitlines() if "bfloat16" in line]
    assert len([line for line in lines if "float32" in line]) == 1  # the one it was checked in
    assert any("cpu" in line for line in lines)


def camera_info() -> CameraInfo:
    """Of the synthetic world's camera."""
    info = CameraInfo(width=480, height=360, distortion_model="plumb_bob")
    info.k = [v for row in CAMERA.matrix for v in row]
    return info


def mount_camera(peer: Peer) -> None:
    """Say on /tf_static where the camera is."""
    static = peer.node.create_publisher(TFMessage, "/tf_static", LATCHED)
    pose = MOUNTING.base_from_camera()
    static.publish(transform("base_footprint", "camera_optical_frame", pose, 0.0))


def transform(parent: str, child: str, pose: np.ndarray, stamp: float) -> TFMessage:
    return ROS_MESSAGES.transform(pose, child, ROS_MESSAGES.header(round(stamp * 1e9), parent))


def test_images_that_cannot_be_used_are_named_and_do_no_harm(
    peer: Peer, start_node, frames
) -> None:
    node = start_node()
    labels = peer.collect(Image, f"{NODE}/label")
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.wait_until_active()
    send = peer.image_sender()
    send_and_wait(peer, send, labels, frames[:2])
    send(frames[2], 100.2, encoding="64FC9")
    peer.wait(
        lambda: any("'64FC9'" in p and "rgb8" in p
                    for p in problems(diagnostics, "Input")),
        "a diagnostic that names the encoding",
    )  # fmt: skip
    send(frames[2], 100.3)
    peer.wait(lambda: len(labels) == 3, "the next label")
    assert "'64FC9'" in node.text()
    assert node.is_running()


def test_compressed_images_are_taken(peer: Peer, start_node, frames) -> None:
    import cv2

    start_node("-p", "image_transport:=compressed")
    labels = peer.collect(Image, f"{NODE}/label")
    peer.wait_until_active()
    publisher = peer.node.create_publisher(CompressedImage, "/image_raw/compressed", 5)
    peer.wait(publisher.get_subscription_count, "a subscription")
    message = CompressedImage(format="png")
    message.data = cv2.imencode(".png", frames[0])[1].tobytes()
    while not labels:
        publisher.publish(message)
        time.sleep(0.2)
    assert (labels[0].height, labels[0].width) == (96, 128)


def test_time_that_goes_back_empties_the_ring_and_says_so(peer: Peer, start_node, frames) -> None:
    node = start_node()
    labels = peer.collect(Image, f"{NODE}/label")
    statistics = peer.collect(FrameStatistics, f"{NODE}/statistics")
    peer.wait_until_active()
    send = peer.image_sender()
    send_and_wait(peer, send, labels, frames[:3])
    send(frames[3], 50.0)
    peer.wait(lambda: len(statistics) == 4, "statistics")
    assert [s.ring_length for s in statistics] == [1, 2, 3, 1]
    assert statistics[-1].frames_late == 0
    assert "50.2" in node.text()  # seconds that time went back by


def test_a_late_image_is_counted_and_costs_nothing_else(peer: Peer, start_node, frames) -> None:
    node = start_node()
    labels = peer.collect(Image, f"{NODE}/label")
    statistics = peer.collect(FrameStatistics, f"{NODE}/statistics")
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.wait_until_active()
    send = peer.image_sender()
    send_and_wait(peer, send, labels, frames[:2])
    send(frames[2], 100.05)
    peer.wait(
        lambda: any("0.050 s" in p for p in problems(diagnostics, "Input")),
        "a diagnostic that names the late image",
    )
    send(frames[3], 100.2)
    peer.wait(lambda: len(statistics) == 3, "statistics")
    assert [s.ring_length for s in statistics] == [1, 2, 3]
    assert (statistics[-1].frames_late, statistics[-1].frames_invalid) == (1, 0)
    assert "0.050 s" in node.text()


def test_when_the_clock_goes_back_the_node_begins_anew(peer: Peer, start_node, frames) -> None:
    node = start_node("-p", "use_sim_time:=true")
    labels = peer.collect(Image, f"{NODE}/label")
    statistics = peer.collect(FrameStatistics, f"{NODE}/statistics")
    peer.wait_until_active()
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    clock = peer.node.create_publisher(Clock, "/clock", 10)
    send = peer.image_sender()
    now = 100.0

    def tick_until(condition: Callable[[], object], what: str) -> None:
        nonlocal now
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, what
            clock.publish(Clock(clock=ROS_MESSAGES.header(round(now * 1e9), "").stamp))
            now += 0.05
            time.sleep(0.01)

    tick_until(lambda: any(d.header.stamp.sec >= 100 for d in diagnostics), "the clock to be heard")
    send_and_wait(peer, send, labels, frames[:2])
    now -= 0.5
    diagnostics.clear()
    tick_until(lambda: len(diagnostics) > 2, "diagnostics")
    send(frames[2], 100.2)
    peer.wait(lambda: len(labels) == 3, "a label")
    now -= 50
    tick_until(lambda: "clock went back" in node.text(), "the step back to be named")
    send(frames[3], 100.3)
    peer.wait(lambda: len(statistics) == 4, "statistics")
    assert [s.ring_length for s in statistics] == [1, 2, 3, 1]


def test_reset_empties_the_ring(peer: Peer, start_node, frames) -> None:
    start_node()
    labels = peer.collect(Image, f"{NODE}/label")
    statistics = peer.collect(FrameStatistics, f"{NODE}/statistics")
    peer.wait_until_active()
    send = peer.image_sender()
    send_and_wait(peer, send, labels, frames[:2])
    assert peer.call(Trigger, f"{NODE}/reset", Trigger.Request()).success
    send(frames[2], 100.2)
    peer.wait(lambda: len(statistics) == 3, "statistics")
    assert [s.ring_length for s in statistics] == [1, 2, 1]


def test_reset_takes_the_latched_grid_back(peer: Peer, start_node) -> None:
    start_node()
    costmaps = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    labels = peer.collect(Image, f"{NODE}/label")
    peer.wait_until_active()
    mount_camera(peer)
    infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    odometry = peer.node.create_publisher(TFMessage, "/tf", 100)
    send = peer.image_sender()
    info = camera_info()
    image = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    stamp, end = 100.0, time.monotonic() + PATIENCE
    while not any(np.any(np.array(c.data) >= 0) for c in costmaps):
        assert time.monotonic() < end, "no grid"
        stamp += 0.1
        infos.publish(info)
        odometry.publish(transform("odom", "base_footprint", np.eye(4), stamp))
        before = len(labels)
        send(image, stamp)
        peer.wait(lambda n=before: len(labels) > n, "a label")
    frame = costmaps[-1].header.frame_id
    assert peer.call(Trigger, f"{NODE}/reset", Trigger.Request()).success
    for kind, topic in (
        (OccupancyGrid, "costmap"), (OccupancyGrid, "layers/drivable"), (SemanticGrid, "grid"),
    ):  # fmt: skip
        latched = peer.collect(kind, f"{NODE}/{topic}", LATCHED)
        peer.wait(lambda m=latched: m, f"the latched {topic}")
        cells = latched[-1].data if kind is OccupancyGrid else latched[-1].cost
        assert set(np.array(cells)) == {-1 if kind is OccupancyGrid else 255}
        assert latched[-1].header.frame_id == frame


def test_the_newest_image_wins_when_images_come_too_fast(peer: Peer, start_node) -> None:
    start_node("-p", "image_reliability:=reliable", "-p", "inference_height:=-1")
    labels = peer.collect(Image, f"{NODE}/label")
    statistics = peer.collect(FrameStatistics, f"{NODE}/statistics")
    peer.wait_until_active()
    send = peer.image_sender()
    image = np.random.default_rng(0).integers(0, 256, (720, 960, 3), np.uint8)
    sent, end = 0, time.monotonic() + PATIENCE
    while sent < 12 or not statistics or not statistics[-1].frames_dropped:
        assert time.monotonic() < end, "no image was dropped"
        send(image, 100 + sent / 30)
        sent += 1
        time.sleep(0.02)
    newest = 100 + (sent - 1) / 30
    peer.wait(
        lambda: labels and labels[-1].header.stamp.sec + labels[-1].header.stamp.nanosec / 1e9
        > newest - 1e-6,
        "the label of the newest image",
    )  # fmt: skip
    peer.wait(lambda: len(statistics) == len(labels), "statistics")
    assert len(labels) < sent
    stamps = [seconds(s.header.stamp) for s in statistics]
    assert stamps == sorted(stamps)


def test_a_new_memory_bank_is_swapped_in_while_running_and_a_bad_one_refused(
    peer: Peer, start_node, frames, tmp_path: Path
) -> None:
    start_node()
    labels = peer.collect(Image, f"{NODE}/label")
    confidences = peer.collect(Image, f"{NODE}/confidence")
    peer.wait_until_active()
    send = peer.image_sender()
    send_and_wait(peer, send, labels, [frames[0]])

    refused = peer.set_parameter("memory_bank", str(tmp_path / "nothing.safetensors"))
    assert not refused.successful and "nothing.safetensors" in refused.reason
    send(frames[0], 100.1)
    peer.wait(lambda: len(confidences) == 2, "a confidence image")
    assert confidences[1].data == confidences[0].data

    small_bank(seed=9).save(tmp_path / "bank.safetensors")
    assert peer.set_parameter("memory_bank", str(tmp_path / "bank.safetensors")).successful
    send(frames[0], 100.2)
    peer.wait(lambda: len(confidences) == 3, "a confidence image")
    assert confidences[2].data != confidences[0].data


def test_parameters_are_described_and_wrong_values_refused(peer: Peer, start_node) -> None:
    start_node()
    peer.wait_until_active()
    names = ["model", "max_gap", "costmap.resolution", "image_transport", "unseen_cost"]
    described = {d.name: d for d in peer.describe(names)}
    assert all(d.description for d in described.values())
    assert described["max_gap"].floating_point_range[0].to_value == 3600.0
    assert "compressed" in described["image_transport"].additional_constraints
    for name, value in (("unseen_cost", 50), ("image_transport", "pigeon"), ("model", "other")):
        result = peer.set_parameter(name, value)
        assert not result.successful and name in result.reason


def test_the_lifecycle_can_be_walked_by_hand(peer: Peer, start_node, frames) -> None:
    start_node("-p", "autostart:=false")
    labels = peer.collect(Image, f"{NODE}/label")
    assert peer.state() == State.PRIMARY_STATE_UNCONFIGURED
    unconfigured = {"/rosout", "/parameter_events", f"{NODE}/transition_event"}
    peer.wait(lambda: unconfigured <= endpoints(peer), "its topics of any node")
    unconfigured = endpoints(peer)
    for _ in range(2):
        assert peer.transition(Transition.TRANSITION_CONFIGURE)
        assert peer.transition(Transition.TRANSITION_ACTIVATE)
        labels.clear()
        send_and_wait(peer, peer.image_sender(), labels, frames[:2])
        assert peer.transition(Transition.TRANSITION_DEACTIVATE)
        assert peer.state() == State.PRIMARY_STATE_INACTIVE
        assert peer.transition(Transition.TRANSITION_CLEANUP)
        peer.wait(lambda: endpoints(peer) == unconfigured, "its topics to be gone")
    assert peer.state() == State.PRIMARY_STATE_UNCONFIGURED


def endpoints(peer: Peer) -> set[str]:
    """Topics the node publishes or subscribes."""
    name = (NODE.removeprefix("/"), "/")
    if name not in peer.node.get_node_names_and_namespaces():
        return set()
    listed = peer.node.get_publisher_names_and_types_by_node(*name)
    listed += peer.node.get_subscriber_names_and_types_by_node(*name)
    return {topic for topic, _ in listed}


def test_sigint_ends_the_node_cleanly_while_images_come(
    peer: Peer, frames, small_bundle: Path, tmp_path: Path
) -> None:
    """As its users start it, not as a fork: its end is what is tested."""
    log = tmp_path / "node.log"
    with NodeProcess({"model": small_bundle, "device": "cpu"}, {}, log, threads=1):
        peer.wait_until_active()
        send = peer.image_sender()
        for i in range(3):
            send(frames[0], 100.0 + i / 10)
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("-p", "model:=nonesuch"), ("'nonesuch'", "onboard")),
        (("-p", "image_transport:=pigeon"), ("image_transport", "'pigeon'", "compressed")),
        (("-p", "precision:=float8"), ("precision", "'float8'", "bfloat16")),
        (("-p", "cuda_graphs:=true"), ("cuda_graphs", "'cpu'")),
        (("-p", "cost_rules:=/nowhere.yaml"), ("/nowhere.yaml",)),
        (
            ("-p", "costmap.known:=2.0", "-p", "costmap.limit:=1.5"),
            ("costmap.known", "2.0", "costmap.limit", "1.5"),
        ),
        (("-p", "memory_bank:=/nowhere.bin"), ("/nowhere.bin",)),
        (("-p", "depth:=yes_please"), ("depth", "'yes_please'", "bool")),
        (("-p", "cameras:=front"), ("cameras", "'front'", "string array")),
        (("-p", "cameras:=['front left']"), ("cameras", "'front left'")),
        (("-p", "max_gap:=0"), ("max_gap", "0.0", "0.01 to 3600")),
        (("-p", "use_sim_time:=1"), ("use_sim_time", "'1'")),
        (("--params-file", "/nowhere.yaml"), ("/nowhere.yaml",)),
    ],
)
def test_a_node_that_cannot_start_says_why_and_exits_with_1(
    start_node, arguments: tuple[str, ...], named: tuple[str, ...]
) -> None:
    node = start_node(*arguments)
    assert node.exit_code(timeout=PATIENCE) == 1
    last = node.text().strip().splitlines()[-1]
    assert all(name in last for name in named), last
    assert "Traceback" not in node.text()


def test_a_process_that_ends_is_told_with_its_code_and_last_line(
    ros_domain: None, tmp_path: Path
) -> None:
    node = NodeProcess({"model": "nonesuch"}, {}, tmp_path / "node.log")
    end = time.monotonic() + PATIENCE
    with pytest.raises(NodeProcessError, match=r"code 1.*nonesuch"), node:
        while time.monotonic() < end:
            node.check_alive()
            time.sleep(0.05)
    assert "Traceback" not in (tmp_path / "node.log").read_text()


def test_several_cameras_have_outputs_of_their_own(peer: Peer, start_node, frames) -> None:
    start_node("-p", "cameras:=[left, right]", "-p", "image_reliability:=reliable")
    labels = {n: peer.collect(Image, f"{NODE}/{n}/label") for n in ("left", "right")}
    peer.wait_until_active()
    senders = {n: peer.image_sender(f"/{n}/image_raw", labels=f"{NODE}/{n}/label") for n in labels}
    for i, frame in enumerate(frames[:3]):
        for send in senders.values():
            send(frame, 100.0 + i / 10)
        peer.wait(lambda n=i + 1: all(len(m) >= n for m in labels.values()), "both labels")
    for left, right in zip(labels["left"], labels["right"], strict=True):
        assert left.data == right.data  # each camera has a ring of its own


def test_each_camera_has_its_own_mask_and_region(peer: Peer, start_node, frames) -> None:
    start_node(
        *("-p", "cameras:=[left, right]", "-p", "image_reliability:=reliable"),
        *("-p", "masks:=['[[0, 24], [127, 24], [127, 95], [0, 95]]', '']"),
        *("-p", "regions:=['', '[0, 0, 32, 32]']"),
    )
    labels = {n: peer.collect(Image, f"{NODE}/{n}/label") for n in ("left", "right")}
    peer.wait_until_active()
    senders = {n: peer.image_sender(f"/{n}/image_raw", labels=f"{NODE}/{n}/label") for n in labels}
    for send in senders.values():
        send(frames[0], 100.0)
    peer.wait(lambda: all(labels.values()), "both labels")
    left, right = (
        np.frombuffer(labels[n][0].data, np.uint8).reshape(96, 128) for n in ("left", "right")
    )
    assert (left[24:] == 255).all() and (left[:24] != 255).all()
    assert (right[:32, :32] != 255).all() and (right == 255).sum() == 96 * 128 - 32 * 32


def test_cameras_pause_and_go_on_one_by_one_and_together(peer: Peer, start_node, frames) -> None:
    start_node("-p", "cameras:=[left, right]", "-p", "image_reliability:=reliable")
    labels = {n: peer.collect(Image, f"{NODE}/{n}/label") for n in ("left", "right")}
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.wait_until_active()
    senders = {n: peer.image_sender(f"/{n}/image_raw", labels=f"{NODE}/{n}/label") for n in labels}
    stamps = (100.0 + i / 10 for i in range(10000))

    def pause(service: str, pauses: bool) -> None:
        answer = peer.call(SetBool, f"{NODE}/{service}", SetBool.Request(data=pauses))
        assert answer.success and ("paused" in answer.message) == pauses

    def send_until(condition, what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, what
            stamp = next(stamps)
            for send in senders.values():
                send(frames[0], stamp)
            time.sleep(0.02)

    def are_labelled(*names: str) -> bool:
        return all(labels[name] for name in names)

    pause("left/pause", True)
    send_until(lambda: "paused" in problems(diagnostics, "Input left"), "a status of the pause")
    for messages in labels.values():
        messages.clear()
    send_until(lambda: are_labelled("right"), "labels of the other camera")
    assert not labels["left"] and "paused" not in problems(diagnostics, "Input right")
    pause("pause", False)
    send_until(lambda: are_labelled("left", "right"), "labels of both")
    pause("pause", True)
    send_until(lambda: "paused" in problems(diagnostics, "Costmap"), "a status of the grid")
    assert problems(diagnostics, "Input right")[-1] == "paused"


def test_several_cameras_fill_one_grid_each_where_it_looks(peer: Peer, start_node) -> None:
    settings = ("cameras:=[front, left]", "image_reliability:=reliable", "costmap.stale_after:=0")
    start_node(*(word for setting in settings for word in ("-p", setting)))
    labels = {n: peer.collect(Image, f"{NODE}/{n}/label") for n in ("front", "left")}
    costmaps = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.wait_until_active()
    static = peer.node.create_publisher(TFMessage, "/tf_static", LATCHED)
    odometry = peer.node.create_publisher(TFMessage, "/tf", 100)
    mounted = [
        transform("base_footprint", name, turned(yaw) @ MOUNTING.base_from_camera(), 0.0)
        for name, yaw in (("front", 0.0), ("left", np.pi / 2))
    ]
    static.publish(TFMessage(transforms=[t.transforms[0] for t in mounted]))
    infos = {n: peer.node.create_publisher(CameraInfo, f"/{n}/camera_info", 5) for n in labels}
    send = {
        n: peer.image_sender(f"/{n}/image_raw", labels=f"{NODE}/{n}/label", frame=n) for n in labels
    }
    image = next(drive(make_scene("straight", 4), 1)).view.rgb
    stamp = 100.0

    def look(camera: str, yaw: float, until: Callable[[np.ndarray], bool]) -> np.ndarray:
        """Images of one camera, until the costmap shows what it saw."""
        nonlocal stamp
        end = time.monotonic() + 60
        while time.monotonic() < end:
            stamp += 0.1
            odometry.publish(transform("odom", "base_footprint", turned(yaw), stamp))
            infos[camera].publish(camera_info())
            before = len(labels[camera])
            send[camera](image + round(10 * stamp) % 2, stamp)  # no image is the one before
            peer.wait(lambda n=before: len(labels[camera]) > n, "a label")
            if costmaps and costmaps[-1].header.frame_id == "odom":
                known = np.array(costmaps[-1].data).reshape(200, 200) >= 0
                if until(known):
                    return known
        raise AssertionError(f"nothing of {camera} in the grid")

    # Rows are y, columns x of odom; the vehicle stands in the middle.
    ahead, beside = np.s_[90:110, 115:140], np.s_[115:140, 90:110]
    known = look("front", 0.0, lambda known: known[ahead].any())
    assert not known[beside].any()
    send["left"](image, stamp)  # has no camera_info yet
    missing = "/left/camera_info"
    peer.wait(lambda: any(missing in p for p in problems(diagnostics, "Costmap")), "a diagnostic")
    known = look("left", 0.0, lambda known: known[beside].any())
    assert known[ahead].any()
    behind = np.s_[90:110, 60:85]
    assert not known[behind].any()
    look("left", np.pi / 2, lambda known: known[behind].any())  # where the base was turned to


def turned(yaw: float) -> np.ndarray:
    """A pose at the origin, 4 x 4."""
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    return pose
