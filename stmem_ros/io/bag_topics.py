"""Which topics hold what: found by their messages, types and the last part of their names."""

from __future__ import annotations

from collections.abc import Callable

from stmem_ros.io.bags import CAMERA_INFO, COMPRESSED, POINTS, RAW, BagError, Topic
from stmem_ros.io.output_topics import NODE

# Last parts of names, or words in them, of images that show something else than a camera saw.
_NO_CAMERA = frozenset(
    ("label", "labels", "mask", "segmentation", "semantic", "confidence", "overlay", "costmap",
     "depth", "disparity", "heatmap")
)  # fmt: skip
_DEPTH = ("16UC1", "32FC1")
_GREY = ("mono8", "mono16", "8UC1", "8UC", "mono")
_STREAMS = ("/FFMPEGPacket", "/Packet", "/CompressedVideo")  # types, of theora the second one
_TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg", "zstd")
FEW = 0.1  # share of the most messages; a topic of fewer is no camera beside one of more
OUTPUTS = ("stmem_ros/msg/LabelInfo", "stmem_ros/msg/FrameStatistics")  # a node's alone
BESIDE = frozenset(
    ("label", "confidence", "overlay", "vision_info", "costmap", "layers", "points")
)  # what a node publishes beside them
WITH_LABELS = ("statistics", "label_info", "confidence")  # that no reference has beside it


def find_image_topic(topics: tuple[Topic, ...], wanted: str | None = None) -> Topic:
    """The camera's topic: ``wanted``, or the one that is left of those with images.

    What has no messages, depth, labels and the outputs of a segmentation node are no cameras. Of
    the others, as long as several are left: those with a camera_info beside them, colour before
    grey, many images before few, and of one camera the images as they came.

    Raises:
        BagError: no such topic, no images, or several cameras to choose from.
    """
    images = [t for t in topics if t.type in (RAW, COMPRESSED)]
    if wanted is not None:
        topic = _named(images, wanted, "image")
        if why := _no_pictures(topic):
            raise BagError(f"{topic.name} {why}")
        return topic
    why_not = {t.name: why for t in images if (why := _no_camera(t, topics))}
    cameras = [t for t in images if t.name not in why_not]
    if not cameras:
        if why_not:
            listed = "; ".join(f"{name} {why}" for name, why in why_not.items())
            advice = "; choose one with --topic" if not all(map(_no_pictures, images)) else ""
            raise BagError(f"there are no camera images: {listed}{advice}")
        have = ", ".join(f"{t.name} ({t.problem or t.type})" for t in topics) or "nothing"
        streams = [t.name for t in topics if t.type.endswith(_STREAMS)]
        advice = (
            f"; {', '.join(streams)} is a video stream: republish it as images (image_transport)"
            if streams
            else ""
        )
        raise BagError(f"the bag holds no camera images; it holds {have}{advice}")
    cameras = _narrowed(cameras, topics)
    if len(cameras) > 1:
        listed = "; ".join(describe(t) for t in cameras)
        raise BagError(f"there are several cameras, choose one with --topic: {listed}")
    return cameras[0]


def camera_topics(topics: tuple[Topic, ...]) -> tuple[Topic, ...]:
    """The topics that may be cameras, all transports of each."""
    return tuple(t for t in topics if t.type in (RAW, COMPRESSED) and not _no_camera(t, topics))


def describe(topic: Topic) -> str:
    """A topic of images with what tells it from others: size, rate, count."""
    parts = []
    if topic.image is not None and topic.image.width:
        parts.append(f"{topic.image.width} x {topic.image.height}")
    if topic.image is not None:
        parts.append(topic.image.encoding or "no encoding")
    if topic.rate:
        parts.append(f"{topic.rate:.3g} Hz")
    parts.append(f"{topic.count} images")
    return f"{topic.name} ({', '.join(parts)})"


def is_rectified(image: Topic) -> bool:
    """Whether the images of a topic are rectified, as the last part of its name tells."""
    words = last_part(image.name).split("_")
    return "rect" in words or "rectified" in words


def last_part(name: str) -> str:
    """The last part of a topic's name, without the transport."""
    *before, last = name.split("/")
    return before[-1] if last in _TRANSPORTS and before else last


def is_output(topic: Topic, topics: tuple[Topic, ...]) -> bool:
    """Whether a segmentation node published it: under its name, or beside what it alone sends."""
    if f"{NODE}/" in topic.name or topic.type.startswith("stmem_ros/msg/"):
        return True
    return any(
        topic.name.startswith(f"{node}/")
        and BESIDE.intersection(topic.name.removeprefix(node).split("/"))
        for node in _node_names(topics)
    )


def _node_names(topics: tuple[Topic, ...]) -> set[str]:
    """Names under which a segmentation node published, told by what it alone sends."""
    names = {topic.name for topic in topics}
    labels = {name.removesuffix("/label") for name in names if name.endswith("/label")}
    found = {t.name.rpartition("/")[0] for t in topics if t.type in OUTPUTS}
    found |= {name for name in labels if any(f"{name}/{other}" in names for other in WITH_LABELS)}
    return found - {""}


