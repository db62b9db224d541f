"""Offline replay: what becomes of each image of a bag."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from rosbags.convert.converter import convert
from support.bags import PERIOD, START, jpeg, panorama, write_bag
from support.small import SMALL

from stmem_ros.classes import CAMVID
from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.evaluation.replay.bag_replay import BagReplay
from stmem_ros.evaluation.replay.latency import LatencyModel
from stmem_ros.evaluation.replay.replay_options import ReplayOptions
from stmem_ros.evaluation.replay.replayed_frame import FrameState, ReplayedFrame
from stmem_ros.io.bags import (
    BAG_MESSAGES,
    COMPRESSED,
    RAW,
    BagError,
    BagReader,
    BagWriter,
    types,
)
from stmem_ros.io.images import decode_compressed
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo
from stmem_ros.pipeline import PipelineConfig
from stmem_ros.streaming.segmenter import StreamingSegmenter


def replay(
    bag: Path, model: BundledSegmenter, options: ReplayOptions | None = None
) -> tuple[list[ReplayedFrame], BagReplay]:
    with BagReader(bag) as reader:
        run = BagReplay(reader, model, options or ReplayOptions(), PipelineConfig())
        return list(run.frames()), run


def states(frames: list[ReplayedFrame]) -> list[str]:
    return [frame.state.value for frame in frames]


@pytest.fixture
def plain_bag(tmp_path: Path) -> Path:
    """Ten images, the even ones with labels."""
    images = panorama(10)
    labels = [np.full((96, 128), i, np.uint8) if i % 2 == 0 else None for i in range(10)]
    return write_bag(tmp_path / "plain", [jpeg(image) for image in images], labels)


def test_every_image_goes_through_the_stream_with_its_reference(
    plain_bag: Path, small_model: BundledSegmenter
) -> None:
    frames, run = replay(plain_bag, small_model)
    assert states(frames) == ["labelled"] * 10
    stream = StreamingSegmenter(small_model)
    for i, frame in enumerate(frames):
        expected = stream.push(decode_compressed(jpeg(panorama(10)[i])), i / 10)
        assert np.array_equal(frame.label, expected.label)
        assert np.array_equal(frame.confidence, expected.confidence)
        assert (frame.index, frame.stamp) == (i, START + i * PERIOD)
        assert frame.window == min(i + 1, SMALL.window)
        assert (frame.reference is not None) == (i % 2 == 0)
        assert frame.reference is None or (frame.reference == i).all()
        assert frame.map is None and "CameraInfo" in frame.map_problem
    assert run.error == "" and run.notes == ()
    assert run.topics["label"] is not None and run.topics["info"] is None


def test_start_and_duration_choose_a_part(plain_bag: Path, small_model: BundledSegmenter) -> None:
    frames, run = replay(plain_bag, small_model, ReplayOptions(start=0.25, duration=0.4))
    assert [frame.stamp - START for frame in frames] == [i * PERIOD for i in (3, 4, 5, 6)]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert run.notes == ()  # labels outside the part are not missed


def test_drops_are_the_same_in_every_run_and_others_with_another_seed(
    plain_bag: Path, small_model: BundledSegmenter
) -> None:
    some = ReplayOptions(drop=0.5)
    runs = [states(replay(plain_bag, small_model, some)[0]) for _ in range(2)]
    other = states(replay(plain_bag, small_model, dataclasses.replace(some, seed=3))[0])
    assert runs[0] == runs[1] != other
    assert 0 < runs[0].count("dropped") < 10


def test_a_slow_machine_takes_the_newest_image_and_misses_the_others(
    plain_bag: Path, small_model: BundledSegmenter
) -> None:
    slow = ReplayOptions(latency=LatencyModel((0.5,), (250.0,)))
    frames, _ = replay(plain_bag, small_model, slow)
    # Image 0 is done at 0.25 s, when 2 waits (1 was replaced); 2 at 0.5, when 4 waits; and so on.
    labelled = [f for f in frames if f.state is FrameState.LABELLED]
    assert [f.index for f in labelled] == [0, 2, 4, 7, 9]
    assert [round(f.latency, 3) for f in labelled] == [0.25, 0.3, 0.35, 0.3, 0.35]
    assert [f.index for f in frames] == list(range(10))
    assert "newer image" in frames[1].reason
    fast, _ = replay(plain_bag, small_model, dataclasses.replace(slow, rate=0.25))
    assert states(fast) == ["labelled"] * 10


def test_damaged_frames_are_named_and_the_others_labelled(
    tmp_path: Path, small_model: BundledSegmenter
) -> None:
    images = [jpeg(image) for image in panorama(12)]
    stamps = [START + i * PERIOD for i in range(12)]
    images[2] = images[2][:500]  # cut
    images[4] = b"no image"
    images[6] = jpeg(np.zeros((64, 64, 3), np.uint8))
    stamps[9] = START + 3 * PERIOD
    stamps[10:] = [START - 9 * PERIOD, START - 8 * PERIOD]
    bag = write_bag(tmp_path / "bag", images, [np.zeros((96, 128), np.uint8)] * 12, stamps)
    frames, run = replay(bag, small_model)
    assert [f.index for f in frames if f.state is FrameState.INVALID] == [2, 4]
    assert "cut off" in frames[2].reason and "no JPEG" in frames[4].reason
    assert "image size changed to 64 x 64" in frames[6].restart.text
    assert "the reference has 128 x 96 pixels, the image 64 x 64" in frames[6].reference_problem
    assert "image size changed to 128 x 96" in frames[7].restart.text
    assert [f.index for f in frames if f.state is FrameState.LATE] == [9]
    assert "0.500 s" in frames[9].reason
    assert "time went back" in frames[10].restart.text
    assert [f.index for f in frames if f.restart] == [6, 7, 10]
    assert run.error == ""


def test_a_message_that_is_no_image_is_one_invalid_frame(
    tmp_path: Path, small_model: BundledSegmenter
) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for i, image in enumerate(panorama(3)):
            header = BAG_MESSAGES.header(START + i * PERIOD, "camera")
            message = BAG_MESSAGES.image(image, header)
            data = bytes(types().serialize_cdr(message, RAW))
            bag.write_cdr("/image_raw", RAW, data[:20] if i == 1 else data, START + i * PERIOD)
    frames, _ = replay(tmp_path / "bag", small_model)
    assert states(frames) == ["labelled", "invalid", "labelled"]
    assert "not a sensor_msgs/msg/Image" in frames[1].reason
    assert str(tmp_path) not in frames[1].reason  # so that frames of one reason are told together
    assert frames[1].stamp == START + PERIOD


@pytest.fixture
def large_bag(tmp_path: Path) -> tuple[Path, list[bytes]]:
    """A bag of eight images in several chunks of the file, and the images."""
    random = np.random.default_rng(0)
    images = [jpeg(random.integers(0, 256, (512, 512, 3), np.uint8)) for _ in range(8)]
    assert len(images[0]) > 2**18
    return write_bag(tmp_path / "large", images), images


def test_a_bag_damaged_in_the_middle_is_replayed_up_to_there(
    large_bag: tuple[Path, list[bytes]], small_model: BundledSegmenter
) -> None:
    path, _ = large_bag
    file = path / "large.mcap"
    content = bytearray(file.read_bytes())
    quarter = len(content) // 4
    content[2 * quarter : 3 * quarter] = b"\xff" * quarter
    file.write_bytes(content)
    frames, run = replay(path, small_model)
    assert 0 < states(frames).count("labelled") < 8
    assert f"{path} is damaged" in run.error


def test_images_that_damage_hides_are_missed(
    large_bag: tuple[Path, list[bytes]], small_model: BundledSegmenter
) -> None:
    path, images = large_bag
    file = path / "large.mcap"
    content = bytearray(file.read_bytes())
    header = BAG_MESSAGES.header(START + PERIOD, "camera")
    message = BAG_MESSAGES.compressed_image(images[1], "jpeg", header)
    at = content.find(types().serialize_cdr(message, COMPRESSED)) - 31  # its record in the file
    assert content[at] == 0x05
    content[at : at + 9] = b"\x7f" + (2**40).to_bytes(8, "little")  # of a kind that is skipped
    file.write_bytes(content)
    frames, run = replay(path, small_model)
    assert states(frames) == ["labelled"] * len(frames) and 0 < len(frames) < 8
    missing = 8 - len(frames)
    assert f"damaged: {missing} images on /camera/image_raw/compressed are missing" in run.error


def test_labels_that_belong_to_no_image_are_told(
    tmp_path: Path, small_model: BundledSegmenter
) -> None:
    images = [jpeg(image) for image in panorama(3)]
    with BagWriter(tmp_path / "bag") as bag:
        for i, data in enumerate(images):
            header = BAG_MESSAGES.header(START + i * PERIOD, "camera")
            message = BAG_MESSAGES.compressed_image(data, "jpeg", header)
            bag.write("/camera/image_raw/compressed", COMPRESSED, message, START + i * PERIOD)
            header = BAG_MESSAGES.header(START + i, "camera")
            label = BAG_MESSAGES.image(np.zeros((96, 128), np.uint8), header)
            bag.write("/camera/label", RAW, label, START + i * PERIOD)
    frames, run = replay(tmp_path / "bag", small_model)
    assert frames[0].reference is not None
    assert run.notes == ("2 labels on /camera/label have the stamp of no image",)


@pytest.mark.parametrize("stamp", [0, START + 5 * PERIOD])
def test_stamps_that_stand_still_are_told_and_score_nothing(
    tmp_path: Path, small_model: BundledSegmenter, stamp: int
) -> None:
    """Which label belongs to which image, nothing tells."""
    images = [jpeg(image) for image in panorama(6)]
    labels = [np.full((96, 128), i, np.uint8) for i in range(6)]
    path = write_bag(tmp_path / "bag", images, labels, [stamp] * 6)
    with BagReader(path) as bag:
        replayed = BagReplay(bag, small_model, ReplayOptions(), PipelineConfig())
        frames = list(replayed.frames())
        assert any("stand still: 5 images" in note for note in replayed.notes)
    assert states(frames) == ["labelled"] + ["late"] * 5
    assert all(frame.reference is None for frame in frames)
    assert "several labels" in frames[0].reference_problem
    assert "stand still" in frames[1].reason


def test_labels_of_another_label_set_are_not_scored(
    tmp_path: Path, small_model: BundledSegmenter
) -> None:
    labels = [np.full((96, 128), label, np.uint8) for label in (10, 17, 255)]
    bag = write_bag(tmp_path / "bag", [jpeg(image) for image in panorama(3)], labels)
    frames, _ = replay(bag, small_model)
    assert [frame.reference is not None for frame in frames] == [True, False, True]
    assert "holds the id 17, but the model has the classes 0 to 10" in frames[1].reference_problem


@pytest.mark.parametrize(("kind", "name"), [("sqlite3", "other"), ("", "other.bag")])
def test_sqlite3_and_ros1_bags_give_the_same_labels_and_grids(
    tmp_path: Path, small_model: BundledSegmenter, kind: str, name: str
) -> None:
    create_synthetic_bag(tmp_path / "mcap", "straight", seed=2, frames=3, rate=10.0)
    convert([tmp_path / "mcap"], tmp_path / name, kind, 9, None, "file", types(), None,
            (), (), (), ())  # fmt: skip
    expected, found = (replay(tmp_path / bag, small_model)[0] for bag in ("mcap", name))
    assert states(found) == ["labelled"] * 3
    for a, b in zip(expected, found, strict=True):
        assert np.array_equal(a.label, b.label) and a.stamp == b.stamp
        assert np.array_equal(a.reference, b.reference)
        assert np.array_equal(a.map.update.grid.label, b.map.update.grid.label)


def test_a_centred_model_labels_each_frame_but_the_last(plain_bag: Path) -> None:
    torch.manual_seed(1)
    architecture = dataclasses.replace(SMALL, causal=False)
    model = BundledSegmenter(ModelInfo("centred", architecture, CAMVID, height=96)).eval()
    frames, _ = replay(plain_bag, model, ReplayOptions(drop=0.2))
    assert [f.index for f in frames] == list(range(10))
    arrived = [f for f in frames if f.state is not FrameState.DROPPED]
    assert states(arrived) == ["labelled"] * (len(arrived) - 1) + ["unlabelled"]
    for frame in arrived[:-1]:
        assert np.array_equal(frame.rgb, decode_compressed(jpeg(panorama(10)[frame.index])))
        assert frame.reference is None or (frame.reference == frame.index).all()


def test_the_grid_of_a_replay_is_where_the_robot_is_and_depth_bears_it_out(
    tmp_path: Path, small_model: BundledSegmenter
) -> None:
    create_synthetic_bag(tmp_path / "drive", "straight", seed=2, frames=4, rate=10.0)
    frames, run = replay(tmp_path / "drive", small_model)
    assert run.topics["points"] == "/camera/depth"
    for frame in frames:
        assert frame.map is not None and frame.map.frame == "odom" and frame.map_problem == ""
        assert frame.points is not None
        ahead = np.hypot(*frame.points[:, :2].T) < 15
        ground = np.abs(frame.points[ahead, 2]) < 0.05
        assert 0.3 < ground.mean() < 1
    assert run.notes == ()
    travelled = [frame.map.grid_from_base[0, 3] for frame in frames]
    assert np.diff(travelled) == pytest.approx([0.6] * 3, abs=0.01)


def test_depth_that_is_of_no_images_moment_is_told(
    tmp_path: Path, small_model: BundledSegmenter
) -> None:
    create_synthetic_bag(tmp_path / "drive", "straight", seed=2, frames=2, rate=10.0)
    with BagReader(tmp_path / "drive") as source, BagWriter(tmp_path / "late") as bag:
        for record in source.records():
            message = source.decode(record)
            if record.topic == "/camera/depth":
                message.header.stamp.nanosec += 30_000_000
            bag.write(record.topic, record.type, message, record.time, "static" in record.topic)
    frames, run = replay(tmp_path / "late", small_model)
    assert all(frame.map is not None and frame.points is None for frame in frames)
    assert ["/camera/depth" in note and "0.030 s" in note for note in run.notes] == [True]


def test_two_replays_are_equal_to_the_last_digit(
    plain_bag: Path, small_model: BundledSegmenter
) -> None:
    one, two = (replay(plain_bag, small_model)[0] for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.label, b.label) and np.array_equal(a.confidence, b.confidence)
        without = {f.name for f in dataclasses.fields(a)} - {"timings"}
        assert all(
            np.array_equal(getattr(a, name), getattr(b, name), equal_nan=False)
            for name in without
            if name != "map"
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"drop": 1.0}, "drop is 1.0; it must be 0 to below 1"),
        ({"start": -1.0}, "start is -1.0"),
        ({"duration": 0.0}, "duration is 0.0"),
        ({"rate": 0.0}, "rate is 0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReplayOptions(**values)


def test_a_topic_that_is_not_there_is_named(plain_bag: Path, small_model: BundledSegmenter) -> None:
    with pytest.raises(BagError, match="no label topic '/truth'; its label topics: /camera/label"):
        replay(plain_bag, small_model, ReplayOptions(label_topic="/truth"))
