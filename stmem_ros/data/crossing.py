"""A thing that crosses: cut out of one frame by its labels, moved over the others of its run."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stmem_ros.data.dataset import Clip, SegmentationDataset

# Names of classes that move, in the label sets that are known (stmem_ros.classes).
MOVING = frozenset(
    [
        "pedestrian",
        "bicyclist",
        "car",
        "living",
        "vehicle",
        "person",
        "rider",
        "truck",
        "bus",
        "motorcycle",
        "bicycle",
    ]
)
WIDEST = 1 / 3  # of an image's width; a thing that is wider hides the street


@dataclass(frozen=True)
class CrossingThing:
    """What crosses, and the same coming from the other side.

    Attributes:
        rgb: h x w x 3 uint8, what a box about the thing shows.
        label: h x w uint8, the classes there.
        mask: h x w bool, where the thing is.
        top: row of the box in the image.
    """

    rgb: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    top: int

    def paste(
        self, rgb: np.ndarray, label: np.ndarray | None, moved: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """An image H x W x 3 uint8 and its labels H x W with the thing, once from each side.

        Args:
            moved: how many columns it has come, from where it is out of sight; it begins anew
                where it has left.
        """
        width, own = rgb.shape[1], self.mask.shape[1]
        way = width + own
        rgb, label = rgb.copy(), None if label is None else label.copy()
        _put(self, rgb, label, moved % way - own)
        mirrored = CrossingThing(
            self.rgb[:, ::-1], self.label[:, ::-1], self.mask[:, ::-1], self.top
        )
        _put(mirrored, rgb, label, width - (moved + way // 2) % way)
        return rgb, label


def find_crossing_thing(dataset: SegmentationDataset, clip: Clip) -> CrossingThing:
    """The largest thing of a class that moves, among those a run shows whole.

    Raises:
        ValueError: there is none; the message names the run.
    """
    moving = [c.id for c in dataset.classes if c.name in MOVING]
    best: tuple[int, str, tuple[slice, slice], np.ndarray] | None = None
    for name in clip.names:
        label = dataset.label(name) if dataset.has_label(name) else None
        if label is None:
            continue
        height, width = label.shape
        for class_id in moving:
            count, parts, boxes, _ = cv2.connectedComponentsWithStats(
                (label == class_id).astype(np.uint8)
            )
            for i in range(1, count):
                left, top, w, h, area = (int(x) for x in boxes[i])
                whole = left > 0 and left + w < width and top + h < height
                if whole and w <= WIDEST * width and (best is None or area > best[0]):
                    box = slice(top, top + h), slice(left, left + w)
                    best = area, name, box, parts[box] == i
    if best is None:
        raise ValueError(
            f"sequence {clip.sequence!r} shows nothing whole that moves "
            f"({', '.join(sorted(MOVING))}), so nothing can cross it"
        )
    _, name, box, mask = best
    label = dataset.label(name)
    assert label is not None
    return CrossingThing(dataset.image(name)[box], label[box], mask, box[0].start)


def _put(thing: CrossingThing, rgb: np.ndarray, label: np.ndarray | None, left: int) -> None:
    """Draw what of a thing is in the image when its box begins in column ``left``, in place."""
    height, own = thing.mask.shape
    first, last = max(0, -left), min(own, rgb.shape[1] - left)
    if first >= last:
        return
    here = slice(thing.top, thing.top + height), slice(left + first, left + last)
    mask = thing.mask[:, first:last]
    rgb[here][mask] = thing.rgb[:, first:last][mask]
    if label is not None:
        label[here][mask] = thing.label[:, first:last][mask]
