"""Making bags: from image files, from a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from stmem_ros.geometry.camera import CameraModel, Mounting
from stmem_ros.io.bags import BAG_MESSAGES, CAMERA_INFO, COMPRESSED, RAW, TF, BagError, BagWriter
from stmem_ros.io.images import IMAGE_SUFFIXES, read_label

START = 1_700_000_000 * 10**9  # stamp of the first frame, ns
CAMERA_FRAME = "camera_optical_frame"


@dataclass(frozen=True)
class EncodedFrame:
    """One frame for a bag: the bytes of a JPEG or PNG, its kind, its labels if there are any."""

    data: bytes
    kind: str
    label: np.ndarray | None = None


def create_bag(
    path: Path,
    frames: Iterable[EncodedFrame],
    rate: float,
    camera: CameraModel | None,
    mounting: Mounting | None,
    force: bool = False,
) -> int:
    """Write frames at ``rate`` Hz; returns how many. With ``force`` in the place of another bag.

    Topics: ``/camera/image_raw/compressed``; ``/camera/label`` where frames have labels;
    ``/camera/camera_info`` with a camera; ``/tf_static`` with a mounting.
    """
    if not rate > 0:
        raise BagError(f"rate is {rate} Hz; it must be positive")
    count = 0
    with BagWriter(path, force=force) as bag:
        if mounting is not None:
            base = BAG_MESSAGES.header(START, "base_footprint")
            pose = BAG_MESSAGES.transform(mounting.base_from_camera(), CAMERA_FRAME, base)
            bag.write("/tf_static", TF, pose, START, latched=True)
        for frame in frames:
            stamp = START + round(count / rate * 1e9)
            header = BAG_MESSAGES.header(stamp, CAMERA_FRAME)
            if camera is not None:
                info = BAG_MESSAGES.camera_info(camera, header)
                bag.write("/camera/camera_info", CAMERA_INFO, info, stamp)
            if frame.label is not None:
                label = BAG_MESSAGES.image(frame.label, header)
                bag.write("/camera/label", RAW, label, stamp)
            message = BAG_MESSAGES.compressed_image(frame.data, frame.kind, header)
            bag.write("/camera/image_raw/compressed", COMPRESSED, message, stamp)
            count += 1
    return count


def image_files(
    images: Path, labels: Path | None, names: Path | None
) -> list[tuple[Path, Path | None]]:
    """The image files of a folder in order of their names, each with its label file.

    Args:
        images: folder of JPEG and PNG files.
        labels: folder with ``NAME.png`` of each image, or None.
        names: a text file with a name (without suffix) a line, which chooses and orders the images.

    Raises:
        BagError: no images, or a file that is named is missing.
    """
    found = {
        p.stem: p
        for p in (sorted(images.iterdir()) if images.is_dir() else [])
        if p.suffix.lower() in IMAGE_SUFFIXES
    }
    if not found:
        raise BagError(f"no {', '.join(IMAGE_SUFFIXES)} files in {images}")
    chosen = names.read_text().split() if names else list(found)
    if missing := [name for name in chosen if name not in found]:
        raise BagError(f"{names} names {missing[0]} (and {len(missing) - 1} more) not in {images}")
    pairs = []
    for name in chosen:
        label = labels / f"{name}.png" if labels else None
        if label and not label.is_file():
            raise BagError(f"the label {label} of image {name} is missing")
        pairs.append((found[name], label))
    return pairs


def read_files(files: list[tuple[Path, Path | None]]) -> Iterator[EncodedFrame]:
    """The bytes of image files as they are, not encoded again."""
    for path, label in tqdm(files, desc="writing", unit="frame"):
        kind = "png" if path.suffix.lower() == ".png" else "jpeg"
        yield EncodedFrame(path.read_bytes(), kind, read_label(label) if label else None)


def read_video(path: Path) -> tuple[float, Iterator[EncodedFrame]]:
    """Frame rate of a video file and its frames, encoded as JPEG of quality 95.

    Raises:
        BagError: the file is missing or no video.
    """
    video = cv2.VideoCapture(str(path))
    rate = video.get(cv2.CAP_PROP_FPS)
    if not video.isOpened() or not rate > 0:
        raise BagError(f"{path} is missing or no readable video")

    def frames() -> Iterator[EncodedFrame]:
        total = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
        with tqdm(total=total, desc="writing", unit="frame") as progress:
            while True:
                there, pixels = video.read()
                if not there:
                    return
                quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
                yield EncodedFrame(cv2.imencode(".jpg", pixels, quality)[1].tobytes(), "jpeg")
                progress.update()

    return rate, frames()
