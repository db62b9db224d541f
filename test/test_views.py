"""The Foxglove layout and the RViz file show topics that are there, with panels that can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from stmem_ros.classes import CAMVID, CITYSCAPES
from stmem_ros.costmap.rules import default_rules
from stmem_ros.io.bags import COMPRESSED, RAW, types
from stmem_ros.io.output_topics import (
    DIAGNOSTICS,
    OCCUPANCY_GRID,
    POINTS,
    OutputTopic,
    output_topics,
)

CONFIG = Path(__file__).parent.parent / "config"
PANELS = {
    "Image": {RAW, COMPRESSED},
    "3D": {OCCUPANCY_GRID, POINTS},
    "DiagnosticSummary": {DIAGNOSTICS},
}
DISPLAYS = {"Image": {RAW, COMPRESSED}, "Map": {OCCUPANCY_GRID}, "PointCloud2": {POINTS}}


@pytest.fixture(params=[CAMVID, CITYSCAPES], ids=["camvid", "cityscapes"])
def published(request: pytest.FixtureRequest) -> dict[str, OutputTopic]:
    return {t.name: t for t in output_topics(default_rules(request.param).layers)}


def foxglove() -> dict:
    return json.loads((CONFIG / "foxglove_layout.json").read_text())


def rviz_displays(displays: list[dict] | None = None) -> Iterator[dict]:
    if displays is None:
        text = (CONFIG / "stmem.rviz").read_text()
        displays = yaml.safe_load(text)["Visualization Manager"]["Displays"]
    for display in displays:
        yield from rviz_displays(display.get("Displays", []))
        if "Topic" in display:
            yield display


def shown_by_foxglove() -> list[tuple[str, str]]:
    """Kind of the panel and topic."""
    shown = []
    for name, panel in foxglove()["configById"].items():
        kind = name.split("!")[0]
        if kind == "Image":
            shown.append((kind, panel["imageMode"]["imageTopic"]))
        elif kind == "3D":
            shown += [(kind, topic) for topic in panel["topics"]]
        elif kind == "DiagnosticSummary":
            shown.append((kind, panel["topicToRender"]))
    return shown


def test_foxglove_shows_topics_of_the_node_in_panels_that_can(published: dict) -> None:
    shown = shown_by_foxglove()
    assert len(shown) == 10
    for kind, topic in shown:
        assert published[topic].type in PANELS[kind], topic


def test_foxglove_plots_fields_that_messages_have(published: dict) -> None:
    panels = foxglove()["configById"]
    curves = [p["value"] for n, panel in panels.items() if n[:4] == "Plot" for p in panel["paths"]]
    assert len(curves) == 14
    for curve in curves:
        topic, field = curve.split(".")
        assert field in types().types[published[topic].type].__dataclass_fields__, curve


def test_foxglove_lays_out_every_panel_once() -> None:
    layout = foxglove()

    def leaves(part: dict | str) -> list[str]:
        if isinstance(part, str):
            return [part]
        return leaves(part["first"]) + leaves(part["second"])

    assert sorted(leaves(layout["layout"])) == sorted(layout["configById"])


def test_rviz_shows_topics_of_the_node_with_their_quality_of_service(published: dict) -> None:
    shown = list(rviz_displays())
    assert len(shown) == 9
    for display in shown:
        topic = published[display["Topic"]["Value"]]
        assert topic.type in DISPLAYS[display["Class"].split("/")[1]], topic
        durability = "Transient Local" if topic.latched else "Volatile"
        assert display["Topic"]["Durability Policy"] == durability, topic


def test_both_show_every_grid(published: dict) -> None:
    grids = {name for name, topic in published.items() if topic.type == OCCUPANCY_GRID}
    assert grids <= {topic for _, topic in shown_by_foxglove()}
    assert grids <= {display["Topic"]["Value"] for display in rviz_displays()}
