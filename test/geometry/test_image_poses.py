"""Where a camera is in the base frame, and what is said where nothing tells it."""

import numpy as np
import pytest

from stmem_ros.geometry.image_poses import ImagePoses
from stmem_ros.geometry.transforms import FramesNotConnectedError, TransformBuffer


def test_a_base_frame_that_the_robot_has_not_is_told_with_its_parameter() -> None:
    transforms = TransformBuffer()
    transforms.add("base_link", "camera", 0, np.array([0, 0, 1.4, 1, 0, 0, 0.0]), static=True)
    assert ImagePoses(transforms, "odom", "base_link", 0.0).lookup("camera", 0)[0][2, 3] == -1.4
    poses = ImagePoses(transforms, "odom", "base_footprint", 0.0)
    with pytest.raises(FramesNotConnectedError, match=r"base_link.*parameter base_frame"):
        poses.lookup("camera", 0)
    with pytest.raises(FramesNotConnectedError, match="name no frame"):
        poses.lookup("", 0)
