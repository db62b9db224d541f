"""Small bags for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from stmem_ros.io.bags import BAG_MESSAGES, COMPRESSED, RAW, TF, BagReader, BagWriter

START = 1_700_000_000 * 10**9
PERIOD = 10**8  # ns, of 10 Hz


def jpeg(rgb: np.ndarray) -> bytes:
    """An image as JPEG."""
    return cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes()


def write_bag(
    path: Path,
    images: Sequence[bytes],
    labels: Sequence[np.ndarray | None] = (),
    stamps: Sequence[int] | None = None,
) -> Path:
    """A bag of compressed images at 10 Hz, and labels of the same stamps.

    ``stamps``: of the headers, ns; they are recorded at 10 Hz whatever their stamps say.
    """
    with BagWriter(path) as bag:
        for i, data in enumerate(images):
            received = START + i * PERIOD
            stamp = received if stamps is None else stamps[i]
            header = BAG_MESSAGES.header(stamp, "camera")
            message = BAG_MESSAGES.compressed_image(data, "jpeg", header)
            bag.write("/camera/image_raw/compressed", COMPRESSED, message, received)
            if i < len(labels) and labels[i] is not None:
                label = BAG_MESSAGES.image(labels[i], header)
                bag.write("/camera/label", RAW, label, received)
    return path


def panorama(count: int, seed: int = 7) -> list[np.ndarray]:
    """RGB images of 96 x 128 that scroll by 2 pixels a frame."""
    random = np.random.default_rng(seed)
    width = 128 + 2 * count
    coarse = random.integers(0, 256, (12, -(-width // 8), 3)).repeat(8, 0).repeat(8, 1)[:, :width]
    scene = np.clip(coarse + random.integers(-20, 21, (96, width, 3)), 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(scene[:, 2 * i : 2 * i + 128]) for i in range(count)]


def rename_frames(source: Path, target: Path, names: dict[str, str]) -> None:
    """A copy of a bag whose transforms join frames of other names."""
    with BagReader(source) as bag, BagWriter(target) as copy:
        for record in bag.records():
            message = bag.decode(record)
            for t in message.transforms if record.type == TF else ():
                t.header.frame_id = names.get(t.header.frame_id, t.header.frame_id)
                t.child_frame_id = names.get(t.child_frame_id, t.child_frame_id)
            latched = record.topic.endswith("static")
            copy.write(record.topic, record.type, message, record.time, latched)
