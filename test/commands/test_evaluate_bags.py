"""``stmem evaluate BAGS``: from bags to results one trusts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support.bags import PERIOD, START, jpeg, panorama, write_bag
from support.small import SMALL, small_bank

from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import main
from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.evaluation.report import page
from stmem_ros.evaluation.results.bag_result import BagResult
from stmem_ros.evaluation.results.folder import TaskFolder
from stmem_ros.evaluation.tasks import bag_task
from stmem_ros.geometry.camera import CameraModel
from stmem_ros.io.bags import BAG_MESSAGES, CAMERA_INFO, RAW, BagReader, BagWriter
from stmem_ros.io.parquet import read_rows
from stmem_ros.model.bundle import ModelInfo, save_bundle
from stmem_ros.model.segmenter import Segmenter
from stmem_ros.streaming.segmenter import RestartKind

pytestmark = pytest.mark.end_to_end

COUNT = 20
SHORT = 5


def labels(seed: int) -> list[np.ndarray]:
    """Reference labels in blocks of 16 pixels, a few of them unlabelled."""
    random = np.random.default_rng(seed)
    blocks = random.choice([*range(11), 255], (6, 8 + COUNT)).astype(np.uint8)
    wide = blocks.repeat(16, 0).repeat(16, 1)
    return [np.ascontiguousarray(wide[:, 2 * i : 2 * i + 128]) for i in range(COUNT)]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    return write_bag(path, [jpeg(image) for image in panorama(COUNT)], labels(0))


@pytest.fixture(scope="module")
def short_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the bag."""
    path = tmp_path_factory.mktemp("bags") / "short"
    return write_bag(path, [jpeg(image) for image in panorama(SHORT)], labels(0)[:SHORT])


