"""Which topics of a bag hold what: found by type and name, or named."""

from __future__ import annotations

from stmem_ros.io.bags import CAMERA_INFO, COMPRESSED, POINTS, RAW, BagError, Topic
from stmem_ros.io.output_topics import NODE

_NO_CAMERA = ("label", "depth", "confidence", "overlay", "mask")


def find_image_topic(topics: tuple[Topic, ...], wanted: str | None = None) -> Topic:
    """The camera's topic: ``wanted``, or the only image topic that shows no labels or depth.

    Raises:
        BagError: no such topic, no images, or several cameras to choose from.
    """
    images = [t for t in topics if t.type in (RAW, COMPRESSED)]
    if wanted is not None:
        return _named(images, wanted, "image")
    cameras = [t for t in images if not any(w in t.name for w in _NO_CAMERA)]
    if not cameras:
        have = ", ".join(f"{t.name} ({t.type})" for t in topics) or "nothing"
        raise BagError(f"the bag holds no camera images; it holds {have}")
    if len(cameras) > 1:
        raise BagError(
            "the bag holds several cameras, choose one with --topic: "
            + ", ".join(t.name for t in cameras)
        )
    return cameras[0]


def is_rectified(image: Topic) -> bool:
    """Whether the images of a topic are rectified, as its name tells."""
    return "rect" in image.name


def find_label_topic(topics: tuple[Topic, ...], wanted: str | None = None) -> Topic | None:
    """The topic with reference labels: ``wanted``, or the first Image whose name speaks of labels.

    What a segmentation node published is no reference. It is known by the node's name, or by what
    else the node publishes beside its labels.

    Raises:
        BagError: the wanted topic is not in the bag.
    """
    if wanted is not None:
        return _named([t for t in topics if t.type == RAW], wanted, "label")
    names = {topic.name for topic in topics}
    for topic in topics:
        beside = topic.name.rpartition("/")[0]
        is_output = f"{NODE}/" in f"{beside}/" or any(
            f"{beside}/{name}" in names for name in ("statistics", "label_info", "confidence")
        )
        if topic.type == RAW and "label" in topic.name and not is_output:
            return topic
    return None


def find_info_topic(
    topics: tuple[Topic, ...], image: Topic, wanted: str | None = None
) -> Topic | None:
    """The CameraInfo of an image topic: ``wanted``, the one beside it, or the only one there is.

    Raises:
        BagError: the wanted topic is not in the bag.
    """
    infos = [t for t in topics if t.type == CAMERA_INFO]
    if wanted is not None:
        return _named(infos, wanted, "camera_info")
    namespace = image.name.removesuffix("/compressed").rsplit("/", 1)[0]
    for topic in infos:
        if topic.name == f"{namespace}/camera_info":
            return topic
    return infos[0] if len(infos) == 1 else None


def find_points_topic(
    topics: tuple[Topic, ...], image: Topic, wanted: str | None = None
) -> Topic | None:
    """Where points in space come from: ``wanted``, the only lidar, or depth beside the camera.

    A PointCloud2, or an Image of depth aligned with the camera's.

    Raises:
        BagError: the wanted topic is not in the bag.
    """
    if wanted is not None:
        return _named([t for t in topics if t.type in (POINTS, RAW)], wanted, "points or depth")
    lidars = [t for t in topics if t.type == POINTS and t.count]
    if len(lidars) == 1:
        return lidars[0]
    return None if lidars else find_depth_topic(topics, image)


def find_depth_topic(topics: tuple[Topic, ...], image: Topic) -> Topic | None:
    """The depth images beside a camera's topic, aligned with its images; None without."""
    namespace = image.name.removesuffix("/compressed").rsplit("/", 1)[0]
    raw, packed = f"{namespace}/depth", f"{namespace}/depth/compressedDepth"
    kinds = {(raw, RAW), (packed, COMPRESSED)}
    return next((t for t in topics if (t.name, t.type) in kinds), None)


def _named(topics: list[Topic], name: str, kind: str) -> Topic:
    for topic in topics:
        if topic.name == name:
            return topic
    have = ", ".join(t.name for t in topics) or "none"
    raise BagError(f"the bag has no {kind} topic {name!r}; its {kind} topics: {have}")
