"""Bags: what is written is read; what is wrong is named."""

import tracemalloc
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from PIL import Image
from rosbags.rosbag2 import StoragePlugin, Writer

from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.geometry.camera import Mounting
from stmem_ros.io import bag_create
from stmem_ros.io.bag_contents import ImageForm
from stmem_ros.io.bag_topics import find_image_topic, find_info_topic, find_label_topic, is_output
from stmem_ros.io.bags import BAG_MESSAGES, RAW, BagError, BagReader, BagWriter, Topic, types
from stmem_ros.io.bounded_inflation import InflationError, inflate, zstd
from stmem_ros.io.calibration import read_calibration
from stmem_ros.io.images import decode_colour, decode_compressed, decode_label


@pytest.fixture(scope="module")
def drive_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    create_synthetic_bag(path, "straight", seed=2, frames=3, rate=10.0)
    return path


def test_a_synthetic_drive_has_all_a_replay_needs(drive_bag: Path) -> None:
    with BagReader(drive_bag) as bag:
        counts = {t.name: t.count for t in bag.topics}
        assert counts == {
            "/camera/image_raw": 3,
            "/camera/label": 3,
            "/camera/depth": 3,
            "/camera/camera_info": 3,
            "/tf": 3,
            "/tf_static": 1,
        }
        assert bag.duration == pytest.approx(0.2)
        image = find_image_topic(bag.topics)
        assert image.name == "/camera/image_raw"
        assert find_label_topic(bag.topics).name == "/camera/label"
        assert find_info_topic(bag.topics, image).name == "/camera/camera_info"
        stamps = []
        for record in bag.records({"/camera/image_raw"}):
            message = bag.decode(record)
            assert decode_colour(message).shape == (360, 480, 3)
            stamps.append(message.header.stamp.nanosec)
        assert stamps == [0, 100_000_000, 200_000_000]


def test_image_files_go_into_a_bag_byte_for_byte(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    random = np.random.default_rng(0)
    for name in ("b", "a", "c"):
        Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).save(images / f"{name}.jpg")
        Image.fromarray(random.integers(0, 11, (48, 64), np.uint8)).save(labels / f"{name}.png")
    (tmp_path / "names.txt").write_text("c\na\n")
    files = bag_create.image_files(images, labels, tmp_path / "names.txt")
    camera = None
    mounting = Mounting(1.5, 0.1)
    count = bag_create.create_bag(
        tmp_path / "bag", bag_create.read_files(files), 5.0, camera, mounting
    )
    assert count == 2
    with BagReader(tmp_path / "bag") as bag:
        image = find_image_topic(bag.topics)
        records = [bag.decode(r) for r in bag.records({image.name})]
        assert [bytes(m.data) for m in records] == [
            (images / f"{n}.jpg").read_bytes() for n in ("c", "a")
        ]
        assert decode_compressed(records[0].data).shape == (48, 64, 3)
        label = next(bag.decode(r) for r in bag.records({"/camera/label"}))
        assert np.array_equal(decode_label(label), np.array(Image.open(labels / "c.png")))
        assert {t.name for t in bag.topics} >= {"/tf_static"}


def test_sqlite_bags_are_read(tmp_path: Path) -> None:
    header = BAG_MESSAGES.header(5 * 10**9, "cam")
    message = BAG_MESSAGES.image(np.zeros((4, 4, 3), np.uint8), header)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/image_raw", RAW, typestore=types())
        writer.write(connection, 7, types().serialize_cdr(message, RAW))
    with BagReader(tmp_path / "bag") as bag:
        record = next(bag.records())
        assert (record.topic, record.time) == ("/image_raw", 7)
        assert bag.decode(record).header.stamp.sec == 5


def test_messages_of_this_package_are_written_and_read(tmp_path: Path) -> None:
    kind = "stmem_ros/msg/FrameStatistics"
    fields = {name: 0 for name, _ in types().fielddefs[kind][1]}
    fields |= {"header": BAG_MESSAGES.header(1, "cam"), "device": "cpu", "backbone": 0.5}
    statistics = BAG_MESSAGES.make(kind, **fields)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/statistics", kind, statistics, 1)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.decode(next(bag.records())).backbone == 0.5


