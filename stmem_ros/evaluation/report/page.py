"""``report.html``: one file with all pictures and plots inside, for any browser, offline."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from stmem_ros.evaluation.report.definitions import COUNTS, CURVES, FIGURES
from stmem_ros.evaluation.report.plots import RESTART, STATES, reliability, timeline
from stmem_ros.evaluation.results.comparison import Verdict
from stmem_ros.evaluation.results.reader import Results, WorstFrame, read_results
from stmem_ros.io.pages import number, render
from stmem_ros.io.whole_output import whole_file

CARDS = ("miou", "temporal_consistency", "flicker", "coverage", "drop_rate", "latency_p95_ms")
BAG_FIGURES = (
    "frames", "labelled", "dropped", "late", "invalid", "restarts", "miou",
    "temporal_consistency", "flicker", "ece", "coverage", "latency_p95_ms",
)  # fmt: skip
STAGES = {
    "decode_image": "image decoded", "upload": "to the device", "backbone": "backbone",
    "stf": "STF", "mar": "MAR", "decode": "labels decoded", "costmap": "costmap",
}  # fmt: skip
TIMELINES = 12  # bags that are drawn
WORST = 12  # frames that are shown
FAULTS = 50  # damaged images that are listed

_DEFINITIONS = {d.name: d for d in (*FIGURES, *COUNTS)}


@dataclass(frozen=True)
class ClassRow:
    """A class: its colour, IoU and flicker of each model, and its share of the reference."""

    name: str
    colour: tuple[int, ...]
    iou: list[float | None]
    flicker: list[float | None]
    share: float | None


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix as it is shown."""

    text: str
    colour: str
    ink: str


def write_report(folder: Path) -> Path:
    """Write ``report.html`` from the results in ``folder``; returns its path."""
    results = read_results(folder)
    page = render("report.html.j2", **_content(results))
    with whole_file(results.folder.report) as part:
        part.write_text(page, encoding="utf-8")
    return results.folder.report


def _content(results: Results) -> dict[str, Any]:
    """What the template takes, by name."""
    worst = _worst(results)
    content: dict[str, Any] = {
        "title": "Replay evaluation",
        "models": results.models,
        "bags": results.bags,
        "versions": results.metrics["versions"],
        "failed": results.metrics["failed"],
        "run_faults": results.metrics.get("faults", []),
        "missing_grids": _missing_grids(results),
        "timing": _timing(results),
        "comparisons": [_comparison(c) for c in results.metrics["comparisons"]],
        "online": _online(results),
        "configuration": _configuration(results),
        **_summary_content(results),
        **_class_content(results),
        **_bag_content(results),
        **_timeline_content(results, worst),
        **_worst_content(worst),
        **_fault_content(results),
    }
    return content | {"sections": _sections(content)}


def _missing_grids(results: Results) -> list[dict[str, Any]]:
    """Frames without a grid, a row per bag and kind, of the first model."""
    return [
        {"bag": name, **missing}
        for name in results.bags
        for missing in next(iter(results.of_bag(name).values())).get("missing_grids", [])
    ]


def _sections(content: dict[str, Any]) -> dict[str, str]:
    """Headings of the sections that have something to show, by their anchors."""
    headings = {
        "summary": "Summary", "comparisons": "Compared", "classes": "Classes",
        "confusion": "Confusion", "calibration": "Calibration", "bags": "Bags",
        "online": "Online", "timelines": "Over time",
        "worst": "Worst frames", "faults": "What is wrong", "configuration": "Configuration",
    }  # fmt: skip
    shown = {
        **content,
        "bags": len(content["bag_rows"]) > 1,
        "faults": content["faults"] or content["notes"],
    }
    return {anchor: text for anchor, text in headings.items() if shown[anchor]}


def _summary_content(results: Results) -> dict[str, Any]:
    totals = [results.metrics["models"][m]["totals"] for m in results.models]
    cards = [(_DEFINITIONS[name], totals[0][name]) for name in CARDS if len(totals) == 1]
    rows = [(d, [t.get(d.name) for t in totals]) for d in (*COUNTS, *FIGURES)]
    return {
        "cards": [(d, value) for d, value in cards if value is not None],
        "summary": [(d, v) for d, v in rows if any(value is not None for value in v)],
    }


def _class_content(results: Results) -> dict[str, Any]:
    """Figures of each class, the confusion and the calibration."""
    models = results.models
    confusion = [_confusion(results, m) for m in models if results.confusion(m).counts.any()]
    calibrations = {m: results.calibration(m) for m in models}
    scored = {m: c for m, c in calibrations.items() if c.known.any()}
    return {
        "classes": _classes(results),
        "legend": results.classes(models[0]) if models else [],
        "scored": bool(confusion),
        "iou": _DEFINITIONS["miou"],
        "flicker": _DEFINITIONS["flicker"],
        "confusion": confusion,
        "calibration": reliability(scored) if scored else "",
    }


