"""Making bags: from image files, from a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stmem_ros.geometry.camera import CameraModel, Mounting
from stmem_ros.io.bags import BAG_MESSAGES, CAMERA_INFO, COMPRESSED, RAW, TF, BagError, BagWriter
from stmem_ros.io.compressed_format import RGB_JPEG
from stmem_ros.io.image_folder import ImageFolderError, image_paths, read_names, without_suffix
from stmem_ros.io.images import (
    IMAGE_SUFFIXES,
    encode_jpeg,
    encoded_size,
    read_header,
    read_label,
)
from stmem_ros.io.video import Video, VideoError

START = 1_700_000_000 * 10**9  # stamp of the first frame, ns
CAMERA_FRAME = "camera_optical_frame"


@dataclass(frozen=True)
class EncodedFrame:
    """One frame for a bag.

    Attributes:
        data: the bytes of a JPEG or PNG.
        format_text: what they hold (:mod:`stmem_ros.io.compressed_format`).
        label: H x W uint8, None without.
        time: seconds since the first frame; None: the rate tells.
    """

    data: bytes
    format_text: str
    label: np.ndarray | None = None
    time: float | None = None


@dataclass(frozen=True)
class ImageFile:
    """An image file with its label file.

    Attributes:
        path, label: the files; no label: None.
        format_text: what it holds (:mod:`stmem_ros.io.compressed_format`).
        is_turned: EXIF says that people should look at it turned; its pixels stay as stored.
    """

    path: Path
    label: Path | None
    format_text: str
    is_turned: bool


def create_bag(
    path: Path,
    frames: Iterable[EncodedFrame],
    rate: float | None,
    camera: CameraModel | None,
    mounting: Mounting | None,
    force: bool = False,
) -> int:
    """Write frames at ``rate`` Hz, or at their own times where it is None; returns how many.

    With ``force`` in the place of another bag.
    Topics: ``/camera/image_raw/compressed``; ``/camera/label`` where frames have labels;
    ``/camera/camera_info`` with a camera; ``/tf_static`` with a mounting.
    """
    if rate is not None and not rate > 0:
        raise BagError(f"rate is {rate} Hz; it must be positive")
    count = 0
    with BagWriter(path, force=force) as bag:
        if mounting is not None:
            base = BAG_MESSAGES.header(START, "base_footprint")
            pose = BAG_MESSAGES.transform(mounting.base_from_camera(), CAMERA_FRAME, base)
            bag.write("/tf_static", TF, pose, START, latched=True)
        for frame in frames:
            seconds = count / rate if rate is not None else frame.time
            if seconds is None:
                raise BagError("frames without times need a rate")
            stamp = START + round(seconds * 1e9)
            header = BAG_MESSAGES.header(stamp, CAMERA_FRAME)
            if camera is not None:
                if not count:
                    _check_size(camera, frame.data)
                info = BAG_MESSAGES.camera_info(camera, header)
                bag.write("/camera/camera_info", CAMERA_INFO, info, stamp)
            if frame.label is not None:
                label = BAG_MESSAGES.image(frame.label, header)
                bag.write("/camera/label", RAW, label, stamp)
            message = BAG_MESSAGES.compressed_image(frame.data, frame.format_text, header)
            bag.write("/camera/image_raw/compressed", COMPRESSED, message, stamp)
            count += 1
    return count


def _check_size(camera: CameraModel, data: bytes) -> None:
    """Refuse a calibration of images of another size: no grid would come of them."""
    if (size := encoded_size(data)) != (camera.width, camera.height):
        raise BagError(
            f"the calibration is of {camera.width} x {camera.height} pixels, the images have "
            f"{size[0]} x {size[1]} as stored: calibrate the camera at this size"
        )


def image_files(images: Path, labels: Path | None, names: Path | None) -> list[ImageFile]:
    """The image files of a folder in order of their numbers, each with its label file.

    Args:
        images: folder of JPEG and PNG files.
        labels: folder with ``NAME.png`` of each image, or None.
        names: a text file with a name per line, which chooses and orders the images.

    Raises:
        BagError: no images; a file that is named is missing; a label has another size.
        ImageError: a file is no readable image.
    """
    try:
        found = {path.stem: path for path in image_paths(images)}
        chosen = read_names(names) if names else list(found)
    except ImageFolderError as error:
        raise BagError(str(error)) from error
    if not found:
        raise BagError(f"no {', '.join(IMAGE_SUFFIXES)} files in {images}")
    chosen = [name if name in found else without_suffix(name) for name in chosen]
    if missing := [name for name in chosen if name not in found]:
        raise BagError(f"{names} names {missing[0]} (and {len(missing) - 1} more) not in {images}")
    if not chosen:
        raise BagError(f"{names} names no image")
    return [_image_file(found[name], labels) for name in chosen]


def _image_file(path: Path, labels: Path | None) -> ImageFile:
    """An image file that was looked at, with its label file."""
    header = read_header(path)
    label = labels / f"{path.stem}.png" if labels else None
    is_turned = header.orientation != 1
    if label is not None:
        if not label.is_file():
            raise BagError(f"the label {label} of image {path.stem} is missing")
        size = read_header(label)
        if (size.width, size.height) != (header.width, header.height):
            turned = ", and its EXIF says that it is to be looked at turned" if is_turned else ""
            raise BagError(
                f"the label {label} has {size.width} x {size.height} pixels, its image {path} "
                f"{header.width} x {header.height} as stored{turned}"
            )
    return ImageFile(path, label, header.format_text, is_turned)


def read_files(files: list[ImageFile]) -> Iterator[EncodedFrame]:
    """The bytes of image files as they are, not encoded again."""
    for file in tqdm(files, desc="writing", unit="frame"):
        label = read_label(file.label) if file.label else None
        yield EncodedFrame(file.path.read_bytes(), file.format_text, label)


def read_video(video: Video) -> Iterator[EncodedFrame]:
    """The frames of a video at their times, encoded as JPEG of quality 95.

    Raises:
        VideoError: there is none.
    """
    count = 0
    with tqdm(total=video.announced, desc="writing", unit="frame") as progress:
        for frame in video.frames():
            data = encode_jpeg(frame.bgr[..., ::-1])
            yield EncodedFrame(data, RGB_JPEG, time=frame.time)
            count += 1
            progress.update()
    if not count:
        raise VideoError(video.problem or "the video holds no frame")
