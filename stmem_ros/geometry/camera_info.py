"""sensor_msgs/CameraInfo, of ROS, or of a bag of ROS 2 or ROS 1, as a camera model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stmem_ros.geometry.camera import CameraModel, as_matrix, resizing
from stmem_ros.geometry.lens import read_lens

Size = tuple[int, int]  # width and height, pixels
NEAR = 1  # pixel, by which sizes of one image may differ where a driver rounds otherwise


def to_camera(info: Any, rectified: bool, size: Size | None = None) -> CameraModel:
    """Intrinsics from a sensor_msgs/CameraInfo.

    Of the rectified image (P, no distortion) if that is used; of what is read out of the sensor.
    Where K or P was never set, and there is no distortion, the other one tells the same. That P of
    a stereo pair's second camera tells where the first one is does not count: the frame of an image
    is taken for its own camera's.

    Args:
        size: of the image; None: not known.

    Raises:
        ValueError: the message holds values that cannot be used; one line says what would be right.
    """
    if not (info.width and info.height):
        raise ValueError(
            f"camera_info is of {info.width} x {info.height} pixels; the driver must fill in the "
            "size that K is of"
        )
    d = info.d if hasattr(info, "k") else info.D
    model, distortion = ("plumb_bob", ()) if rectified else read_lens(info.distortion_model, d)
    matrix = _matrix(info, rectified)
    whole = CameraModel(info.width, info.height, as_matrix(matrix), distortion, model)
    image_from_whole, width, height = read_out(info, size)
    return replace(whole, width=width, height=height, matrix=as_matrix(image_from_whole @ matrix))


def other_frame(info: Any, frame_id: str) -> str:
    """Why a calibration may be another camera's, by the frame of its images; empty if it is not."""
    of_info, of_images = (name.lstrip("/") for name in (info.header.frame_id, frame_id))
    if not of_info or of_info == of_images:
        return ""
    return (
        f"camera_info is of the frame {of_info!r}, its images of {of_images!r}: is it the "
        "calibration of this camera? the images' frame is used"
    )


def _matrix(info: Any, rectified: bool) -> np.ndarray:
    """The 3 x 3 matrix of the image, from K or P."""
    names = ("d", "k", "r", "p") if hasattr(info, "k") else ("D", "K", "R", "P")
    d, k, r, p = (np.asarray(getattr(info, name, ()), float).reshape(-1) for name in names)
    of_raw, of_rectified = k.reshape(3, 3), p.reshape(3, 4)[:, :3]
    matrix, other = (of_rectified, of_raw) if rectified else (of_raw, of_rectified)
    if not _is_unset(matrix):
        return matrix
    is_turned = r.any() and not np.array_equal(r.reshape(3, 3), np.eye(3))
    if not _is_unset(other) and not d.any() and not is_turned:
        return other
    if rectified:
        raise ValueError(
            "camera_info has no projection matrix P, which rectified images need: calibrate the "
            "camera, or set rectified to false"
        )
    raise ValueError(
        f"camera_info has no camera matrix: K is {of_raw.tolist()}, where focal lengths are "
        "expected; calibrate the camera, or use its rectified images and set rectified to true"
    )


def _is_unset(matrix: np.ndarray) -> bool:
    """Whether nobody ever set a matrix: drivers send zeros or the identity then."""
    return not matrix.any() or np.array_equal(matrix, np.eye(3))


def read_out(info: Any, size: Size | None = None) -> tuple[np.ndarray, int, int]:
    """What of its sensor a camera sends: the part of ``roi``, its pixels joined by ``binning``.

    Args:
        info: sensor_msgs/CameraInfo, whose other values are those of the whole sensor.
        size: of the image; where it differs from the part by a pixel, it is the part's. None: not
            known.

    Returns:
        3 x 3 from pixels of the whole sensor to those of the image, and the image's width and
        height.

    Raises:
        ValueError: the part does not lie in the sensor, or the image is another one.
    """
    roi = info.roi
    bx, by = max(1, info.binning_x), max(1, info.binning_y)
    x, y = roi.x_offset, roi.y_offset
    width, height = roi.width or info.width - x, roi.height or info.height - y
    beyond = max(x + width - info.width, y + height - info.height)
    part = width // bx, height // by
    if beyond > NEAR or width < bx or height < by:
        raise ValueError(
            f"region of interest {width} x {height} at ({x}, {y}), binned by {bx} x {by}, is no "
            f"part of the sensor's {info.width} x {info.height} pixels"
        )
    whole = info.width, info.height
    if size is not None and size != part and (part != whole):
        if _are_near(size, part):
            part = size
        elif (x, y, width, height) != (0, 0, *whole) and _is_larger(size, part):
            raise ValueError(
                f"camera_info names a region of interest of {width} x {height} pixels, binned by "
                f"{bx} x {by}, but the image has {size[0]} x {size[1]}; roi counts pixels of the "
                "whole sensor, before binning, and is 0 where all of it is sent: correct the driver"
            )
    moved = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    return resizing(1 / bx, 1 / by) @ moved, *part


def _is_larger(size: Size, other: Size) -> bool:
    return any(a > b + NEAR for a, b in zip(size, other, strict=True))


def _are_near(size: Size, other: Size) -> bool:
    """Whether two sizes are one, rounded in two ways."""
    return max(abs(size[0] - other[0]), abs(size[1] - other[1])) <= NEAR