def _bag_content(results: Results) -> dict[str, Any]:
    """A row per bag and model, of the figures that any of them has."""
    bags = [(name, m, bag) for name in results.bags for m, bag in results.of_bag(name).items()]
    names = [n for n in BAG_FIGURES if any(bag["figures"][n] is not None for _, _, bag in bags)]
    rows = [
        {
            "bag": name,
            "model": model,
            "figures": [(_DEFINITIONS[n], bag["figures"][n]) for n in names],
            "error": bag["error"],
        }
        for name, model, bag in bags
    ]
    return {"bag_figures": [_DEFINITIONS[n] for n in names], "bag_rows": rows}


def _timeline_content(results: Results, worst: list[WorstFrame]) -> dict[str, Any]:
    bags = _bags_to_draw(results)
    return {
        "states": STATES | {"began anew": RESTART},
        "timelines": [(bag, _timeline(results, bag, worst)) for bag in bags],
        "timelines_left": len(results.bags) - len(bags),
    }


def _worst_content(worst: list[WorstFrame]) -> dict[str, Any]:
    return {
        "worst": [_worst_frame(frame) for frame in worst],
        "any_reference": any("reference" in f.pictures for f in worst),
        "any_grid": any("grid" in f.pictures for f in worst),
    }


def _fault_content(results: Results) -> dict[str, Any]:
    """What is wrong with the bags; faults are the bag's, so those of its first model are listed."""
    faults: list[dict[str, Any]] = []
    notes: dict[tuple[str, str], None] = {}
    faulty = 0
    for name in results.bags:
        bags = list(results.of_bag(name).values())
        faults += [{"bag": name, **fault} for fault in bags[0]["faults"]]
        faulty += bags[0]["faulty"]
        for bag in bags:
            texts = [*bag["notes"], *([bag["error"]] if bag["error"] else [])]
            notes |= dict.fromkeys((name, text) for text in texts)
    shown = faults[:FAULTS]
    return {
        "faults": shown,
        "faults_left": max(0, faulty - len(shown)),
        "notes": [{"bag": bag, "text": text} for bag, text in notes],
    }


def _configuration(results: Results) -> str:
    """Options as they were resolved, the topics that were read, the bundles; YAML."""
    metrics = results.metrics
    bundles = {
        name: {k: v for k, v in model["bundle"].items() if k != "classes"}
        for name, model in metrics["models"].items()
    }
    topics = {
        bag: {k: v for k, v in entry["topics"].items() if v is not None}
        for model in reversed(metrics["models"].values())
        for bag, entry in model["bags"].items()
    }
    return yaml.safe_dump(
        {
            "configuration": metrics["configuration"],
            "topics": topics,
            "bundles": bundles,
            "execution": metrics["execution"],
        },
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
    )


def _timing(results: Results) -> list[tuple[str, list[str]]]:
    """What was measured on this machine, a row per quantity and a column per model."""
    timings = [results.metrics["timing"][m]["totals"] for m in results.models]
    rows = [("device", [t["device"] for t in timings])]
    for name, title in (("p50", "median"), ("p95", "95th percentile"), ("max", "largest")):
        values = [t[f"latency_{name}_ms"] for t in timings]
        rows.append((f"latency, {title}", [f"{number(v)} ms" for v in values]))
    for stage, title in STAGES.items():
        values = [t["stages_ms"].get(stage) for t in timings]
        rows.append((f"{title}, median", [f"{number(v)} ms" for v in values]))
    memory = [t["device_memory_mb"] for t in timings]
    rows.append(("largest memory", [f"{number(v, 0)} MB" for v in memory]))
    rows.append(("time for all bags", [f"{number(t['seconds'], 0)} s" for t in timings]))
    return rows


def _comparison(comparison: dict[str, Any]) -> dict[str, Any]:
    """A comparison with its numbers as they are shown."""
    tones = {Verdict.BETTER: "good", Verdict.WORSE: "bad", Verdict.OPEN: "soft"}
    rows = []
    for d in comparison["differences"]:
        name, _, class_name = d["figure"].partition(".")
        definition = _DEFINITIONS["miou" if name == "iou" else name]
        scale = 100 if definition.unit == "%" else 1
        digits = definition.digits

        def shown(value: float, sign: str = "", scale: int = scale, digits: int = digits) -> str:
            return f"{scale * value:{sign}.{digits}f}"

        interval = "too few frames"
        if d["low"] is not None:
            interval = f"{shown(d['low'], '+')} to {shown(d['high'], '+')}"
        rows.append(
            {
                "title": f"IoU {class_name}" if class_name else definition.title,
                "before": f"{shown(d['before'])} {definition.unit}",
                "after": f"{shown(d['after'])} {definition.unit}",
                "difference": shown(d["after"] - d["before"], "+"),
                "interval": interval,
                "verdict": d["verdict"],
                "tone": tones[Verdict(d["verdict"])],
            }
        )
    return {**comparison, "differences": rows}