@pytest.fixture(scope="module")
def second_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As short, of another drive."""
    path = tmp_path_factory.mktemp("bags") / "second"
    images = [jpeg(image) for image in panorama(SHORT, seed=3)]
    return write_bag(path, images, labels(1)[:SHORT])


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``small_bundle``, with other weights."""
    torch.manual_seed(2)
    model, bank = Segmenter(SMALL).eval(), small_bank(1)
    model.mar.keys.data.copy_(bank.keys)
    model.mar.values.data.copy_(bank.values)
    folder = tmp_path_factory.mktemp("bundles") / "other"
    save_bundle(folder, model, ModelInfo("other", SMALL, CAMVID, height=96), bank)
    return folder


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the report takes as long as a short bag; tests of other things leave it away."""
    monkeypatch.setattr(page, "write_report", lambda folder: folder / "report.html")


def evaluate(out: Path, *arguments: object, code: int = 0) -> dict:
    words = ["evaluate", *map(str, arguments), "--device", "cpu", "--out", str(out)]
    assert main(words) == code
    return json.loads((out / "metrics.json").read_text())


def deterministic(metrics: dict) -> dict:
    return {k: v for k, v in metrics.items() if k not in ("timing", "execution")}


def test_a_bag_that_is_named_twice_is_refused_before_anything_is_written(
    short_bag: Path, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = [
        "evaluate",
        str(short_bag),
        f"{short_bag}/",
        "--model",
        str(small_bundle),
        "--out",
        str(out),
    ]
    assert main(words) == 1
    assert str(short_bag) in capsys.readouterr().err
    assert not out.exists()


def test_a_labelled_bag_scores_as_the_same_frames_of_a_data_set(
    tmp_path: Path, bag: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = evaluate(tmp_path / "out", bag, "--model", small_bundle)
    root = tmp_path / "camvid"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    names = [f"{i:03d}" for i in range(COUNT)]
    for name, image, label in zip(names, panorama(COUNT), labels(0), strict=True):
        (root / "images" / f"{name}.jpg").write_bytes(jpeg(image))
        from PIL import Image

        Image.fromarray(label).save(root / "labels" / f"{name}.png")
    run = {"split": "val", "sequence": "drive", "rate_hz": 10.0, "names": names}
    (root / "clips.json").write_text(json.dumps([run]))
    scores = tmp_path / "scores.json"
    arguments = ["--dataset", "camvid", "--root", str(root), "--model", str(small_bundle)]
    assert main(["evaluate", *arguments, "--device", "cpu", "--json", str(scores)]) == 0
    expected = json.loads(scores.read_text())
    totals = metrics["models"]["small"]["totals"]
    shared = ("miou", "iou", "pixel_accuracy", "boundary_f", "boundary_iou", "ece",
              "temporal_consistency", "flicker", "vc8", "vc16")  # fmt: skip
    assert {k: totals[k] for k in shared} == {k: expected[k] for k in shared}
    assert totals["vc16"] is not None and 0 < totals["miou"] < 1
    assert totals["frames"] == totals["labelled"] == totals["scored"] == COUNT
    assert totals["maps"] == 0 and totals["coverage"] is None
    out = capsys.readouterr().out
    assert "miou" in out and "iou road" in out


def test_the_results_say_what_was_evaluated_and_with_what(
    tmp_path: Path, bag: Path, small_bundle: Path
) -> None:
    copy = tmp_path / "copy.json"
    metrics = evaluate(
        tmp_path / "out", bag, "--model", small_bundle, "--drop", 0.2, "--seed", 5, "--json", copy
    )
    assert json.loads(copy.read_text()) == metrics
    assert (tmp_path / "out" / "report.html").is_file()
    assert metrics["configuration"]["replay"]["drop"] == 0.2
    assert metrics["configuration"]["bags"] == {"drive": str(bag)}
    bundle = metrics["models"]["small"]["bundle"]
    assert len(bundle["weights_sha256"]) == len(bundle["memory_sha256"]) == 64
    assert [c["name"] for c in bundle["classes"]] == [c.name for c in CAMVID]
    assert set(metrics["versions"]) >= {"python", "torch", "numpy"}
    one = metrics["models"]["small"]["bags"]["drive"]
    assert one["topics"]["label"] == "/camera/label" and one["error"] is None
    assert one["figures"]["dropped"] > 0
    timing = metrics["timing"]["small"]["totals"]
    assert timing["latency_p95_ms"] > 0 and set(timing["stages_ms"]) >= {"backbone", "costmap"}

    rows = pq.read_table(tmp_path / "out" / "frames.parquet").to_pylist()
    assert [row["index"] for row in rows] == list(range(COUNT))
    assert sum(row["state"] == "dropped" for row in rows) == one["figures"]["dropped"]
    hits, union = (np.sum([r[k] for r in rows if r[k]], axis=0) for k in ("hits", "union"))
    assert np.mean(hits[union > 0] / union[union > 0]) == pytest.approx(one["figures"]["miou"])
    changes, exposure = (sum(sum(r[k]) for r in rows if r[k]) for k in ("changes", "exposure"))
    assert changes / exposure == pytest.approx(one["figures"]["flicker"])
    assert read_rows(tmp_path / "out" / "timings.parquet").num_rows == one["figures"]["labelled"]


@pytest.mark.usefixtures("no_report")
def test_two_runs_are_equal_but_for_what_was_measured(
    tmp_path: Path, short_bag: Path, small_bundle: Path
) -> None:
    runs = [evaluate(tmp_path / name, short_bag, "--model", small_bundle) for name in "ab"]
    assert deterministic(runs[0]) == deterministic(runs[1])
    frames = [(tmp_path / name / "frames.parquet").read_bytes() for name in "ab"]
    assert frames[0] == frames[1]


@pytest.mark.usefixtures("no_report")
def test_a_bag_with_damaged_frames_finishes_and_names_them(
    tmp_path: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [jpeg(image) for image in panorama(60)]
    stamps = [START + i * PERIOD for i in range(60)]
    cut, small, back = (5, 15, 25, 35), (10, 30, 50), (20, 40, 55)
    for i in cut:
        images[i] = images[i][: len(images[i]) // 2]
    for i in small:
        images[i] = jpeg(np.zeros((48, 64, 3), np.uint8))
    for i in back:
        stamps[i] -= 7 * PERIOD
    bag = write_bag(tmp_path / "damaged", images, [np.zeros((96, 128), np.uint8)] * 60, stamps)
    metrics = evaluate(tmp_path / "out", bag, "--model", small_bundle)
    one = metrics["models"]["small"]["bags"]["damaged"]
    reasons = {fault["index"]: fault["reason"] for fault in one["faults"]}
    for which, named in ((cut, "JPEG"), (small, "64 x 48"), (back, "0.600 s")):
        assert all(named in reasons[i] for i in which)
    after = {i + 1 for i in small}  # where the size changes back
    assert set(reasons) == {*cut, *small, *back, *after}
    assert one["faulty"] == len(reasons) and one["figures"]["invalid"] == len(cut)
    assert one["figures"]["late"] == len(back)
    assert one["figures"]["scored"] == 60 - len(cut) - len(small) - len(back)
    rows = {r["index"]: r for r in pq.read_table(tmp_path / "out" / "frames.parquet").to_pylist()}
    assert len(rows) == 60
    assert "JPEG" in rows[5]["reason"] and rows[20]["state"] == "late"
    out = capsys.readouterr().out
    assert f"damaged: {len(reasons)} frames" in out and "frame 5 " in out


@pytest.mark.usefixtures("no_report")
def test_gaps_of_the_bag_are_named_and_those_of_drops_are_not(
    tmp_path: Path, small_bundle: Path
) -> None:
    stamps = [START + i * PERIOD + (i >= 30) * 20 * PERIOD for i in range(60)]
    bag = write_bag(tmp_path / "gap", [jpeg(image) for image in panorama(60)], stamps=stamps)
    arguments = (bag, "--model", small_bundle)
    one = evaluate(tmp_path / "all", *arguments)["models"]["small"]["bags"]["gap"]
    (fault,) = one["faults"]
    assert fault["index"] == 30 and RestartKind.GAP.value in fault["reason"]
    assert "2.100 s" in fault["reason"]
    few = evaluate(tmp_path / "few", *arguments, "--latency-model", 3000)
    assert few["models"]["small"]["totals"]["restarts"] > 0
    assert few["models"]["small"]["bags"]["gap"]["faults"] == []


@pytest.mark.usefixtures("no_report")
def test_bags_that_give_nothing_are_told_and_the_others_scored(
    tmp_path: Path, bag: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"\x89MCAP0\r\n nothing more")
    metrics = evaluate(tmp_path / "out", broken, bag, "--model", small_bundle, code=1)
    assert metrics["models"]["small"]["totals"]["frames"] == COUNT
    (failed,) = metrics["failed"]
    assert (failed["bag"], failed["model"]) == ("broken", "small")
    assert "broken.mcap" in failed["error"]
    assert "broken, small:" in capsys.readouterr().err
    assert main(["evaluate", str(broken), "--model", str(small_bundle), "--device", "cpu",
                 "--out", str(tmp_path / "none")]) == 1  # fmt: skip
    assert "broken.mcap" in capsys.readouterr().err


@pytest.mark.usefixtures("no_report")
def test_models_side_by_side_and_a_baseline_tell_what_differs(
    tmp_path: Path, bag: Path, small_bundle: Path, other_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    models = ("--model", small_bundle, "--model", other_bundle)
    metrics = evaluate(tmp_path / "both", bag, *models)
    (comparison,) = metrics["comparisons"]
    assert (comparison["before"], comparison["after"]) == ("small", "other")
    found = {d["figure"]: d for d in comparison["differences"]}
    totals = {name: model["totals"] for name, model in metrics["models"].items()}
    for figure in ("miou", "pixel_accuracy", "boundary_f", "temporal_consistency", "flicker",
                   "vc8"):  # fmt: skip
        assert found[figure]["before"] == pytest.approx(totals["small"][figure])
        assert found[figure]["after"] == pytest.approx(totals["other"][figure])
        low, high = found[figure]["low"], found[figure]["high"]
        assert low <= high
    baseline = tmp_path / "both" / "metrics.json"
    again = evaluate(
        tmp_path / "again", bag, "--model", other_bundle, "--baseline", baseline
    )["comparisons"][0]  # fmt: skip
    assert {d["verdict"] for d in again["differences"]} == {"no difference shown"}
    assert all(d["low"] == d["high"] == 0 for d in again["differences"])
    assert "interval" in capsys.readouterr().out


@pytest.mark.usefixtures("no_report")
def test_a_baseline_that_has_nothing_in_common_is_refused_before_the_work(
    tmp_path: Path, bag: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(tmp_path / "before", bag, "--model", small_bundle, "--duration", 0.3)
    baseline = tmp_path / "before" / "metrics.json"
    images = [jpeg(image) for image in panorama(2)]
    second = write_bag(tmp_path / "second", images)
    relabelled = tmp_path / "other" / bag.name
    with BagReader(bag) as source, BagWriter(relabelled) as copy:
        for record in source.records():
            topic = record.topic.replace("/camera/label", "/other/label")
            copy.write_cdr(topic, record.type, record.data, record.time)
    for arguments, named in (
        ([second], ("drive",)),
        ([bag, "--out", tmp_path / "before"], (str(tmp_path / "before"),)),
        ([bag], ("duration 0.3", "None")),
        ([bag, "--duration", "0.3", "--start", "0.1"], ("start 0.0", "0.1")),
        (["--duration", "0.3", relabelled], ("/camera/label", "/other/label")),
    ):
        words = ["--model", small_bundle, "--baseline", baseline, "--device", "cpu"]
        out = [] if "--out" in arguments else ["--out", tmp_path / "after"]
        assert main(["evaluate", *map(str, [*arguments, *words, *out])]) == 1
        error = capsys.readouterr().err
        assert str(baseline) in error and all(name in error for name in named)
    assert baseline.is_file() and not (tmp_path / "after").exists()


@pytest.mark.usefixtures("no_report")
def test_limits_set_the_exit_code(
    tmp_path: Path, short_bag: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ("--fail-under", "miou=0.001", "--fail-over", "latency_p95_ms=100000")
    evaluate(tmp_path / "kept", short_bag, "--model", small_bundle, *kept)
    broken = ("--fail-under", "miou=0.999", "--fail-over", "iou.road=2")
    evaluate(tmp_path / "broken", short_bag, "--model", small_bundle, *broken, code=3)
    error = capsys.readouterr().err
    assert "small: miou" in error and "0.999" in error
    simulated = ("--latency-model", 150, "--fail-over", "latency_p95_ms=120")
    metrics = evaluate(tmp_path / "slow", short_bag, "--model", small_bundle, *simulated, code=3)
    assert metrics["models"]["small"]["totals"]["latency_p50_ms"] >= 150


@pytest.mark.usefixtures("no_report")
def test_several_processes_give_the_same_results_as_one(
    tmp_path: Path, short_bag: Path, second_bag: Path, small_bundle: Path
) -> None:
    arguments = (short_bag, second_bag, "--model", small_bundle)
    one = evaluate(tmp_path / "one", *arguments)
    two = evaluate(tmp_path / "two", *arguments, "--jobs", 2)
    assert deterministic(one) == deterministic(two)
    assert one["models"]["small"]["totals"]["frames"] == 2 * SHORT


@pytest.mark.usefixtures("no_report")
def test_a_resumed_run_keeps_what_is_finished_and_still_true(
    tmp_path: Path,
    short_bag: Path,
    second_bag: Path,
    small_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = (short_bag, second_bag, "--model", small_bundle)
    whole = evaluate(out, *arguments)
    marks = {name: out / "bags" / name / "small" / "result.json" for name in ("short", "second")}
    marks["second"].unlink()
    before = marks["short"].stat().st_mtime_ns
    resumed = evaluate(out, *arguments, "--resume")
    assert deterministic(resumed) == deterministic(whole)
    assert marks["short"].stat().st_mtime_ns == before
    assert BagResult.read(TaskFolder(marks["second"].parent)).bag == "second"
    assert "1 of 2 " in capsys.readouterr().out
    evaluate(out, *arguments, "--resume", "--drop", 0.3)  # another question
    assert marks["short"].stat().st_mtime_ns != before


@pytest.mark.parametrize(("name", "value"), [("package_version", lambda: "0.0"), ("FORMAT", 0)])
def test_what_another_version_made_is_not_kept(
    short_bag: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    before = bag_task.task_key(short_bag, small_bundle, {})
    assert bag_task.task_key(short_bag, small_bundle, {}) == before
    monkeypatch.setattr(bag_task, name, value)
    assert bag_task.task_key(short_bag, small_bundle, {}) != before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], ("bags", "--dataset")),
        (["BAG", "--dataset", "camvid"], ("bags", "--dataset")),
        (["BAG", "--ablate"], ("--ablate", "--dataset alone")),
        (["--dataset", "camvid", "--drop", "0.1"], ("--drop", "bags alone")),
        (["BAG", "--fail-under", "beauty=1"], ("'beauty'",)),
        (["BAG", "--fail-over", "miou"], ("'miou'", "FIGURE=NUMBER")),
        (["BAG", "--latency-model", "fast"], ("'fast'", "milliseconds")),
        (["BAG", "--latency-model", "-3"], ("-3.0 ms",)),
        (["BAG", "--rate", "2"], ("--latency-model",)),
        (["BAG", "--jobs", "0"], ("jobs is 0",)),
        (["BAG", "--address", "here"], ("address", "ray")),
        (["BAG", "--baseline", "nothing.json"], ("nothing.json",)),
        (["BAG", "--model", "nobody"], ("'nobody'",)),
        (["nowhere"], ("nowhere",)),
        (["BAG", "--topic", "/rear"], ("'/rear'",)),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path, bag: Path, small_bundle: Path, arguments: list[str],
    named: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [str(bag) if word == "BAG" else word for word in arguments]
    if words and "--dataset" not in words:
        words += ["--out", str(tmp_path / "out")]
        words += [] if "--model" in words else ["--model", str(small_bundle)]
    assert main(["evaluate", *words, "--device", "cpu"]) == 1
    error = capsys.readouterr().err.strip()
    assert all(name in error for name in named) and len(error.splitlines()) == 1


def world_bag(path: Path, camera_frame: str = "camera") -> Path:
    """A bag with a calibration, but no transforms."""
    header = BAG_MESSAGES.header(START, camera_frame)
    camera = CameraModel(128, 96, ((100.0, 0.0, 63.5), (0.0, 100.0, 47.5), (0.0, 0.0, 1.0)))
    with BagWriter(path) as bag:
        info = BAG_MESSAGES.camera_info(camera, header)
        bag.write("/camera/camera_info", CAMERA_INFO, info, START)
        for i, rgb in enumerate(panorama(3)):
            time = START + i * PERIOD
            image = BAG_MESSAGES.image(rgb, BAG_MESSAGES.header(time, camera_frame))
            bag.write("/camera/image_raw", RAW, image, time)
    return path


def test_a_run_without_a_grid_is_no_success_and_says_why(
    tmp_path: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = world_bag(tmp_path / "bag")
    words = (bag, "--model", small_bundle, "--force")
    metrics = evaluate(tmp_path / "out", *words, code=1)
    (fault,) = metrics["faults"]
    assert fault["kind"] == "no_grid" and fault["bag"] == "bag"
    (missing,) = metrics["models"]["small"]["bags"]["bag"]["missing_grids"]
    assert (missing["kind"], missing["frames"]) == ("no_transform", 3)
    said = "".join(capsys.readouterr())
    report = (tmp_path / "out" / "report.html").read_text()
    for text in (said, report):
        assert "no_grid" in text and "no_transform" in text
    evaluate(tmp_path / "out", *words, "--allow", "no_grid", code=0)
    assert main(["evaluate", str(bag), "--allow", "nothing", "--out", str(tmp_path / "o")]) == 1


def test_nothing_replayed_nothing_labelled_and_fewer_frames_are_no_success(
    tmp_path: Path, bag: Path, small_bundle: Path, no_report: None
) -> None:
    words = ("--model", small_bundle)
    metrics = evaluate(tmp_path / "late", bag, *words, "--start", "100", code=1)
    assert [fault["kind"] for fault in metrics["faults"]] == ["no_frame"]
    broken = write_bag(tmp_path / "broken", [b"no image"] * 3)
    metrics = evaluate(tmp_path / "none", broken, *words, code=1)
    assert [fault["kind"] for fault in metrics["faults"]] == ["no_labelled_frame"]
    promised = write_bag(tmp_path / "promised", [jpeg(image) for image in panorama(2)])
    metadata = promised / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 2", "message_count: 7"))
    metrics = evaluate(tmp_path / "few", promised, *words, code=1)
    assert [fault["kind"] for fault in metrics["faults"]] == ["fewer_frames"]
    assert metrics["models"]["small"]["totals"]["labelled"] == 2
    evaluate(tmp_path / "allowed", promised, *words, "--allow", "fewer_frames", code=0)


def test_points_that_were_asked_for_and_of_no_use_are_no_success(
    tmp_path: Path, small_bundle: Path, no_report: None
) -> None:
    create_synthetic_bag(tmp_path / "drive", "straight", seed=2, frames=2, rate=10.0)
    words = ("--model", small_bundle)
    metrics = evaluate(tmp_path / "not_asked", tmp_path / "drive", *words, code=0)
    assert not metrics["faults"]
    colours = ("--points-topic", "/camera/image_raw")  # no depth
    metrics = evaluate(tmp_path / "asked", tmp_path / "drive", *words, *colours, code=1)
    (fault,) = metrics["faults"]
    assert fault["kind"] == "no_points" and "/camera/image_raw" in fault["text"]


def test_whether_images_are_rectified_is_said_or_guessed(
    tmp_path: Path, bag: Path, small_bundle: Path, no_report: None
) -> None:
    for words, expected in (((), False), (("--rectified",), True), (("--raw",), False)):
        out = tmp_path / "".join(("out", *words))
        metrics = evaluate(out, bag, "--model", small_bundle, "--duration", "0.2", *words)
        assert metrics["models"]["small"]["bags"]["drive"]["rectified"] is expected


@pytest.mark.parametrize("name", ["masks", "cost_rules", "memory_bank"])
def test_a_missing_file_is_told_with_the_parameter_that_names_it(
    short_bag: Path, small_bundle: Path, tmp_path: Path, capsys, name: str
) -> None:
    missing = str(tmp_path / "missing.png")
    values = {name: [missing] if name == "masks" else missing}
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps({"segmentation_node": {"ros__parameters": values}}))
    arguments = ["--params", params, "--model", small_bundle, "--out", tmp_path / "out"]
    assert main(["evaluate", *map(str, (short_bag, *arguments))]) == 1
    told = capsys.readouterr().err
    assert f"parameter {name} names the file {missing}, which cannot be read: No such" in told
    assert "Errno" not in told
