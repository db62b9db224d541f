"""What each figure is called, means, and which way is better: for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Definition:
    """A figure of ``Figures`` or ``TimingFigures``.

    Attributes:
        name: field.
        title, unit: as shown; unit ``%`` shows shares in percent.
        better: 1 if higher is better, -1 if lower is, 0 if it only describes.
        meaning: one sentence.
        digits: after the point.
    """

    name: str
    title: str
    unit: str
    better: int
    meaning: str
    digits: int = 1


FIGURES = (
    Definition("drop_rate", "images dropped", "%", -1, "Share of the images that never reached the "
               "model: lost, or replaced by newer ones."),
    Definition("miou", "mIoU", "%", 1, "Intersection over union of labels and reference, over all "
               "scored pixels; mean over the classes that occur.", 2),
    Definition("pixel_accuracy", "pixels right", "%", 1, "Share of reference pixels that are "
               "labelled right.", 2),
    Definition("boundary_f", "boundary F", "%", 1, "Agreement of the edges of each class within "
               "0.75 % of the image diagonal; mean over classes.", 2),
    Definition("boundary_iou", "boundary IoU", "%", 1, "IoU of bands along the edges, 2 % of the "
               "diagonal wide; mean over classes.", 2),
    Definition("vc8", "VC8", "%", 1, "Of the pixels whose reference stays the same over 8 frames, "
               "the share that is right in all of them.", 2),
    Definition("vc16", "VC16", "%", 1, "The same over 16 frames.", 2),
    Definition("ece", "calibration error", "%", -1, "Mean distance of confidence and share that is "
               "right, over 15 bins of confidence (ECE).", 2),
    Definition("mean_confidence", "mean confidence", "%", 0, "Of all labelled pixels.", 2),
    Definition("temporal_consistency", "temporal consistency", "%", 1, "mIoU of the labels against "
               "those of the frame before, carried along by optical flow; needs no reference.", 2),
    Definition("flicker", "flicker", "1/s", -1, "How often a pixel's label changes per second, "
               "followed along the optical flow.", 3),
    Definition("coverage", "coverage", "%", 1, "Share of the ground in view and within range that "
               "has a class in the grid; doubtful ground has none."),
    Definition("grid_age_mean_s", "age of the grid, mean", "s", -1, "How old the newest grid is "
               "when an image arrives.", 3),
    Definition("grid_age_max_s", "age of the grid, largest", "s", -1, "The longest time the "
               "planner would have seen no new grid.", 3),
    Definition("occupied_not_free", "occupied cells not free", "%", 1, "Of the cells that lidar or "
               "depth points fill and that have a class, the share that is not free."),
    Definition("occupied_doubtful", "occupied cells doubtful", "%", -1, "Of the cells that such "
               "points fill and that have a class or are doubtful ground, the share that is "
               "doubtful."),
    Definition("ground_not_lethal", "ground not lethal", "%", 1, "Of the cells where points show "
               "ground alone and that have a class, the share that is not lethal."),
    Definition("latency_p50_ms", "latency, median", "ms", -1, "Image in to label out."),
    Definition("latency_p95_ms", "latency, 95th percentile", "ms", -1, "The same."),
    Definition("latency_mean_ms", "latency, mean", "ms", -1, "The same."),
    Definition("latency_max_ms", "latency, largest", "ms", -1, "The same."),
)  # fmt: skip

COUNTS = (
    Definition("frames", "images", "", 0, "Images replayed.", 0),
    Definition("labelled", "labelled", "", 0, "Images that got labels.", 0),
    Definition("dropped", "dropped", "", 0, "Lost on the way, or replaced by a newer one.", 0),
    Definition("late", "late", "", 0, "Came after a newer one.", 0),
    Definition("invalid", "damaged", "", 0, "Could not be decoded or used.", 0),
    Definition("unlabelled", "without label", "", 0, "Used, but no label came (the last images of "
               "a centred model).", 0),
    Definition("restarts", "restarts", "", 0, "Times the stream began anew: a stamp that went "
               "back, a gap, a new image size.", 0),
    Definition("scored", "with reference", "", 0, "Labelled images that were compared with "
               "reference labels.", 0),
    Definition("maps", "grid updates", "", 0, "Images whose labels reached the grid.", 0),
)  # fmt: skip

CURVES = (
    Definition("miou", "mIoU", "%", 1, "of the frame alone"),
    Definition("boundary_f", "boundary F", "%", 1, "of the frame alone"),
    Definition("vc8", "VC8", "%", 1, "of the last 8 frames"),
    Definition("consistency", "consistency", "%", 1, "with the frame before"),
    Definition("flicker", "flicker", "1/s", -1, "since the frame before"),
    Definition("mean_confidence", "confidence", "%", 0, "mean"),
    Definition("coverage", "coverage", "%", 1, "of the ground in view"),
    Definition("grid_age", "age of grid", "s", -1, ""),
    Definition("occupied_not_free", "occupied not free", "%", 1, "of the cells with points"),
    Definition("latency_ms", "latency", "ms", -1, "simulated, else measured"),
)
