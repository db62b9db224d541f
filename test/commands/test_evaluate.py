"""``stmem evaluate`` on a small video folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import main
from stmem_ros.data import disturbance
from stmem_ros.model.ablation import assemble
from stmem_ros.model.bundle import load_bundle
from stmem_ros.streaming.segmenter import StreamingSegmenter

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def clip(tmp_path: Path, frames: list[np.ndarray], small_bundle: Path) -> Path:
    """A folder of one sequence; every second frame is labelled, with the small network's labels."""
    root = tmp_path / "clip"
    sequence = root / "val" / "walk"
    (sequence / "images").mkdir(parents=True)
    (sequence / "labels").mkdir()
    classes = [{"name": c.name, "colour": list(c.colour)} for c in CAMVID]
    (root / "dataset.yaml").write_text(yaml.safe_dump({"rate": 10.0, "classes": classes}))
    stream = StreamingSegmenter(load_bundle(small_bundle, "cpu"))
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(sequence / "images" / f"{i}.png")
        label = stream.push(frame, i / 10).label
        if i % 2:
            Image.fromarray(label).save(sequence / "labels" / f"{i}.png")
    return root


def evaluate(clip: Path, model: Path, *more: str) -> dict:
    out = clip.parent / "scores.json"
    arguments = ["--dataset", "video_folder", "--root", str(clip), "--model", str(model)]
    assert main(["evaluate", *arguments, "--device", "cpu", "--json", str(out), *more]) == 0
    return json.loads(out.read_text())


def test_a_model_that_gives_the_reference_labels_scores_one(
    clip: Path, small_bundle: Path, capsys
) -> None:
    scores = evaluate(clip, small_bundle)
    assert scores["miou"] == scores["pixel_accuracy"] == scores["boundary_iou"] == 1
    assert scores["boundary_f"] in (1, None)  # an untrained network may see one class alone
    assert scores["frames"] == 3
    assert 0 < scores["temporal_consistency"] < 1
    assert scores["vc8"] is None  # too short
    assert scores["parameters"] > 3e6 and scores["gflop_per_frame"] > 0.1
    assert "mIoU" in capsys.readouterr().out


def test_ablation_puts_the_variants_and_the_flow_average_side_by_side(
    clip: Path, small_run: Path, capsys
) -> None:
    assemble(small_run, clip.parent / "bundle")
    scores = evaluate(clip, clip.parent / "bundle", "--ablate")
    assert list(scores["variants"]) == ["frame", "stf", "frame_mar", "mar", "flow"]
    assert scores["variants"]["mar"]["miou"] == scores["miou"]
    cost = {name: v["gflop_per_frame"] for name, v in scores["variants"].items()}
    assert cost["frame"] < cost["frame_mar"] < cost["stf"] < cost["mar"]
    header = capsys.readouterr().out.splitlines()[0]
    assert header.split("  ")[-1].strip() == "flow average" and "baseline" in header


def test_robustness_scores_the_same_clip_with_disturbed_images(
    clip: Path, small_bundle: Path, capsys
) -> None:
    scores = evaluate(clip, small_bundle, "--robustness")
    disturbed = scores["disturbed"]
    assert disturbed["none"]["miou"] == scores["miou"]
    assert disturbed["noise 15"]["miou"] < 1
    assert "half as bright" in capsys.readouterr().out


def test_with_both_the_variants_are_compared_on_disturbed_images_too(
    clip: Path, small_run: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = tuple(d for d in disturbance.DISTURBANCES if d.name in ("none", "noise 15"))
    monkeypatch.setattr(disturbance, "DISTURBANCES", two)
    assemble(small_run, clip.parent / "bundle")
    scores = evaluate(clip, clip.parent / "bundle", "--ablate", "--robustness")
    noisy = scores["disturbed"]["noise 15"]
    assert list(noisy["variants"]) == list(scores["variants"])
    assert noisy["variants"]["mar"]["miou"] == noisy["miou"]
    assert noisy["variants"]["flow"] != scores["variants"]["flow"]
    assert "images: noise 15" in capsys.readouterr().out


def test_a_data_set_with_other_classes_is_refused(clip: Path, small_bundle: Path, capsys) -> None:
    path = clip / "dataset.yaml"
    path.write_text(path.read_text().replace("road", "canal"))
    arguments = ["--dataset", "video_folder", "--root", str(clip), "--model", str(small_bundle)]
    assert main(["evaluate", *arguments]) == 1
    assert "'canal'" in capsys.readouterr().err


def test_a_frame_that_is_too_small_to_be_labelled_is_named(
    clip: Path, small_bundle: Path, capsys
) -> None:
    for folder in ("images", "labels"):
        path = clip / "val" / "walk" / folder / "3.png"
        Image.open(path).resize((40, 16), Image.Resampling.NEAREST).save(path)
    arguments = ["--dataset", "video_folder", "--root", str(clip), "--model", str(small_bundle)]
    assert main(["evaluate", *arguments]) == 1
    error = capsys.readouterr().err
    assert "walk/3" in error and "40 x 16" in error


def test_intervals_score_each_frame_once_at_every_rate(clip: Path, small_run: Path, capsys) -> None:
    assemble(small_run, clip.parent / "bundle")
    scores = evaluate(clip, clip.parent / "bundle", "--intervals")
    by_interval = scores["disturbed"]
    assert list(scores["variants"]) == ["frame", "stf", "frame_mar", "mar"]
    for name in ("1 of 2 frames", "1 of 12 frames"):
        variants = by_interval[name]["variants"]
        assert {v["frames"] for v in variants.values()} == {scores["frames"]}
        # Each frame alone is labelled alike at any rate.
        assert variants["frame"]["miou"] == scores["variants"]["frame"]["miou"]
    assert by_interval["50 % dropped"]["frames"] < scores["frames"]
    out = capsys.readouterr().out
    assert "1 of 4 frames" in out and "worst class" in out


def test_intervals_do_not_go_with_other_comparisons(clip: Path, small_bundle: Path, capsys) -> None:
    arguments = ["--dataset", "video_folder", "--root", str(clip), "--model", str(small_bundle)]
    assert main(["evaluate", *arguments, "--intervals", "--ablate"]) == 1
    assert "--intervals" in capsys.readouterr().err


def test_a_network_whose_values_are_not_finite_is_told_in_a_line(
    clip: Path, damaged_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--dataset", "video_folder", "--root", clip, "--model", damaged_bundle]
    assert main(["evaluate", *map(str, arguments)]) == 1
    assert "the network's values are not finite" in capsys.readouterr().err