def _no_pictures(topic: Topic) -> str:
    """Why a topic of images holds nothing that people could look at, empty if it may."""
    if not topic.count:
        return f"has no messages{topic.damage and f' ({topic.damage})'}"
    if topic.problem:
        return f"is not readable: {topic.problem}"
    encoding = "" if topic.image is None else topic.image.encoding
    if "compressedDepth" in encoding or topic.name.endswith("/compressedDepth"):
        return "holds depth (compressedDepth)"
    if encoding.partition(";")[0].strip() in _DEPTH:
        return f"holds depth ({encoding})"
    return ""


def _no_camera(topic: Topic, topics: tuple[Topic, ...]) -> str:
    """Why a topic of images is no camera, empty if it may be one."""
    if why := _no_pictures(topic):
        return why
    if is_output(topic, topics):
        return "is a segmentation node's output"
    if found := _NO_CAMERA.intersection(last_part(topic.name).lower().split("_")):
        return f"shows {min(found)}, by the last part of its name"
    return ""


def _narrowed(cameras: list[Topic], topics: tuple[Topic, ...]) -> list[Topic]:
    """The cameras that each of the criteria leaves, if it leaves any."""
    infos = {t.name for t in topics if t.type == CAMERA_INFO and t.count}
    most = max(t.count for t in cameras)
    names = {t.name for t in cameras}
    criteria: tuple[Callable[[Topic], bool], ...] = (
        lambda t: info_name(t) in infos,
        lambda t: not _is_grey(t),
        lambda t: t.count > FEW * most,
        # One camera in several transports, or before and after image_proc: as it came.
        lambda t: (
            t.name.removesuffix("/compressed") == t.name
            or t.name.removesuffix("/compressed") not in names
        ),
    )
    for criterion in criteria:
        cameras = [t for t in cameras if criterion(t)] or cameras
    if len({namespace(t) for t in cameras}) == 1:
        cameras = [t for t in cameras if last_part(t.name) == "image_raw"] or cameras
    return cameras


def _is_grey(topic: Topic) -> bool:
    return topic.image is not None and topic.image.encoding.partition(";")[0].strip() in _GREY


def namespace(image: Topic) -> str:
    """Where a camera's topics lie: what comes before the last part of its images' name."""
    name, _, last = image.name.rpartition("/")
    return name.rpartition("/")[0] if last in _TRANSPORTS else name


def info_name(image: Topic) -> str:
    """The name of the camera_info that belongs to a topic of images."""
    return f"{namespace(image)}/camera_info"


def find_label_topic(topics: tuple[Topic, ...], wanted: str | None = None) -> Topic | None:
    """The topic with reference labels: ``wanted``, or the first Image that is named so.

    The last part of its name is ``label``, or holds that as a word.

    What a segmentation node published (:func:`is_output`) is no reference.

    Raises:
        BagError: the wanted topic is not in the bag.
    """
    if wanted is not None:
        return _named([t for t in topics if t.type == RAW], wanted, "label")
    for topic in topics:
        words = last_part(topic.name).lower().split("_")
        is_named = topic.type == RAW and bool({"label", "labels"}.intersection(words))
        if is_named and not is_output(topic, topics):
            return topic
    return None


def find_info_topic(
    topics: tuple[Topic, ...], image: Topic, wanted: str | None = None
) -> Topic | None:
    """The CameraInfo of an image topic: ``wanted``, the one beside it, or the only one there is.

    The only one counts where there is one camera alone: another camera's calibration does harm.

    Raises:
        BagError: the wanted topic is not in the bag.
    """
    infos = [t for t in topics if t.type == CAMERA_INFO]
    if wanted is not None:
        return _named(infos, wanted, "camera_info")
    for topic in infos:
        if topic.name == info_name(image):
            return topic
    others = {namespace(camera) for camera in camera_topics(topics)} - {namespace(image)}
    return infos[0] if len(infos) == 1 and not others else None


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
    raw, packed = f"{namespace(image)}/depth", f"{namespace(image)}/depth/compressedDepth"
    kinds = {(raw, RAW), (packed, COMPRESSED)}
    return next((t for t in topics if (t.name, t.type) in kinds), None)


def no_depth_text(topics: tuple[Topic, ...], image: Topic) -> str:
    """That there is no :func:`find_depth_topic`: what there is instead, and what to do."""
    images = (t for t in topics if t.type in (RAW, COMPRESSED))
    others = ", ".join(t.name for t in images if "depth" in _no_pictures(t)) or "none"
    return (
        f"parameter depth is true, but the bag has no depth images on {namespace(image)}/depth, "
        f"beside {image.name}; its depth images: {others}; rename their topic in the bag if they "
        "are aligned with the image, or set depth to false"
    )


def _named(topics: list[Topic], name: str, kind: str) -> Topic:
    for topic in topics:
        if topic.name == name:
            return topic
    have = ", ".join(t.name for t in topics) or "none"
    raise BagError(f"the bag has no {kind} topic {name!r}; its {kind} topics: {have}")
