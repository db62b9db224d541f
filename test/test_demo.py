"""What the demo leaves behind, from a bag and from what a node published."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from support.bags import PERIOD, START, jpeg, panorama, write_bag

from stmem_ros.demo import DemoSummary, Recording, write_report
from stmem_ros.io.bags import BAG_MESSAGES, RAW, BagReader, BagWriter


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
