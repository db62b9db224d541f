"""The stand-ins of ROS packages, and the packages themselves where they are installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from support.ros import Peer, image_message
from tf2_msgs.msg import TFMessage

from stmem_ros.geometry.transforms import FramesNotConnectedError, TransformError
from stmem_ros.io.encodings import BitDepth
from stmem_ros.io.images import ImageError, decode_colour
from stmem_ros.node import ros_packages
from stmem_ros.node.ros_messages import ROS_MESSAGES
from stmem_ros.node.ros_packages import (
    InstalledPairing,
    OwnPairing,
    PairedSubscriptions,
    image_to_rgb,
    listen_to_transforms,
)
from stmem_ros.pipeline import DEPTH_SLOP
from stmem_ros.stamps import SECOND, nanoseconds

Arrival = tuple[int, int]  # topic, 0 or 1, and stamp in ns
QUEUED = QoSProfile(depth=1000)


def only_where(package: str) -> pytest.MarkDecorator:
    installed = getattr(ros_packages, package) is not None
    return pytest.mark.skipif(not installed, reason=f"{package} is not installed")


PAIRINGS = [
    pytest.param(OwnPairing, id="own"),
    pytest.param(InstalledPairing, id="installed", marks=only_where("message_filters")),
]


def message(stamp: int) -> Image:
    return Image(header=ROS_MESSAGES.header(stamp, "optical"))


def stamps(pair: Sequence[Image]) -> tuple[int, int]:
    first, second = (nanoseconds(m.header.stamp) for m in pair)
    return first, second


def pairs(kind: type, arrivals: Sequence[Arrival]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    pairing = kind(lambda *pair: found.append(stamps(pair)))
    for side, stamp in arrivals:
        pairing.add(side, message(stamp))
    return found


def jittered(seed: int, period: float, lag: float, jitter: float, apart: float) -> list[Arrival]:
    """Two topics of a rate, in the order of arrival; the second one's messages come later.

    ``period``, ``lag``, ``jitter`` of the arrivals, ``apart`` of the stamps: s.
    """
    random = np.random.default_rng(seed)
    arrivals = []
    for i in range(100):
        for side in (0, 1):
            stamp = 10 + period * i + side * random.uniform(-apart, apart)
            arrivals.append((10 + period * i + side * lag + random.uniform(0, jitter), side, stamp))
    return [(side, round(stamp * SECOND)) for _, side, stamp in sorted(arrivals)]


# message_filters


@pytest.mark.parametrize("kind", PAIRINGS)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("apart", "belong"), [(0, True), (DEPTH_SLOP, True), (-DEPTH_SLOP, True), (21_000_000, False)]
)
def test_stamps_up_to_the_slop_apart_are_a_pair(
    kind: type, first: int, apart: int, belong: bool
) -> None:
    arrivals = [(0, SECOND), (1, SECOND + apart)]
    found = pairs(kind, arrivals if first == 0 else arrivals[::-1])
    assert found == ([(SECOND, SECOND + apart)] if belong else [])


@pytest.mark.parametrize("kind", PAIRINGS)
def test_a_topic_that_is_some_frames_ahead_loses_none(kind: type) -> None:
    period = SECOND // 60
    arrivals = [(1, 0), (1, period)]
    for i in range(58):
        arrivals += [(1, (i + 2) * period), (0, i * period)]
    assert pairs(kind, arrivals) == [(i * period, i * period) for i in range(58)]


@pytest.mark.parametrize("kind", PAIRINGS)
@pytest.mark.parametrize("seed", range(5))
def test_messages_that_arrive_out_of_order_lose_none(kind: type, seed: int) -> None:
    arrivals = jittered(seed, period=0.05, lag=0.0, jitter=0.06, apart=0.005)
    assert len(pairs(kind, arrivals)) == 100


@only_where("message_filters")
@pytest.mark.parametrize("seed", range(20))
def test_both_give_the_same_pairs(seed: int) -> None:
    random = np.random.default_rng(seed)
    arrivals = jittered(seed, *random.uniform([0.01, 0, 0, 0], [0.1, 0.3, 0.2, 0.04]))
    arrivals = [a for a in arrivals if random.random() < 0.8]  # some are lost
    assert pairs(OwnPairing, arrivals) == pairs(InstalledPairing, arrivals)


@pytest.mark.parametrize("kind", PAIRINGS)
def test_pairs_go_on_when_time_goes_back(
    peer: Peer, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind is OwnPairing:
        monkeypatch.setattr(ros_packages, "message_filters", None)
    found: list[tuple[int, int]] = []
    topics = (Image, "/image"), (Image, "/depth")
    subscribed = PairedSubscriptions(
        peer.node, topics, QUEUED, lambda *pair: found.append(stamps(pair))
    )
    images, depths = (peer.node.create_publisher(Image, name, QUEUED) for _, name in topics)
    peer.wait(
        lambda: images.get_subscription_count() and depths.get_subscription_count(), "subscriptions"
    )
    for i in range(30):  # these find no partner
        images.publish(message(50 * SECOND + i * SECOND // 10))
    for publisher in (images, depths):
        publisher.publish(message(60 * SECOND))
    peer.wait(lambda: found, "all of them to be taken")
    again = [16 * SECOND + i * SECOND // 10 for i in range(20)]
    for i, stamp in enumerate(again):
        images.publish(message(stamp))
        depths.publish(message(stamp))
        peer.wait(lambda n=i + 1: len(found) > n, f"pair {i + 1}")
    assert found[1:] == [(stamp, stamp) for stamp in again]
    subscribed.close()


# cv_bridge


def test_damaged_images_of_known_encodings_are_not_left_to_cv_bridge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would raise errors of other kinds, or read a wrong picture from a wrong ``step``."""
    monkeypatch.setattr(ros_packages, "cv_bridge", SimpleNamespace(CvBridge=None))
    cut, narrow = (image_message(np.zeros((48, 64, 3), np.uint8), 1.0) for _ in range(2))
    cut.data = cut.data[:1000]
    narrow.step = 99
    for damaged in (cut, narrow):
        with pytest.raises(ImageError):
            image_to_rgb(damaged, BitDepth())


