"""What every bundle that comes with the package can do: it loads, labels, and fills a grid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stmem_ros.classes import CAMVID, IDD_LITE
from stmem_ros.commands.stmem import main
from stmem_ros.costmap.rules import Kind, default_rules
from stmem_ros.model.bundle import SHIPPED, load_bundle, shipped_bundles
from stmem_ros.streaming.segmenter import StreamingSegmenter

BUNDLES = shipped_bundles()
MEGABYTES = 36  # of all bundles together


def test_the_bundles_of_the_documentation_are_there_and_small() -> None:
    assert BUNDLES == ["onboard", "onboard-planner", "onboard-synthetic"]
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) < MEGABYTES * 1e6


@pytest.mark.parametrize("name", BUNDLES)
def test_it_labels_images_with_its_classes(name: str, frames: list[np.ndarray]) -> None:
    model = load_bundle(name, "cpu")
    stream = StreamingSegmenter(model)
    for i, frame in enumerate(frames[:3]):
        result = stream.push(frame, i / 10)
    assert result.label.shape == result.confidence.shape == frames[0].shape[:2]
    assert result.label.max() < len(model.info.classes) == model.architecture.classes
    assert result.confidence.any()


@pytest.mark.parametrize("name", BUNDLES)
def test_its_classes_have_rules_that_tell_ground_from_people_and_vehicles(name: str) -> None:
    classes = load_bundle(name, "cpu").info.classes
    assert classes in (CAMVID, IDD_LITE)
    rules = dict(zip([c.name for c in classes], default_rules(classes).rules, strict=True))
    ground = {name for name, rule in rules.items() if rule.kind is Kind.GROUND}
    assert ground in ({"road", "sidewalk"}, {"drivable", "non-drivable"})
    for name in {"pedestrian", "bicyclist", "car", "living", "vehicle"} & rules.keys():
        assert rules[name].moving and rules[name].cost == 100


@pytest.mark.parametrize("name", BUNDLES)
def test_it_is_scored_on_the_coarse_classes(
    name: str, frames: list[np.ndarray], tmp_path: Path
) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    label = np.repeat(np.arange(7, dtype=np.uint8), 19)[:128] % 7
    Image.fromarray(frames[0]).save(tmp_path / "images" / "4_0.jpg")
    Image.fromarray(np.tile(label, (96, 1))).save(tmp_path / "labels" / "4_0.png")
    out = tmp_path / "scores.json"
    arguments = ["--dataset", "idd_lite", "--root", str(tmp_path), "--split", "val"]
    assert main(["evaluate", *arguments, "--model", name, "--json", str(out)]) == 0
    scores = json.loads(out.read_text())
    own = len(load_bundle(name, "cpu").info.classes) == len(IDD_LITE)
    assert len(scores["iou"]) == (7 if own else 5)
