"""What a running node tells of faults, and what it takes back: another process, over Fast DDS."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import CameraInfo, Image
from stmem_ros.msg import SemanticGrid
from support.ros import LATCHED, NODE, PATIENCE, Peer, image_message, start_node
from tf2_msgs.msg import TFMessage

from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, drive
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.node.main import main
from stmem_ros.node.ros_messages import ROS_MESSAGES
from stmem_ros.streaming.execution import Runner

ERROR, OK = DiagnosticStatus.ERROR, DiagnosticStatus.OK
PATIENT = ("diagnostics.latency_warn:=1e5", "diagnostics.latency_error:=1e5")  # a busy machine


def settings(*values: str) -> list[str]:
    return [word for value in values for word in ("-p", value)]


class Statuses:
    """The newest status of a part of the node."""

    def __init__(self, peer: Peer, part: str, node: str = "segmentation_node") -> None:
        self._name = f"{node}: {part}"
        self._diagnostics = peer.collect(DiagnosticArray, "/diagnostics")

    @property
    def newest(self) -> DiagnosticStatus | None:
        """None: none has come."""
        found = [s for d in self._diagnostics for s in d.status if s.name == self._name]
        return found[-1] if found else None

    def is_level(self, level: bytes, named: str = "") -> bool:
        return (s := self.newest) is not None and s.level == level and named in s.message


class Camera:
    """Sends images of the present, noise unless told otherwise, from which nothing is awaited."""

    def __init__(self, peer: Peer) -> None:
        self._publisher = peer.node.create_publisher(Image, "/image_raw", 5)
        self._random = np.random.default_rng(0)
        self._peer = peer

    def send_until(self, condition: Callable[[], bool], what: str, still: bool = False) -> None:
        image = self._noise()
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, what
            image = image if still else self._noise()
            self._publisher.publish(image_message(image, time.time()))
            time.sleep(0.05)

    def _noise(self) -> np.ndarray:
        return self._random.integers(0, 256, (64, 64, 3), np.uint8)


def test_a_camera_that_is_unplugged_or_stands_still_is_an_error_until_it_is_well_again(
    peer: Peer, start_node
) -> None:
    limits = ("age_warn:=1.0", "age_error:=1.5", "still_warn:=0.5", "still_error:=1.0")
    start_node(*settings(*PATIENT, *(f"diagnostics.{limit}" for limit in limits)))
    peer.wait_until_active()
    status, camera = Statuses(peer, "Input"), Camera(peer)
    peer.wait(lambda: status.is_level(ERROR, "/image_raw"), "an error before the first image")
    camera.send_until(lambda: status.is_level(OK), "all to be well")
    camera.send_until(lambda: status.is_level(ERROR, "pixels"), "an error of still images", True)
    camera.send_until(lambda: status.is_level(OK), "all to be well again")
    peer.wait(lambda: status.is_level(ERROR, "/image_raw"), "an error of a silent camera")
    camera.send_until(lambda: status.is_level(OK), "all to be well once more")


def test_a_grid_that_nothing_reaches_is_taken_back_once_and_goes_on_later(
    peer: Peer, start_node
) -> None:
    start_node(*settings("costmap.stale_after:=0.5", "unseen_cost:=0", "costmap_rate:=100.0"))
    labels = peer.collect(Image, f"{NODE}/label")
    costmaps = peer.collect(OccupancyGrid, f"{NODE}/costmap", LATCHED)
    grids = peer.collect(SemanticGrid, f"{NODE}/grid", LATCHED)
    layers = peer.collect(OccupancyGrid, f"{NODE}/layers/drivable", LATCHED)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.wait_until_active()
    send = peer.image_sender()
    infos = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
    static = peer.node.create_publisher(TFMessage, "/tf_static", LATCHED)
    header = ROS_MESSAGES.header(0, "base_footprint")
    pose = MOUNTING.base_from_camera()
    static.publish(ROS_MESSAGES.transform(pose, "camera_optical_frame", header))
    info = CameraInfo(width=480, height=360, distortion_model="plumb_bob")
    info.k = [value for row in CAMERA.matrix for value in row]
    image = next(drive(make_scene("straight", 4), 1)).view.rgb
    stamp = 100.0

    def is_unknown() -> bool:
        return bool(costmaps) and set(costmaps[-1].data) == {-1}

    def feed_until_a_grid_comes() -> None:
        nonlocal stamp
        end, before = time.monotonic() + PATIENCE, len(costmaps)
        while len(costmaps) == before or is_unknown():
            assert time.monotonic() < end, "no grid"
            stamp += 0.1
            count = len(labels)
            infos.publish(info)
            send(image, stamp)
            peer.wait(lambda n=count: len(labels) > n, "a label")

    feed_until_a_grid_comes()
    peer.wait(is_unknown, "the grid to be taken back")
    peer.wait(lambda: set(grids[-1].label) == {255}, "its classes to be taken back")
    peer.wait(lambda: set(layers[-1].data) == {-1}, "its layers to be taken back")
    assert set(grids[-1].cost) == {255} and set(grids[-1].confidence) == {0}
    count = len(costmaps)
    seen = len(diagnostics)
    peer.wait(lambda: len(diagnostics) > seen + 1, "a second to pass")
    assert len(costmaps) == count
    feed_until_a_grid_comes()


def test_a_network_that_is_broken_is_an_error_in_diagnostics_and_ends_the_node_with_1(
    peer: Peer, damaged_bundle: Path, tmp_path: Path
) -> None:
    node = start_node(damaged_bundle, tmp_path / "node.log")
    peer.wait_until_active()
    status, camera = Statuses(peer, "Model"), Camera(peer)
    peer.wait(lambda: status.is_level(OK), "its first words")
    camera.send_until(lambda: not node.is_running(), "the node to end")
    assert node.exit_code(timeout=PATIENCE) == 1
    assert "not finite" in node.text() and "Traceback" not in node.text()
    peer.wait(lambda: status.is_level(ERROR, "not finite"), "its last words")


def run_without_graphs() -> int:
    """As on a GPU where none can be recorded."""
    with mock.patch.object(Runner, "problem", "CUDA graphs cannot be recorded (out of memory)"):
        return main()


def test_graphs_that_cannot_be_recorded_are_an_error_of_the_model(
    peer: Peer, small_bundle: Path, tmp_path: Path
) -> None:
    node = start_node(small_bundle, tmp_path / "node.log", run=run_without_graphs)
    status = Statuses(peer, "Model")
    try:
        peer.wait(lambda: status.is_level(ERROR, "out of memory"), "the reason")
    finally:
        node.close()


def test_statuses_of_nodes_in_two_namespaces_have_names_of_their_own(
    peer: Peer, start_node
) -> None:
    statuses = []
    for name in ("left", "right"):
        start_node("-r", f"__ns:=/{name}")
        statuses.append(Statuses(peer, "Model", f"{name}/segmentation_node"))
    for status in statuses:
        peer.wait(lambda s=status: s.is_level(OK), "a status of each")


def test_a_clock_that_does_not_come_is_told(peer: Peer, start_node) -> None:
    start_node(*settings("use_sim_time:=true", "diagnostics.age_error:=1.0"))
    status = Statuses(peer, "Clock")
    peer.wait(lambda: status.is_level(ERROR, "/clock"), "an error of the clock")