@pytest.mark.parametrize("encoding", ["64FC9", "no encoding", ""])
def test_what_neither_can_read_is_an_image_error_that_names_the_encodings(encoding: str) -> None:
    strange = image_message(np.zeros((48, 64, 3), np.uint8), 1.0, encoding)
    with pytest.raises(ImageError, match=f"'{encoding}'.*rgb8"):
        image_to_rgb(strange, BitDepth())


@pytest.mark.parametrize("encoding", ["rgb8", "mono8"])
def test_both_read_the_same_pictures(encoding: str) -> None:
    pytest.importorskip("cv_bridge.boost.cv_bridge_boost")
    shape = (48, 64, 3) if encoding == "rgb8" else (48, 64)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    sent = image_message(pixels, 1.0, encoding)
    bridged = ros_packages.cv_bridge.CvBridge().imgmsg_to_cv2(sent)  # type: ignore[attr-defined]
    ours = decode_colour(sent)
    assert np.array_equal(ours if encoding == "rgb8" else ours[..., 0], bridged)


# tf2_ros


@pytest.fixture(
    params=["own", pytest.param("installed", marks=only_where("tf2_ros"))],
)
def transforms(peer: Peer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if request.param == "own":
        monkeypatch.setattr(ros_packages, "tf2_ros", None)
    listener = listen_to_transforms(peer.node)
    yield listener
    listener.close()


@pytest.fixture
def send(peer: Peer) -> Callable[[float, float], None]:
    """A function that publishes the base's place in odom, x in m, at a stamp in s."""
    publisher = peer.node.create_publisher(TFMessage, "/tf", 100)

    def publish(x: float, seconds: float) -> None:
        peer.wait(publisher.get_subscription_count, "a subscription")
        pose = np.eye(4)
        pose[0, 3] = x
        header = ROS_MESSAGES.header(round(seconds * SECOND), "odom")
        publisher.publish(ROS_MESSAGES.transform(pose, "base", header))

    return publish


def place(transforms, seconds: float) -> float:
    """x of the base in odom, once it is known."""
    end = time.monotonic() + 30
    while True:
        try:
            return float(transforms.lookup("odom", "base", round(seconds * SECOND))[0, 3])
        except TransformError:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_places_between_two_transforms_are_interpolated(transforms, send) -> None:
    send(1.0, 10.0)
    send(3.0, 10.2)
    assert place(transforms, 10.05) == pytest.approx(1.5)
    odom_from_base = np.linalg.inv(transforms.lookup("base", "odom", 10_050_000_000))
    assert odom_from_base[0, 3] == pytest.approx(1.5)


def test_frames_that_are_not_connected_are_an_error_of_their_own(transforms, send) -> None:
    send(1.0, 10.0)
    place(transforms, 10.0)
    with pytest.raises(FramesNotConnectedError):
        transforms.lookup("elsewhere", "base", 10 * SECOND)


def test_times_that_are_not_known_are_an_error_until_their_transforms_come(
    transforms, send
) -> None:
    send(1.0, 10.0)
    place(transforms, 10.0)
    for seconds in (9.0, 11.0):
        with pytest.raises(TransformError):
            transforms.lookup("odom", "base", round(seconds * SECOND))
    send(2.0, 11.0)
    assert place(transforms, 11.0) == pytest.approx(2.0)


def test_when_time_goes_back_transforms_of_the_new_time_count(transforms, send) -> None:
    for i in range(5):
        send(1.0, 100 + i / 10)
    assert place(transforms, 100.4) == pytest.approx(1.0)
    transforms.time_went_back()
    send(7.0, 20.0)
    assert place(transforms, 20.0) == pytest.approx(7.0)


def test_listening_leaves_no_service_and_no_topic_behind(peer: Peer, transforms) -> None:
    name = peer.node.get_name(), peer.node.get_namespace()
    services = [s for s, _ in peer.node.get_service_names_and_types_by_node(*name)]
    assert not any("tf2" in service for service in services)
    transforms.close()
    peer.wait(
        lambda: (
            not any(
                topic.startswith("/tf")
                for topic, _ in peer.node.get_subscriber_names_and_types_by_node(*name)
            )
        ),
        "no subscription to be left",
    )