def test_problems_with_bags_are_named(tmp_path: Path, drive_bag: Path) -> None:
    with pytest.raises(BagError, match=str(tmp_path / "nothing")):
        BagReader(tmp_path / "nothing")
    (tmp_path / "broken.mcap").write_bytes(b"\x89MCAP0\r\n broken")
    with pytest.raises(BagError, match=r"broken\.mcap"):
        BagReader(tmp_path / "broken.mcap")
    for length in (0, 8):
        (tmp_path / "cut.mcap").write_bytes(b"\x89MCAP0\r\n"[:length])
        with pytest.raises(BagError, match=r"cut\.mcap"):
            BagReader(tmp_path / "cut.mcap")
    with pytest.raises(BagError, match=str(drive_bag)):
        BagWriter(drive_bag)
    with pytest.raises(BagError, match=rf"\.jpg.*{tmp_path}"):
        bag_create.image_files(tmp_path, None, None)


def test_compressed_data_grow_no_larger_than_they_claim() -> None:
    many = bytes(100_000_000)
    for kind, data in (("zstd", zstd.compress(many)), ("lz4", lz4.frame.compress(many))):
        tracemalloc.start()
        with pytest.raises(InflationError, match="1000 bytes"):
            inflate(data, kind, 1000)
        with pytest.raises(InflationError, match=str(1 << 40)):
            inflate(data, kind, 1 << 40)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
        tracemalloc.stop()
        assert inflate(data, kind, len(many)) == many


def test_the_camera_of_a_bag_is_found_or_asked_for(drive_bag: Path) -> None:
    with BagReader(drive_bag) as bag:
        topics = bag.topics
    with pytest.raises(BagError, match=r"'/front'.*/camera/depth"):
        find_image_topic(topics, "/front")
    blind = tuple(t for t in topics if "image" not in t.name)
    with pytest.raises(BagError, match=r"images.*/camera/depth"):
        find_image_topic(blind)
    one = find_image_topic(topics)
    bare = tuple(t for t in topics if t.name != "/camera/camera_info")
    two = (*bare, type(one)("/rear/image_raw", one.type, 3))
    with pytest.raises(BagError, match=r"--topic.*/rear/image_raw"):
        find_image_topic(two)


def test_calibration_files_of_both_kinds_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "image_width: 640\nimage_height: 480\ndistortion_model: plumb_bob\n"
        "camera_matrix: {rows: 3, cols: 3, data: [500, 0, 320, 0, 501, 240, 0, 0, 1]}\n"
        "distortion_coefficients: {data: [0.1, 0, 0, 0, 0]}\n"
    )
    (tmp_path / "b.json").write_text(
        '{"width": 640, "height": 480, "K": [[500,0,320],[0,501,240],[0,0,1]], "D": [0.1,0,0,0,0]}'
    )
    assert read_calibration(tmp_path / "a.yaml") == read_calibration(tmp_path / "b.json")
    (tmp_path / "c.yaml").write_text("nothing: here")
    with pytest.raises(ValueError, match=r"c\.yaml.*camera_calibration"):
        read_calibration(tmp_path / "c.yaml")


def test_what_a_segmentation_node_published_is_no_reference() -> None:
    own = [Topic(f"/segmentation_node/front/{name}", RAW, 1) for name in ("label", "statistics")]
    assert find_label_topic(tuple(own)) is None
    for name in ("/robot/segmentation_node/label", "/segmentation_node/front/label"):
        assert find_label_topic((Topic(name, RAW, 1),)) is None
    renamed = [Topic(f"/eyes/{name}", RAW, 1) for name in ("confidence", "label")]
    assert find_label_topic(tuple(renamed)) is None
    assert all(is_output(topic, tuple(renamed)) for topic in renamed)  # nor is it played again
    reference = Topic("/truth/label", RAW, 1)
    assert find_label_topic((*own, reference)) == reference
    assert find_label_topic(tuple(own), own[0].name) == own[0]  # where it is asked for


@pytest.mark.parametrize("wanted", [None, "/camera/image_raw"])
def test_where_all_images_are_depth_none_is_to_be_chosen(wanted: str | None) -> None:
    depth = Topic("/camera/image_raw", RAW, 3, image=ImageForm("16UC1", 8, 6))
    with pytest.raises(BagError, match=r"/camera/image_raw holds depth \(16UC1\)") as error:
        find_image_topic((depth,), wanted)
    assert "--topic" not in str(error.value)
