"""What the node published, compared with the offline replay."""

from __future__ import annotations

import json
from pathlib import Path

from support.replayed import RULES, replayed, row

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.evaluation.results.folder import RecordingFolder, TaskFolder
from stmem_ros.evaluation.results.played_bag import PlayedBag
from stmem_ros.evaluation.tasks.bag_scorer import BagScorer
from stmem_ros.evaluation.tasks.online_comparison import OnlineComparison
from stmem_ros.evaluation.tasks.output_bag import OutputBag
from stmem_ros.io.bags import BagReader, BagWriter
from stmem_ros.io.output_topics import NODE
from stmem_ros.parameters import DEFAULTS
from stmem_ros.stamps import nanoseconds


def test_a_label_that_was_not_recorded_costs_its_own_frame_alone(tmp_path: Path) -> None:
    frames = list(replayed(4))
    whole = OutputBag(
        tmp_path / "whole", "small", CAMVID, RULES, window=3, device="cpu", parameters=DEFAULTS
    )
    for frame in frames:
        whole.add(frame, row(frame))
    whole.close()
    recording, results = RecordingFolder(tmp_path / "recording"), TaskFolder(tmp_path / "task")
    results.path.mkdir()
    with BagReader(tmp_path / "whole") as bag, BagWriter(recording.output) as copy:
        for record in bag.records():
            stamp = nanoseconds(bag.decode(record).header.stamp)
            if record.topic != f"{NODE}/label" or stamp != frames[1].stamp:
                copy.write_cdr(record.topic, record.type, record.data, record.time)
    stamps = tuple(frame.stamp for frame in frames)
    PlayedBag(None, stamps, dict.fromkeys(stamps, 0.1), 0, "cpu").save(recording)
    names = tuple(c.name for c in CAMVID)
    scorer = BagScorer("drive", "small", len(CAMVID), GridConfig(), RULES)
    comparison = OnlineComparison(recording, results, scorer, names, "")
    for frame in frames:
        comparison.add(frame, row(frame))
    comparison.close()
    online = json.loads(results.online.read_text())
    assert (online["frames_compared"], online["frames_equal"]) == (3, 3)
    assert (online["grids_compared"], online["grids_equal"]) == (3, 3)
