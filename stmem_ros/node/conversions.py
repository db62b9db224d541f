"""Messages to arrays and back. Only copies and views: what is computed, the core computes."""

from __future__ import annotations

from array import array
from importlib import import_module
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time as TimeMessage
from nav_msgs.msg import MapMetaData, OccupancyGrid
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header

from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.mapper import MapUpdate
from stmem_ros.costmap.points import POINT, labelled_points
from stmem_ros.costmap.rules import CostRules
from stmem_ros.geometry.camera import read_out, resizing
from stmem_ros.io.images import decode_compressed, encode_jpeg
from stmem_ros.msg import LabelInfo, SemanticClass, SemanticGrid
from stmem_ros.node.ros_packages import VisionClass, VisionLabelInfo, image_to_rgb


def message_type(name: str) -> type | None:
    """The class of a message by its name ``pkg/msg/Name``, None where it is not installed."""
    package, _, message = name.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), message)
    except (ImportError, AttributeError):
        return None


def nanoseconds(stamp: TimeMessage) -> int:
    """A stamp in ns."""
    return stamp.sec * 10**9 + stamp.nanosec


def to_rgb(message: Image | CompressedImage) -> np.ndarray:
    """An image message as RGB uint8 H x W x 3.

    Raises:
        ImageError: the image cannot be decoded.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data)
    return image_to_rgb(message)


def mono_image(pixels: np.ndarray, header: Header) -> Image:
    """uint8 H x W as a mono8 image without row padding."""
    return _image(pixels, "mono8", header)


def rgb_image(pixels: np.ndarray, header: Header) -> Image:
    """uint8 H x W x 3 as an rgb8 image without row padding."""
    return _image(pixels, "rgb8", header)


def jpeg_image(pixels: np.ndarray, header: Header) -> CompressedImage:
    """uint8 H x W x 3 (RGB) as a JPEG."""
    data = array("B", encode_jpeg(pixels))
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=data)


def scaled_camera_info(info: CameraInfo, width: int, height: int, header: Header) -> CameraInfo:
    """The camera_info of an image resized to ``width`` x ``height`` pixels, as of a whole sensor.

    Raises:
        ValueError: ``info`` has no size, or its region of interest none.
    """
    image_from_sensor, *size = read_out(info)
    scale = resizing(width / size[0], height / size[1]) @ image_from_sensor
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model=info.distortion_model,
        d=info.d,
        k=(scale @ np.reshape(info.k, (3, 3))).reshape(-1),
        r=info.r,
        p=(scale @ np.reshape(info.p, (3, 4))).reshape(-1),
    )


def occupancy_grid(
    cost: np.ndarray, grid: GridSnapshot, header: Header, unseen_cost: int
) -> OccupancyGrid:
    """A cost array (int8, -1 unknown) of a grid as an OccupancyGrid.

    ``unseen_cost`` is that of cells of which nothing is known; doubtful ground is none of them.
    """
    if unseen_cost != -1:
        cost = np.where(grid.confidence == 0, np.int8(unseen_cost), cost)
    return OccupancyGrid(header=header, info=_meta(grid, header), data=_array("b", cost))


def semantic_grid(grid: GridSnapshot, header: Header, rules: CostRules) -> SemanticGrid:
    """Class, cost and confidence of every cell."""
    return SemanticGrid(
        header=header,
        info=_meta(grid, header),
        label=_array("B", grid.label),
        cost=_array("B", np.where(grid.cost < 0, 255, grid.cost).astype(np.uint8)),
        confidence=_array("B", grid.confidence),
        classes=semantic_classes(rules),
    )


def semantic_classes(rules: CostRules) -> list[SemanticClass]:
    """The label set with what it means to a planner."""
    return [
        SemanticClass(
            id=c.id,
            name=c.name,
            colour=ColorRGBA(r=c.colour[0] / 255, g=c.colour[1] / 255, b=c.colour[2] / 255, a=1.0),
            cost=rule.cost,
            layer=rule.layer,
            kind=int(rule.kind),
        )
        for c, rule in zip(rules.classes, rules.rules, strict=True)
    ]


def label_info(model: str, rules: CostRules, header: Header) -> LabelInfo:
    """The label set of a model."""
    return LabelInfo(header=header, model=model, classes=semantic_classes(rules))


def vision_label_info(rules: CostRules, header: Header) -> Any:
    """The label set as vision_msgs/LabelInfo (only where that package is installed)."""
    return VisionLabelInfo(
        header=header,
        class_map=[VisionClass(class_id=c.id, class_name=c.name) for c in rules.classes],
    )


def cloud(update: MapUpdate, label: np.ndarray, rules: CostRules, header: Header) -> PointCloud2:
    """Points x y z label cost in the base frame.

    What ``labelled_points`` says: unorganised, or with depth organised as the image.
    """
    points = labelled_points(update, label, rules)
    kinds = {"<f4": PointField.FLOAT32, "|u1": PointField.UINT8}
    fields = [
        PointField(name=name, offset=offset, datatype=kinds[dtype.str], count=1)
        for name, (dtype, offset, *_) in POINT.fields.items()  # type: ignore[union-attr]
    ]
    return PointCloud2(
        header=header,
        height=points.shape[0],
        width=points.shape[1],
        fields=fields,
        point_step=POINT.itemsize,
        row_step=POINT.itemsize * points.shape[1],
        data=_array("B", points.view(np.uint8)),
        is_dense=update.cloud is None,
    )


def _image(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    return Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=pixels[0].nbytes,
        data=_array("B", pixels),
    )


def _meta(grid: GridSnapshot, header: Header) -> MapMetaData:
    meta = MapMetaData(
        map_load_time=header.stamp,
        resolution=grid.resolution,
        width=grid.label.shape[1],
        height=grid.label.shape[0],
    )
    meta.origin.position.x, meta.origin.position.y = grid.origin
    meta.origin.orientation.w = 1.0
    return meta


def _array(kind: str, values: np.ndarray) -> array:
    """A message's sequence field; handing an ndarray over would be converted value by value."""
    data = array(kind)
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
    return data