def _classes(results: Results) -> list[ClassRow]:
    totals = [results.metrics["models"][m]["totals"] for m in results.models]
    colours = {c["name"]: c["colour"] for m in results.models for c in results.classes(m)}
    share: dict[str, float] = {}
    for model in reversed(results.models):  # of the first model that has the class
        confusion = results.confusion(model)
        pixels = confusion.counts.sum(axis=1) + confusion.missed
        for c, count in zip(results.classes(model), pixels, strict=True):
            if pixels.any():
                share[c["name"]] = float(count / pixels.sum())
    return [
        ClassRow(
            name,
            tuple(colour),
            [t["iou"].get(name) for t in totals],
            [t["class_flicker"].get(name) for t in totals],
            share.get(name),
        )
        for name, colour in colours.items()
    ]


def _confusion(results: Results, model: str) -> dict[str, Any]:
    names = [c["name"] for c in results.classes(model)]
    confusion = results.confusion(model)
    counts = np.column_stack([confusion.counts, confusion.missed])
    if not confusion.missed.any():
        counts = counts[:, :-1]
    sums = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(sums, 1)
    rows = [
        {"name": name, "cells": [_cell(share, i == j, bool(sums[i])) for j, share in enumerate(r)]}
        for i, (name, r) in enumerate(zip(names, shares, strict=True))
    ]
    columns = names + ["no class"] * (counts.shape[1] - len(names))
    return {"model": model, "names": columns, "rows": rows}


def _cell(share: float, right: bool, occurs: bool) -> Cell:
    """Blue for what is right, red for what is not; the more, the darker."""
    if not occurs:
        return Cell("", "#f5f6f8", "#1d2127")
    strength = share if right else min(1.0, share * 2)
    target = np.array((37, 99, 171) if right else (179, 38, 30))
    colour = (1 - strength) * np.array((246, 247, 249)) + strength * target
    text = f"{100 * share:.1f}" if share >= 0.0005 else "0"
    hexadecimal = "#" + "".join(f"{round(v):02x}" for v in colour)
    return Cell(text, hexadecimal, "#fff" if strength > 0.55 else "#1d2127")


def _online(results: Results) -> list[dict[str, Any]]:
    return [
        {
            "bag": bag,
            "model": model,
            "offline": results.metrics["models"][model]["bags"][bag]["figures"],
            **online,
        }
        for model, bags in results.online.items()
        for bag, online in bags.items()
        if bag in results.metrics["models"][model]["bags"]
    ]


def _bags_to_draw(results: Results) -> tuple[str, ...]:
    """All bags; of more than ``TIMELINES`` the worst by mIoU, or by consistency without labels."""
    if len(results.bags) <= TIMELINES:
        return results.bags

    def badness(bag: str) -> tuple[bool, float]:
        figures = next(iter(results.of_bag(bag).values()))["figures"]
        unscored = figures["miou"] is None
        value = figures["temporal_consistency" if unscored else "miou"]
        return unscored, 1.0 if value is None else value

    return tuple(sorted(results.bags, key=badness)[:TIMELINES])


def _timeline(results: Results, bag: str, worst: list[WorstFrame]) -> str:
    curves = {}
    for model in results.models:
        curves[model] = results.frames(bag, model)
        curves[f"{model}, online"] = results.frames(bag, model, online=True)
    frames = {name: f for name, f in curves.items() if f is not None}
    return timeline(frames, sorted({w.seconds for w in worst if w.bag == bag}))


def _worst(results: Results) -> list[WorstFrame]:
    """The worst of all bags and models: those with references first."""
    frames = [f for b in results.bags for m in results.models for f in results.worst(b, m)]

    def badness(frame: WorstFrame) -> tuple[bool, float]:
        unscored = bool(np.isnan(frame.values["miou"]))
        return unscored, frame.values["consistency" if unscored else "miou"]

    return sorted(frames, key=badness)[:WORST]


def _worst_frame(frame: WorstFrame) -> dict[str, Any]:
    figures = []
    for curve in CURVES:
        value = frame.values[curve.name]
        if np.isfinite(value):
            scaled = 100 * value if curve.unit == "%" else value
            figures.append(f"{curve.title} {scaled:.{curve.digits}f} {curve.unit}".strip())
    return {
        "bag": frame.bag,
        "model": frame.model,
        "index": frame.index,
        "seconds": frame.seconds,
        "figures": figures,
        "pictures": [
            {"name": name, "data": data, "aspect": round(_aspect(data), 3)}
            for name, data in frame.pictures.items()
        ],
    }


def _aspect(jpeg: bytes) -> float:
    """Width over height."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return picture.width / picture.height
