"""docs/reliability.md: the table of faults, written by a run of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from catalogue import FAULTS, Fault
from robot import Sensor

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: written by `pytest -m faults` -->", "<!-- end of faults -->"
NAMES = {
    Sensor.IMAGE: "image",
    Sensor.CAMERA_INFO: "camera_info",
    Sensor.DEPTH: "depth",
    Sensor.STATIC_TRANSFORM: "static transform",
    Sensor.ODOMETRY: "odometry",
    Sensor.CLOCK: "/clock",
}
Outcomes = Mapping[tuple[int, str], list[str]]  # problems, by number of cameras and key of a fault


def key(fault: Fault) -> str:
    return f"{NAMES[fault.sensor]}: {fault.name}"


def write_page(outcomes: Outcomes) -> None:
    """Put the table in its place in the page."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + "\n" + table(outcomes) + END + after)


def table(outcomes: Outcomes) -> str:
    head = (
        "| of | fault | labels of that camera | grid of one camera | `/diagnostics` says "
        "| 1 camera | 2 cameras |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(_row(fault, outcomes) for fault in FAULTS)


def _row(fault: Fault, outcomes: Outcomes) -> str:
    said = {None: "perhaps something", "": "nothing"}.get(fault.told, f"“{fault.told}”")
    words = [NAMES[fault.sensor], fault.name, fault.labels.value, fault.grid.value, said]
    for cameras in (1, 2):
        problems = outcomes[cameras, key(fault)]
        words.append("; ".join(problems).replace("|", "/") if problems else "as expected")
    return "| " + " | ".join(words) + " |\n"
