"""What the demo leaves behind, from a bag and from what a node published."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from support.bags import PERIOD, START, jpeg, panorama, write_bag

from stmem_ros.classes import CAMVID
from stmem_ros.demo import DemoSummary, Recording, write_report
from stmem_ros.io.bags import BAG_MESSAGES, RAW, TF, BagReader, BagWriter, types


def test_without_a_grid_the_page_shows_the_camera_alone_and_says_what_a_costmap_needs(
    tmp_path: Path,
) -> None:
    write_bag(tmp_path / "input", [jpeg(rgb) for rgb in panorama(3)])
    with BagWriter(tmp_path / "output") as bag:
        for i in range(3):
            header = BAG_MESSAGES.header(START + i * PERIOD, "camera")
            label = BAG_MESSAGES.image(np.zeros((96, 128), np.uint8), header)
            bag.write("/segmentation_node/label", RAW, label, START + i * PERIOD)
    latency = {"p50": 1.0, "p95": 1.0}
    summary = DemoSummary(3, 3, 0, 0, latency, miou=None, model="small", device="cpu")
    with BagReader(tmp_path / "input") as source:
        recording = Recording(source, source.topics[0], tmp_path / "output")
        write_report(recording, summary, tmp_path)

    assert cv2.imread(str(tmp_path / "costmap.png")).shape == (360, 480, 3)
    page = (tmp_path / "index.html").read_text()
    assert "camera_info" in page and "from above" not in page


def test_messages_that_cannot_be_read_cost_themselves_alone(tmp_path: Path) -> None:
    grey = np.zeros((96, 128), np.uint8)
    write_bag(tmp_path / "whole", [jpeg(rgb) for rgb in panorama(4)], [grey] * 4)
    images = "/camera/image_raw/compressed"
    with BagReader(tmp_path / "whole") as whole, BagWriter(tmp_path / "input") as bag:
        pose = BAG_MESSAGES.transform(np.eye(4), "base", BAG_MESSAGES.header(START, "map"))
        bag.write_cdr("/tf", TF, bytes(types().serialize_cdr(pose, TF))[:20], START)
        for i, record in enumerate(whole.records()):
            data = record.data[:60] if i in (2, 5) else record.data
            bag.write_cdr(record.topic, record.type, data, record.time)
    with BagWriter(tmp_path / "output") as bag:
        for i in range(4):
            label = BAG_MESSAGES.image(grey, BAG_MESSAGES.header(START + i * PERIOD, "camera"))
            bag.write("/segmentation_node/label", RAW, label, START + i * PERIOD)
    with BagReader(tmp_path / "input") as source:
        topics = {topic.name: topic for topic in source.topics}
        recording = Recording(source, topics[images], tmp_path / "output")
        recording.classes = CAMVID
        moments = list(recording.moments())
        assert recording.miou(topics["/camera/label"]) == 1.0
    assert len(moments) == 3
    assert set(recording.left_out) == {"/tf", images, "/camera/label"}
