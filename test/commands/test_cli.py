"""``stmem`` as its users type it: output, errors in one line, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from PIL import Image

from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import COMMANDS, main
from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.io.bags import BagReader
from stmem_ros.io.output_folder import claim_folder, remove_folder
from stmem_ros.model.bundle import bundle_folder, read_info, shipped_bundles


@pytest.fixture(scope="module")
def drive_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    create_synthetic_bag(path, "straight", seed=2, frames=4, rate=10.0)
    return path


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_shows_an_example(command: tuple[str, ...], capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "example: stmem" in text or "ACTION" in text


def test_a_bag_is_made_from_images_and_listed(tmp_path: Path, capsys) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        Image.fromarray(np.full((48, 64, 3), 40 * i, np.uint8)).save(images / f"{i}.png")
    bag = tmp_path / "bag"
    arguments = ["--images", str(images), "--rate", "4", "--camera-height", "1.2"]
    assert main(["bag", "create", str(bag), *arguments]) == 0
    capsys.readouterr()
    assert main(["bag", "info", str(bag), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["duration_s"] == pytest.approx(0.5)
    counts = {t["name"]: t["count"] for t in listed["topics"]}
    assert counts == {"/camera/image_raw/compressed": 3, "/tf_static": 1}


def test_a_video_becomes_a_bag_of_its_frames(tmp_path: Path) -> None:
    import cv2

    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (64, 48))
    for i in range(5):
        video.write(np.full((48, 64, 3), 50 * i, np.uint8))
    video.release()
    assert main(["bag", "create", str(tmp_path / "bag"), "--video", str(tmp_path / "v.avi")]) == 0
    with BagReader(tmp_path / "bag") as bag:
        assert [t.count for t in bag.topics] == [5]
        assert bag.duration == pytest.approx(0.5)


def with_ros(arguments: tuple[str, ...], named: tuple[str, ...]) -> ParameterSet:
    return pytest.param(arguments, named, marks=pytest.mark.ros)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("bag", "info", "/nowhere"), ("/nowhere",)),
        with_ros(("bag", "play", "/nowhere"), ("/nowhere",)),
        with_ros(("bag", "play", "/nowhere", "--rate", "0"), ("--rate", "0.0")),
        with_ros(("bag", "play", "/nowhere", "--remap", "a"), ("--remap", "FROM:=TO")),
        (("bag", "create", "/tmp/stmem-none", "--images", "/nowhere"), ("/nowhere",)),
        (("bag", "create", "/tmp/stmem-none", "--synthetic", "moon"), ("'moon'", "straight")),
        *(
            (("bag", "create", "/tmp/stmem-none", *source, *option), (*option, "allowed"))
            for source in (("--synthetic", "turn"), ("--images", "/n"))
            for option in (
                ("--frames", "-1"),
                ("--frames", "0"),
                ("--seed", "-1"),
                ("--rate", "1e-09"),
                ("--rate", "1e+22"),
                ("--rate", "nan"),
                ("--camera-height", "nan"),
                ("--camera-pitch", "nan"),
            )
        ),
        with_ros(("demo", "--bag", "/nowhere", "--out", "/tmp/stmem-none"), ("/nowhere",)),
        with_ros(("demo", "--model", "nonesuch"), ("'nonesuch'",)),
        (("model", "info", "nonesuch"), ("'nonesuch'",)),
        (("doctor", "--size", "big"), ("--size", "'big'")),
        (("bench", "core", "--repeats", "0"), ("--repeats", "from 1")),
        (("bench", "core", "--cameras", "-2"), ("--cameras", "from 1")),
        (("evaluate", "/nowhere", "--ablate"), ("--ablate", "--dataset alone")),
        (("evaluate", "--dataset", "camvid", "--out", "x"), ("--out", "bags alone")),
        (
            ("evaluate", "--dataset", "camvid", "--root", "/nowhere", "--model", "onboard"),
            ("/nowhere/clips.json", "/nowhere/val.txt"),
        ),
        (
            ("train", "frame", "--config", "/no.yaml", "--data", "/n", "--run", "/tmp/r"),
            ("/no.yaml",),
        ),
    ],
)
def test_mistakes_get_one_line_and_exit_code_1(
    arguments: tuple[str, ...], named: tuple[str, ...], capsys
) -> None:
    assert main(list(arguments)) == 1
    error = capsys.readouterr().err.strip()
    assert all(name in error for name in named)
    assert error.startswith(f"stmem {arguments[0]}: ") and "\n" not in error


def test_a_command_that_needs_ros_says_so_where_it_is_not(monkeypatch, capsys) -> None:
    loaded = [name for name in sys.modules if name.startswith(("stmem_ros.online", "rclpy"))]
    for name in loaded:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert main(["bag", "play", "/nowhere"]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("stmem bag: ") and "rclpy" in error and "\n" not in error


@pytest.mark.parametrize("word", ["bag", "nonsense"])
def test_wrong_usage_gets_exit_code_2(word: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word])
    assert ended.value.code == 2


def test_model_info_tells_what_is_in_a_bundle(small_bundle: Path, capsys) -> None:
    assert main(["model", "info", str(small_bundle)]) == 0
    text = capsys.readouterr().out
    assert "small" in text and "backbone" in text and "bicyclist" in text


@pytest.mark.ros
class TestDemo:
    """The whole demo with a small network: node, player and recorder over Fast DDS."""

    @pytest.mark.slow
    @pytest.mark.parametrize("name", shipped_bundles())
    def test_every_shipped_bundle_is_shown(
        self, name: str, drive_bag: Path, tmp_path: Path, start_stmem, ros_domain: None
    ) -> None:
        out = tmp_path / "out"
        demo = start_stmem("demo", "--bag", drive_bag, "--model", name, "--out", out)
        assert demo.exit_code(timeout=240) == 0, demo.text()
        summary = json.loads((out / "summary.json").read_text())
        assert summary["labels_out"] == 4 <= summary["costmaps_out"]
        has_the_bags_classes = len(read_info(bundle_folder(name)).classes) == len(CAMVID)
        assert (summary["miou"] is not None) == has_the_bags_classes

    def test_it_leaves_everything_a_user_looks_for(
        self, drive_bag: Path, small_bundle: Path, tmp_path: Path, start_stmem, ros_domain: None
    ) -> None:
        out = tmp_path / "out"
        demo = start_stmem("demo", "--bag", drive_bag, "--model", small_bundle, "--out", out)
        assert demo.exit_code(timeout=240) == 0, demo.text()
        summary = json.loads((out / "summary.json").read_text())
        assert summary["frames_in"] == summary["labels_out"] == 4
        assert summary["costmaps_out"] == 4
        assert summary["dropped"] == 0
        assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]
        assert 0 <= summary["miou"] < 0.5  # a random network against the bag's labels
        assert (summary["model"], summary["device"]) == ("small", "cpu")
        page = (out / "index.html").read_text()
        assert "overlay.mp4" in page and "costmap.png" in page
        with Image.open(out / "costmap.png") as picture:
            assert picture.size == (480 + 360, 360)
        self.check_video(out / "overlay.mp4")
        with BagReader(out / "output") as bag:
            counts = {t.name.removeprefix("/segmentation_node/"): t.count for t in bag.topics}
        assert counts["label"] == counts["costmap"] == counts["statistics"] == 4
        assert "Traceback" not in (out / "node.log").read_text()

    def test_a_killed_one_leaves_nothing_that_the_next_one_refuses(
        self, small_bundle: Path, tmp_path: Path, start_stmem, ros_domain: None
    ) -> None:
        out = tmp_path / "out"
        demo = start_stmem("demo", "--model", small_bundle, "--out", out)
        end = time.monotonic() + 60
        while not (out / "input").is_dir():
            assert demo.is_running() and time.monotonic() < end, demo.text()
            time.sleep(0.01)
        demo.kill()  # while it renders
        claim_folder(out)
        remove_folder(out / "input")

    @staticmethod
    def check_video(path: Path) -> None:
        import av

        with av.open(str(path)) as video:
            stream = video.streams.video[0]
            frames = list(video.decode(stream))
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"  # what browsers play
            assert len(frames) == 4
            assert frames[-1].to_ndarray(format="rgb24").std() > 10

    def test_a_bag_without_images_is_named(
        self, small_bundle: Path, tmp_path: Path, capsys
    ) -> None:
        from stmem_ros.io.bags import BAG_MESSAGES, TF, BagWriter

        pose = BAG_MESSAGES.transform(np.eye(4), "base", BAG_MESSAGES.header(0, "odom"))
        with BagWriter(tmp_path / "bag") as bag:
            bag.write("/tf", TF, pose, 0)
        arguments = ["--bag", tmp_path / "bag", "--model", small_bundle, "--out", tmp_path / "o"]
        assert main(["demo", *map(str, arguments)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("stmem demo: ") and error.count("\n") == 1
        assert "images" in error and "/tf (tf2_msgs/msg/TFMessage)" in error

    def test_an_encoding_that_is_not_supported_is_named(
        self, small_bundle: Path, tmp_path: Path, start_stmem, ros_domain: None
    ) -> None:
        from stmem_ros.io.bags import BAG_MESSAGES, RAW, BagWriter

        header = BAG_MESSAGES.header(10**9, "camera")
        message = BAG_MESSAGES.image(np.zeros((48, 64, 3), np.uint8), header)
        message.encoding = "64FC9"
        with BagWriter(tmp_path / "bag") as bag:
            bag.write("/image_raw", RAW, message, 10**9)
        arguments = ("--bag", tmp_path / "bag", "--model", small_bundle, "--out", tmp_path / "o")
        demo = start_stmem("demo", *arguments)
        assert demo.exit_code(timeout=240) == 1
        error = demo.text().strip().splitlines()[-1]
        assert error.startswith("stmem demo: ") and "'64FC9'" in error and "rgb8" in error

    def test_an_unknown_topic_is_named(
        self, drive_bag: Path, small_bundle: Path, tmp_path: Path, capsys
    ) -> None:
        arguments = ["--bag", drive_bag, "--model", small_bundle, "--topic", "/front"]
        assert main(["demo", *map(str, arguments), "--out", str(tmp_path / "o")]) == 1
        error = capsys.readouterr().err
        assert "'/front'" in error and error.count("\n") == 1


def test_playing_names_a_topic_that_is_not_there(
    drive_bag: Path, start_stmem, ros_domain: None
) -> None:
    player = start_stmem("bag", "play", drive_bag, "--topics", "/moon")
    assert player.exit_code(timeout=60) == 1
    assert "'/moon'" in player.text() and "/camera/camera_info" in player.text()


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "stmem_ros.commands.stmem", "model", "info", "onboard"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("bag create {0}/bag --images {0} --names {0}/none.txt", "{0}/none.txt: No such file"),
        ("evaluate {0} --out /proc/out", "/proc/out: No such file"),
        ("evaluate {0} --out {0}/out --baseline {0}/none.json", "{0}/none.json cannot be read: No"),
        ("evaluate {0} --out {0}/out --baseline {0}/page", "evaluate`: it is no JSON"),
        ("evaluate {0} --out {0}/out --latency-model {0}/page.json", "be milliseconds, or JSON"),
        ("evaluate {0} --out {0}/out --model {0}/bundle", "weights.safetensors cannot be read: No"),
    ],
)
def test_files_that_are_missing_or_other_things_are_told_in_our_own_words(
    drive_bag: Path, tmp_path: Path, capsys, arguments: str, told: str
) -> None:
    folder = tmp_path / "drive"
    shutil.copytree(drive_bag, folder)
    (folder / "bundle").mkdir()
    shutil.copy(bundle_folder("onboard") / "model.yaml", folder / "bundle")
    for name in ("page", "page.json"):
        (folder / name).write_text("<!DOCTYPE html>")
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "a.png")
    assert main(arguments.format(folder).split()) == 1
    error = capsys.readouterr().err
    assert told.format(folder) in error
    assert "Errno" not in error and "Error" not in error
