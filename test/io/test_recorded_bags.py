"""Bags as recorders leave them: what is understood is read, what is not is named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import yaml
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from support.bags import PERIOD, START, jpeg, write_bag

from stmem_ros.io.bag_channel import Channel, parse_profiles
from stmem_ros.io.bag_contents import MessageError
from stmem_ros.io.bag_topics import find_image_topic, find_info_topic, is_rectified
from stmem_ros.io.bags import (
    BAG_MESSAGES,
    CAMERA_INFO,
    COMPRESSED,
    RAW,
    TF,
    BagError,
    BagReader,
    ImageForm,
    Topic,
    types,
)
from stmem_ros.io.bounded_inflation import zstd
from stmem_ros.io.recorded_type import RecordedType

STRING = "std_msgs/msg/String"
FOO = "my_msgs/msg/Foo"
WRONG_HASH = "RIHS01_" + "1" * 64
FRAMES = 4


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    image = jpeg(np.full((32, 48, 3), 90, np.uint8))
    return write_bag(tmp_path / "drive", [image] * FRAMES)


def read(path: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """How many messages of each topic can be decoded, and the notes."""
    counts: dict[str, int] = {}
    with BagReader(path) as bag:
        for record in bag.records({t.name for t in bag.topics if not t.problem}):
            bag.decode(record)
            counts[record.topic] = counts.get(record.topic, 0) + 1
        return counts, bag.notes


def edit_metadata(bag: Path, change: Callable[[dict, dict], None]) -> None:
    path = bag / "metadata.yaml"
    content = yaml.safe_load(path.read_text())
    information = content["rosbag2_bagfile_information"]
    change(information, information["topics_with_message_count"][0])
    path.write_text(yaml.safe_dump(content))


IMAGES = {"/camera/image_raw/compressed": FRAMES}


@pytest.mark.parametrize(
    "change",
    [
        lambda i, t: t["topic_metadata"]["offered_qos_profiles"].clear(),
        lambda i, t: t["topic_metadata"]["offered_qos_profiles"][0].update(reliability="best"),
        lambda i, t: t["topic_metadata"].update(type_description_hash=WRONG_HASH),
        lambda i, t: i.update(storage_identifier="sqlite3", version=99),
        lambda i, t: i.pop("duration"),
    ],
)
def test_files_are_believed_before_their_metadata(drive: Path, change: Callable) -> None:
    edit_metadata(drive, change)
    assert read(drive) == (IMAGES, ())


@pytest.mark.parametrize("more", [5, -2])
def test_counts_that_differ_from_the_metadata_are_told(drive: Path, more: int) -> None:
    def change(information: dict, topic: dict) -> None:
        topic["message_count"] += more

    edit_metadata(drive, change)
    counts, notes = read(drive)
    assert counts == IMAGES
    assert len(notes) == 1 and f"{FRAMES + more} " in notes[0] and f"{FRAMES}" in notes[0]


def test_a_file_that_was_renamed_is_read_and_told(drive: Path) -> None:
    next(drive.glob("*.mcap")).rename(drive / "other.mcap")
    counts, notes = read(drive)
    assert counts == IMAGES and any("metadata.yaml names drive" in note for note in notes)


@pytest.mark.parametrize("content", ["no: [bag", "", "- 1", "rosbag2_bagfile_information: 3"])
def test_metadata_that_is_none_is_told_in_plain_words(drive: Path, content: str) -> None:
    (drive / "metadata.yaml").write_text(content)
    _, notes = read(drive)
    assert "metadata.yaml is not used" in notes[0]
    assert "Error" not in notes[0] and "<unicode string>" not in notes[0]


def test_a_folder_without_usable_metadata_is_read(drive: Path) -> None:
    (drive / "metadata.yaml").write_text("no: [bag")
    counts, notes = read(drive)
    assert counts == IMAGES and "metadata.yaml" in notes[0]
    (drive / "metadata.yaml").unlink()
    assert read(drive) == (IMAGES, ())


def test_parts_of_a_bag_are_read_in_order_and_missing_ones_are_named(drive: Path) -> None:
    whole = next(drive.glob("*.mcap"))
    for number in (2, 10, 1):
        shutil.copy(whole, drive / f"part_{number}.mcap")
    whole.unlink()
    (drive / "metadata.yaml").unlink()
    assert read(drive)[0] == {name: 3 * FRAMES for name in IMAGES}
    (drive / "part_2.mcap").write_bytes(b"")
    counts, notes = read(drive)
    assert counts == {name: 2 * FRAMES for name in IMAGES} and "part_2.mcap" in notes[0]
    (drive / "part_2.mcap").unlink()
    (drive / "part_2.mcap").symlink_to("nowhere")
    counts, notes = read(drive)
    assert counts == {name: 2 * FRAMES for name in IMAGES} and "link to nowhere" in notes[0]


@pytest.mark.parametrize(
    ("compress", "suffix"), [(zstd.compress, "zstd"), (lz4.frame.compress, "lz4")]
)
def test_compressed_files_are_read(drive: Path, compress: Callable, suffix: str) -> None:
    file = next(drive.glob("*.mcap"))
    (drive / f"{file.name}.{suffix}").write_bytes(compress(file.read_bytes()))
    file.unlink()
    (drive / "metadata.yaml").unlink()
    assert read(drive) == (IMAGES, ())


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_compressed_messages_are_read(tmp_path: Path, plugin: StoragePlugin) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=plugin) as writer:
        topic = writer.add_connection("/note", STRING, typestore=types())
        data = bytes(types().serialize_cdr(BAG_MESSAGES.make(STRING, data="x" * 100), STRING))
        for i, form in enumerate((zstd.compress(data), lz4.frame.compress(data), data)):
            writer.write(topic, START + i, form)
    assert read(tmp_path / "bag") == ({"/note": 3}, ())


def test_a_cut_file_is_read_as_far_as_it_goes(drive: Path, tmp_path: Path) -> None:
    whole = next(drive.glob("*.mcap")).read_bytes()
    cut = tmp_path / "cut.mcap"
    for length in (len(whole) // 3, len(whole) // 2):
        cut.write_bytes(whole[:length])
        counts, notes = read(cut)
        (count,) = counts.values()
        assert 0 < count <= FRAMES and "cut off" in notes[0]
    cut.write_bytes(whole[:-1])  # its index alone is damaged
    assert read(cut) == (IMAGES, ())


def test_a_camera_that_a_cut_file_lost_is_no_camera_without_messages_alone(
    drive: Path, tmp_path: Path
) -> None:
    whole = next(drive.glob("*.mcap")).read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole[: whole.index(b"\xff\xd8\xff")])  # before the end of the first image
    with BagReader(cut) as bag, pytest.raises(BagError, match=r"no messages .*was cut off"):
        find_image_topic(bag.topics)
    cut.write_bytes(whole[:8])
    with pytest.raises(BagError, match=r"holds no topic: .*was cut off"):
        BagReader(cut)


def test_a_ros1_bag_that_is_damaged_or_of_an_old_version_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "old.bag"
    store = get_typestore(Stores.ROS1_NOETIC)
    with Ros1Writer(path) as bag:
        topic = bag.add_connection("/note", STRING, typestore=store)
        bag.write(topic, START, store.serialize_ros1(store.types[STRING]("x"), STRING))
    whole = path.read_bytes()
    index = whole.rindex(b"topic=/note")
    for damaged, word in (
        (whole.replace(b"V2.0", b"V1.2", 1), "version '1.2'.*rosbag fix"),
        (whole[: len(whole) // 2], "index.*rosbag reindex"),
        (whole[:index] + b"\xff" * 11 + whole[index + 11 :], "damaged.*rosbag reindex"),
        (whole.replace(b"compression=none", b"compression=\xff\xffne"), "damaged.*rosbag reindex"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(BagError, match=word) as raised:
            read(path)
        assert "codec" not in str(raised.value)


def test_a_damaged_database_is_told_without_the_words_of_sqlite(tmp_path: Path) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        topic = writer.add_connection("/note", STRING, typestore=types())
        writer.write(topic, START, bytes(types().serialize_cdr(types().types[STRING]("x"), STRING)))
    path = next((tmp_path / "bag").glob("*.db3"))
    whole = path.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole.replace(b"CREATE TABLE topics", b"CREATE TABLE \xf9opics"),
        whole.replace(b"CREATE TABLE topics", b"CREATE \xf9ABLE topics"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(BagError, match=r"recover|no table") as raised:
            read(path)
        assert "malformed" not in str(raised.value) and "codec" not in str(raised.value)


def test_a_record_that_is_too_short_is_told_without_the_words_of_python(tmp_path: Path) -> None:
    path = tmp_path / "short.mcap"
    schema = b"\3" + (1).to_bytes(8, "little") + b"\0"
    path.write_bytes(b"\x89MCAP0\r\n" + schema)
    with pytest.raises(BagError, match="a record is cut off") as raised:
        BagReader(path)
    assert "unpack" not in str(raised.value)


def test_a_time_of_other_fields_costs_its_topic_alone(tmp_path: Path) -> None:
    text = "builtin_interfaces/Time at\n" + "=" * 80 + "\nMSG: builtin_interfaces/Time\nint32 sek\n"
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection("/other", FOO, msgdef=text, rihs01="unknown")
        writer.write(topic, START, b"\0\1\0\0\2\0\0\0")
    counts, notes = read(tmp_path / "bag")
    assert counts == {} and "/other" in notes[0] and "times" in notes[0]


def test_a_database_that_is_no_bag_is_not_to_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "places.db3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE places (name TEXT)")
    with pytest.raises(BagError, match="no bag: it has no table topics") as raised:
        BagReader(path)
    assert "recover" not in str(raised.value)


def test_what_is_no_bag_is_named_for_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    for content, word in ((b"", "empty"), (b"version https://git-lfs.github.com", "git lfs pull"),
                          (b"<html>", "allowed")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(BagError, match=word):
            BagReader(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BagError, match="mcap"):
        BagReader(tmp_path / "folder")


def test_a_folder_without_files_of_a_bag_says_which_are_missed_or_where_they_are(
    drive: Path, tmp_path: Path
) -> None:
    with pytest.raises(BagError, match="its folder drive is a bag"):
        BagReader(tmp_path)
    file = next(drive.glob("*.mcap"))
    file.unlink()
    with pytest.raises(BagError, match=f"metadata.yaml names {file.name}, which is not there"):
        BagReader(drive)


@pytest.mark.parametrize(
    "definition", ["string data\n", "no message { 1 2 3\n", "string\x18 data\n", ""]
)
def test_a_type_that_cannot_be_read_costs_its_topic_alone(tmp_path: Path, definition: str) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        camera = writer.add_connection("/camera", RAW, msgdef="", rihs01="unknown")
        other = writer.add_connection("/other", FOO, msgdef=definition, rihs01=WRONG_HASH)
        for i in range(FRAMES):
            header = BAG_MESSAGES.header(START + i * PERIOD, "camera")
            image = BAG_MESSAGES.image(np.zeros((4, 4, 3), np.uint8), header)
            writer.write(camera, START + i, bytes(types().serialize_cdr(image, RAW)))
            writer.write(other, START + i, b"\0\1\0\0\2\0\0\0x\0")
    counts, notes = read(tmp_path / "bag")
    assert counts == {"/camera": FRAMES}
    assert len(notes) == 1 and "/other" in notes[0] and "recover" not in notes[0]
    assert "parse" not in notes[0]


def test_channels_of_another_encoding_and_files_of_another_profile_are_read(drive: Path) -> None:
    file = next(drive.glob("*.mcap"))
    data = file.read_bytes().replace(b"\4\0\0\0ros2", b"\4\0\0\0none", 1)
    file.write_bytes(data)
    (drive / "metadata.yaml").unlink()
    assert read(drive) == (IMAGES, ())
    file.write_bytes(data.replace(b"\3\0\0\0cdr", b"\3\0\0\0xml"))
    counts, notes = read(drive)
    assert counts == {} and "'xml'" in notes[0]


def recorded(definition: str, kind: str, encoding: str = "cdr", form: str = "ros2msg"):
    return RecordedType(Channel(1, "/topic", kind, encoding, definition, form))


def test_fields_of_earlier_definitions_become_those_of_today(tmp_path: Path) -> None:
    # Range got `variance` after Humble; what is new has its default.
    store = get_typestore(Stores.ROS2_HUMBLE)
    kind = "sensor_msgs/msg/Range"
    message = store.types[kind](BAG_MESSAGES.header(START, "sonar"), 1, 0.1, 0.2, 3.0, 1.5)
    data = bytes(store.serialize_cdr(message, kind))
    for definition in (store.generate_msgdef(kind, ros_version=2)[0], ""):
        was = recorded(definition, kind)
        today = types().deserialize_cdr(was.to_cdr(data), kind)
        assert today.range == 1.5 and today.variance == 0 and today.header.frame_id == "sonar"
    # A field that may have been renamed is not guessed at.
    wrong = recorded("float32 distance\nfloat32 width\n", kind)
    assert "distance" in wrong.problem


def test_types_of_ros_1_are_brought_to_today_by_field(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms",
                                      "tf/msg/tfMessage"))  # fmt: skip
    make = store.types
    stamp = make["builtin_interfaces/msg/Time"](sec=5, nanosec=6)
    header = make["std_msgs/msg/Header"](seq=1, stamp=stamp, frame_id="/base")
    moved = make["geometry_msgs/msg/Transform"](
        make["geometry_msgs/msg/Vector3"](1.0, 2.0, 3.0),
        make["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
    )
    tf = make["tf/msg/tfMessage"](
        [make["geometry_msgs/msg/TransformStamped"](header, "/cam", moved)]
    )
    marker = make["visualization_msgs/msg/Marker"](
        header, "a", 0, 1, 0,
        make["geometry_msgs/msg/Pose"](make["geometry_msgs/msg/Point"](0.0, 0.0, 0.0),
                                       make["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)),
        make["geometry_msgs/msg/Vector3"](1.0, 1.0, 1.0),
        make["std_msgs/msg/ColorRGBA"](1.0, 0.0, 0.0, 1.0),
        make["builtin_interfaces/msg/Duration"](0, 0), False, [], [], "", "", False,
    )  # fmt: skip
    with Ros1Writer(tmp_path / "old.bag") as bag:
        for name, message in (("/tf", tf), ("/marker", marker)):
            kind = message.__msgtype__
            topic = bag.add_connection(name, kind, typestore=store)
            bag.write(topic, START, store.serialize_ros1(message, kind))
    with BagReader(tmp_path / "old.bag") as bag:
        assert {t.name: t.type for t in bag.topics}["/tf"] == TF
        got = {r.topic: (r, bag.decode(r), bag.to_cdr(r)) for r in bag.records()}
    record, message, data = got["/tf"]
    assert message.transforms[0].child_frame_id == "/cam"
    assert types().deserialize_cdr(data, TF).transforms[0].header.stamp.sec == 5
    record, message, data = got["/marker"]
    again = types().deserialize_cdr(data, record.type)
    assert again.ns == "a" and again.texture_resource == "" and again.color.r == 1


def test_profiles_of_all_versions_are_read_and_others_are_none() -> None:
    by_number = "- history: 1\n  depth: 3\n  reliability: 1\n  durability: 1\n"
    by_name = [{"history": "keep_all", "depth": 0, "durability": "volatile"}]
    assert [(p.latched, p.depth) for p in parse_profiles(by_number)] == [(True, 3)]
    assert [(p.latched, p.depth) for p in parse_profiles(by_name)] == [(False, 1000)]
    assert parse_profiles("- [") == parse_profiles(None) == parse_profiles(7) == ()


def image(name: str, encoding: str = "rgb8", kind: str = RAW, count: int = 10) -> Topic:
    return Topic(name, kind, count, image=ImageForm(encoding, 64, 48) if count else None, rate=10.0)


def test_the_camera_is_told_by_messages_types_and_the_last_part_of_names() -> None:
    raw, packed = image("/camera/image_raw"), image("/camera/image_raw/compressed", "jpeg",
                                                    COMPRESSED)  # fmt: skip
    depth = image("/oak/stereo/image_raw/compressedDepth", "16UC1; compressedDepth", COMPRESSED)
    info = Topic("/camera/camera_info", CAMERA_INFO, 10)
    for topics, name in (
        ((raw, packed), raw.name),
        ((image("/camera/image_raw", count=0), packed), packed.name),
        ((image("/depth_camera/image_raw"),), "/depth_camera/image_raw"),
        ((image("/oak/rgb/image_raw"), depth), "/oak/rgb/image_raw"),
        ((raw, image("/camera/aligned/image_raw", "16UC1")), raw.name),
        ((raw, image("/detector/debug_image"), info), raw.name),
        ((raw, image("/infra/image_raw", "mono8")), raw.name),
        ((raw, image("/other/image_raw", count=1)), raw.name),
        ((raw, image("/camera/image_color"), image("/camera/image_rect")), raw.name),
        ((raw, image("/segmentation_node/overlay")), raw.name),
    ):
        assert find_image_topic(topics).name == name
    with pytest.raises(BagError, match=r"/front/image_raw \(64 x 48, rgb8, 10 Hz, 10 images\)"):
        find_image_topic((raw, image("/front/image_raw")))
    with pytest.raises(BagError, match="no messages"):
        find_image_topic((image("/camera/image_raw", count=0),))
    stream = Topic("/camera/image_raw/ffmpeg", "ffmpeg_image_transport_msgs/msg/FFMPEGPacket", 10)
    with pytest.raises(BagError, match=r"/camera/image_raw/ffmpeg is a video stream: republish"):
        find_image_topic((stream, info))
    other = Topic("/image", "foxglove.CompressedImage", 10, problem="its messages are 'json'")
    with pytest.raises(BagError, match=r"/image \(its messages are 'json'\)"):
        find_image_topic((other,))
    # The calibration of another camera does harm.
    rear = (image("/front/image_raw"), image("/rear/image_raw"),
            Topic("/rear/camera_info", CAMERA_INFO, 10))  # fmt: skip
    assert find_info_topic(rear, rear[0]) is None


def test_bytes_that_are_no_message_are_told_in_a_line_of_our_own(drive: Path) -> None:
    with BagReader(drive) as bag:
        record = next(bag.records())
        for data, named in (
            (
                record.data[:20],
                "its 20 bytes are not a sensor_msgs/msg/CompressedImage",
            ),
            (b"", "its 0 bytes are not"),
            (b"\0\7" + record.data[2:], "begins with the bytes 00 07 00 00"),
        ):
            with pytest.raises(MessageError, match="/camera/image_raw/compressed at") as error:
                bag.decode(replace(record, data=data))
            assert named in error.value.reason


@pytest.mark.parametrize(
    ("name", "expected"),
    [("/direct_cam/image_raw", False), ("/rectangle/image", False), ("/a/image_rect_color", True),
     ("/camera/image_rect/compressed", True), ("/corrected/image", False)],
)  # fmt: skip
def test_rectified_images_are_told_by_a_word_of_the_last_part(name: str, expected: bool) -> None:
    assert is_rectified(image(name)) is expected
