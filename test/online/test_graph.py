"""What a live graph has for a node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.bags import jpeg, write_bag
from support.ros import Peer

from stmem_ros.io.bags import CAMERA_INFO, RAW, ImageForm, Topic
from stmem_ros.online.graph import choose


def test_the_camera_of_a_graph_is_named_with_the_command_that_takes_it() -> None:
    images = Topic("/front/image_rect", RAW, 20, image=ImageForm("rgb8", 64, 48), rate=10.0)
    infos = Topic("/front/camera_info", CAMERA_INFO, 20, rate=10.0)
    graph = choose((images, infos))
    assert graph.image == images and "/front/image_rect (64 x 48" in graph.lines[0]
    for words in ("image:=/front/image_rect", "camera_info:=/front/camera_info",
                  "image_transport:=raw", "rectified:=true"):  # fmt: skip
        assert words in graph.command
    rear = Topic("/rear/image_raw", RAW, 20, image=ImageForm("rgb8", 64, 48), rate=10.0)
    several = choose((images, Topic("/front/image", RAW, 20), rear))
    assert several.image is None and several.command == "" and "/rear/image_raw" in several.problem


def test_doctor_hears_the_cameras_of_a_running_system(
    peer: Peer, start_stmem, tmp_path: Path
) -> None:
    write_bag(tmp_path / "bag", [jpeg(np.zeros((32, 32, 3), np.uint8))] * 20)
    start_stmem("bag", "play", tmp_path / "bag", "--loop")
    for _ in range(3):  # the middleware may find the camera late
        doctor = start_stmem("doctor", "--graph")
        if doctor.exit_code(timeout=60) == 0:
            break
    assert "image:=/camera/image_raw" in doctor.text(), doctor.text()
    assert "image_transport:=compressed" in doctor.text()
