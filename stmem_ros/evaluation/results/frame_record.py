"""One row per frame: ``frames.parquet`` (the same in every run) and ``timings.parquet`` (measured).

Both have a column for each field of the dataclass of that name; numbers without a value are null,
sequences are lists. Rows of a bag and model lie together, in the order of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FrameRecord:
    """A row of ``frames.parquet``. Shares, not percent; stamps in ns.

    Lists of counts hold one number per class, so that figures of any choice of frames follow from
    their sums: IoU of a class is sum(hits) / sum(union), mIoU the mean over classes that occur.

    Attributes:
        bag, model: names of the bag and the model, as in ``metrics.json``.
        index, stamp, received, state, reason, restarted, window, reference_problem, map_problem:
            as in ``ReplayedFrame``.
        memory_share: the weight of earlier frames in the fused features, 0..1; null if the network
            cannot tell.
        strangeness: how unlike known streets the image is, about 0.6 is usual; null if not known.
        mean_confidence: of all pixels, 0..1.
        miou, pixel_accuracy, boundary_f: against the reference, of this frame alone.
        consistency: mIoU against the labels of the labelled frame before, warped by optical flow.
        flicker: label changes per second along the flow since the frame before, of all pixels.
        vc8, vc16: share of the pixels with a steady reference that were right in the last 8 (16)
            frames.
        coverage: share of the ground in view within range that the grid knows.
        grid_age: seconds since the newest grid, 0 if this frame made it; null before the first.
        in_view: cells of that ground.
        grid_known: cells of the whole grid that are known.
        occupied, occupied_free, occupied_doubtful, ground, ground_lethal: cells as in
            ``GridAgreement``; 0 without reference points.
        latency_ms: of the simulated machine; null without one.
        hits, union: pixels per class, right, and labelled so in either image.
        right, labelled: pixels of all classes.
        boundary_hits, boundary_totals: boundary pixels matched, and all; of the prediction for
            every class, then of the reference.
        steady_hits, steady_union: as ``hits`` and ``union``, against the warped labels before.
        changes: pixels whose label changed along the flow, by the class before.
        exposure: pixel-seconds they were watched for, by the class before.
        camera: its name, as of the node's parameter ``cameras``.
    """

    bag: str
    model: str
    index: int
    stamp: int
    received: int
    state: str
    reason: str
    restarted: str
    window: int
    reference_problem: str
    map_problem: str
    memory_share: float | None = None
    strangeness: float | None = None
    mean_confidence: float | None = None
    miou: float | None = None
    pixel_accuracy: float | None = None
    boundary_f: float | None = None
    consistency: float | None = None
    flicker: float | None = None
    vc8: float | None = None
    vc16: float | None = None
    coverage: float | None = None
    grid_age: float | None = None
    in_view: int | None = None
    grid_known: int | None = None
    occupied: int | None = None
    occupied_free: int | None = None
    occupied_doubtful: int | None = None
    ground: int | None = None
    ground_lethal: int | None = None
    latency_ms: float | None = None
    hits: tuple[int, ...] | None = None
    union: tuple[int, ...] | None = None
    right: int | None = None
    labelled: int | None = None
    boundary_hits: tuple[int, ...] | None = None
    boundary_totals: tuple[int, ...] | None = None
    steady_hits: tuple[int, ...] | None = None
    steady_union: tuple[int, ...] | None = None
    changes: tuple[int, ...] | None = None
    exposure: tuple[float, ...] | None = None
    camera: str = ""


@dataclass(frozen=True)
class TimingRecord:
    """A row of ``timings.parquet``: milliseconds as in ``FrameTimings``, of labelled frames."""

    bag: str
    model: str
    index: int
    decode_image_ms: float
    upload_ms: float
    backbone_ms: float
    stf_ms: float
    mar_ms: float
    decode_ms: float
    costmap_ms: float
    total_ms: float
    latency_ms: float


@dataclass(frozen=True)
class MissingGrids:
    """Frames without a grid, of one kind of reason.

    Attributes:
        kind: of ``MapProblem``, in lower case; for frames without labels their ``FrameState``.
        frames: how many.
        first: the first one's reason, one line.
    """

    kind: str
    frames: int
    first: str


@dataclass(frozen=True)
class Fault:
    """A frame that something is wrong with: damaged, of another size, with a stamp that went back.

    Attributes:
        index, stamp: as in ``ReplayedFrame``.
        reason: one line.
    """

    index: int
    stamp: int
    reason: str
