"""Which topics of a bag belong to which camera."""

from __future__ import annotations

import numpy as np
import pytest
from support.bags import PERIOD, START, jpeg, write_bag

from stmem_ros.costmap.depth import read_depth
from stmem_ros.evaluation.replay.bag_moments import BagMoments, TopicChoice, find_cameras
from stmem_ros.geometry.camera import CameraModel
from stmem_ros.geometry.transforms import TransformBuffer
from stmem_ros.io.bag_contents import ImageForm
from stmem_ros.io.bags import (
    BAG_MESSAGES,
    CAMERA_INFO,
    COMPRESSED,
    RAW,
    BagError,
    BagReader,
    BagWriter,
    Topic,
)

FRONT = Topic("/front/image_raw", RAW, 3)
FRONT_INFO = Topic("/front/camera_info", CAMERA_INFO, 3)
FRONT_DEPTH = Topic("/front/depth", RAW, 3)
FRONT_JPEG = Topic("/front/image_raw/compressed", COMPRESSED, 3)
REAR = Topic("/rear/image_raw", RAW, 3)


def test_a_camera_never_takes_the_calibration_of_another() -> None:
    cameras = find_cameras((FRONT, FRONT_INFO, REAR), ("front", "rear"), TopicChoice())
    assert cameras["front"].info == FRONT_INFO
    assert cameras["rear"].image == REAR and cameras["rear"].info is None


@pytest.mark.parametrize(("transport", "image"), [("raw", FRONT), ("compressed", FRONT_JPEG)])
def test_of_two_transports_the_one_of_the_node_is_taken(transport: str, image: Topic) -> None:
    topics = (FRONT, FRONT_JPEG, REAR)
    choice = TopicChoice(transport=transport)
    cameras = find_cameras(topics, ("front", "rear"), choice)
    assert cameras["front"].image == image and cameras["rear"].image == REAR


def test_depth_is_taken_where_it_is_used_and_missed_where_there_is_none() -> None:
    (camera,) = find_cameras((FRONT, FRONT_DEPTH), ("front",), TopicChoice(depth=True)).values()
    assert camera.depth == FRONT_DEPTH
    with pytest.raises(BagError, match="/rear/image_raw"):
        find_cameras((REAR,), ("rear",), TopicChoice(depth=True))


def test_depth_under_another_name_is_told_with_what_to_do() -> None:
    elsewhere = Topic("/rear/depth/image_raw", RAW, 3, image=ImageForm("16UC1", 64, 48))
    with pytest.raises(BagError, match=r"on /rear/depth, .*: /rear/depth/image_raw; rename"):
        find_cameras((REAR, elsewhere), ("rear",), TopicChoice(depth=True))


def test_a_camera_that_the_bag_has_not_is_told_with_those_it_has() -> None:
    with pytest.raises(BagError, match=r"names 'left', .*/left/.*: /front/image_raw"):
        find_cameras((FRONT, FRONT_INFO), ("left", "front"), TopicChoice())


def test_topics_are_not_chosen_for_several_cameras() -> None:
    with pytest.raises(BagError, match="/front/image_raw"):
        find_cameras((FRONT, REAR), ("front", "rear"), TopicChoice(image=FRONT.name))


def test_packed_depth_is_found_beside_the_images() -> None:
    packed = Topic("/front/depth/compressedDepth", COMPRESSED, 3)
    (camera,) = find_cameras((FRONT, packed), ("front",), TopicChoice(depth=True)).values()
    assert camera.depth == packed


@pytest.mark.parametrize(("unit", "notes"), [(1, 0), (2, 0), (1000, 1)])
def test_stamps_of_another_unit_than_ns_are_told(tmp_path, unit: int, notes: int) -> None:
    image = jpeg(np.zeros((6, 8, 3), np.uint8))
    stamps = [(START + i * PERIOD) // unit for i in range(3)]
    write_bag(tmp_path / "bag", [image] * 3, stamps=stamps)
    with BagReader(tmp_path / "bag") as bag:
        cameras = find_cameras(bag.topics, ("",), TopicChoice())
        moments = BagMoments(bag, cameras, bag.start, bag.end + 1, TransformBuffer())
        assert [moment.stamp for moment in moments] == stamps
        assert ["over 0.2 s" in note and "0.0002 s" in note for note in moments.notes] == (
            [True] * notes
        )


@pytest.mark.parametrize(("frame", "later"), [("depth", 0), ("camera", 10**9)])
def test_depth_and_calibrations_that_do_not_fit_are_named(tmp_path, frame, later) -> None:
    camera = CameraModel(8, 6, ((9.0, 0, 3.5), (0, 9.0, 2.5), (0, 0, 1)))
    with BagWriter(tmp_path / "bag") as bag:
        for i in range(2):
            stamp = START + i * PERIOD
            other = BAG_MESSAGES.header(stamp + later, frame)
            image = BAG_MESSAGES.image(
                np.zeros((6, 8, 3), np.uint8), BAG_MESSAGES.header(stamp, "camera")
            )
            depth = BAG_MESSAGES.image(np.ones((6, 8), np.float32), other)
            bag.write(
                "/front/camera_info", CAMERA_INFO, BAG_MESSAGES.camera_info(camera, other), stamp
            )
            bag.write("/front/depth", RAW, depth, stamp)
            bag.write("/front/image_raw", RAW, image, stamp)
    with BagReader(tmp_path / "bag") as bag:
        cameras = find_cameras(bag.topics, ("front",), TopicChoice(depth=True))
        moments = BagMoments(bag, cameras, bag.start, bag.end + 1, TransformBuffer())
        (first, _) = moments
        if later:
            assert first.depth is None and "1.000 s" in first.depth_problem
            assert not moments.notes
        else:
            assert any("'depth'" in note and "'camera'" in note for note in moments.notes)
            with pytest.raises(ValueError, match=r"'depth'.*'camera'"):
                read_depth(first.depth, "camera")
