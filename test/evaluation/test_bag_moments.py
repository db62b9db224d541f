"""Which topics of a bag belong to which camera."""

from __future__ import annotations

import pytest

from stmem_ros.evaluation.replay.bag_moments import TopicChoice, find_cameras
from stmem_ros.io.bags import CAMERA_INFO, COMPRESSED, RAW, BagError, Topic

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


def test_topics_are_not_chosen_for_several_cameras() -> None:
    with pytest.raises(BagError, match="/front/image_raw"):
        find_cameras((FRONT, REAR), ("front", "rear"), TopicChoice(image=FRONT.name))
