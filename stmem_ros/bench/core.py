"""How much a stream saves: plain form, stream and floor side by side, on equal weights."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from dataclasses import dataclass

import numpy as np
import torch

from stmem_ros.bench.ceiling import (
    Rates,
    StageLimit,
    count_work,
    measure_rates,
    stage_limits,
    wait_for,
)
from stmem_ros.classes import CAMVID, CITYSCAPES
from stmem_ros.io.peak_memory import peak_memory_mb
from stmem_ros.model.bundle import (
    BundledSegmenter,
    ModelInfo,
    load_bundle,
    resolve_device,
    shipped_bundles,
)
from stmem_ros.model.segmenter import PRESETS, normalise
from stmem_ros.streaming.execution import Execution
from stmem_ros.streaming.kernels.allocator import keep_freed_memory
from stmem_ros.streaming.segmenter import StageTimings, StreamingSegmenter, push_together

RATE = 15.0  # Hz, of the images
LARGE = 2**18  # pixels; feature maps take up to 128 bytes for each: 32 MB in all
STAGES = tuple(field.name for field in dataclasses.fields(StageTimings))
FORMS = ("plain", "streaming", "together", "floor", *STAGES)


@dataclass(frozen=True)
class CoreTimes:
    """What ``stmem bench core`` reports: medians over frames, in ms a frame.

    All forms run in one process: where it keeps freed memory, for large images or several cameras,
    that serves the plain form too.

    Attributes:
        plain_ms: the plain form, every frame of the window through the backbone.
        streaming_ms: one ``StreamingSegmenter.push``.
        floor_ms: one frame through the plain backbone, head and classifier alone, to labels.
        max_abs_diff: largest difference of logits between stream and plain form.
        argmax_agreement: share of pixels with the same label in both.
        peak_memory_mb: of a process (or GPU) that streams.
        plain_peak_memory_mb: of one that runs the plain form.
        stages_ms: of ``streaming_ms``, by stage.
        precision: the stream's; plain form and floor are in float32.
        cameras: streams that are pushed together, each with a frame of its own.
        together_ms: one such push; None for one camera.
        rates: of the device, measured.
        limits: what each stage takes at least at those rates (stmem_ros.bench.ceiling).
    """

    plain_ms: float
    streaming_ms: float
    floor_ms: float
    max_abs_diff: float
    argmax_agreement: float
    peak_memory_mb: float
    plain_peak_memory_mb: float
    stages_ms: dict[str, float]
    precision: str
    cameras: int
    together_ms: float | None
    rates: Rates
    limits: dict[str, StageLimit]


def bench_core(
    name: str,
    size: tuple[int, int],
    device: str,
    repeats: int,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
    cameras: int = 1,
) -> CoreTimes:
    """Measure a bundle, or a preset such as ``psp50`` with random weights.

    For a process of its own: where images are large, it keeps freed memory from now on.

    Args:
        size: height and width of the images, pixels.
        repeats: frames that are timed; plain form, stream and floor take turns.
        execution: how the stream is run.
        cameras: also time as many streams that are pushed together.

    Raises:
        BundleError, ValueError: no such model or device.
    """
    model = load_model(name, device)
    _keep_memory_if_large(model, size, cameras)
    window = model.architecture.window
    images = scrolling(window + repeats, size)
    forms = _Forms(model, execution, cameras)
    for i, image in enumerate(images):
        forms.push(image, i / RATE, is_timed=i >= window)
        if i >= window:
            forms.compare(images[i - window + 1 : i + 1])
    ms = {form: 1e3 * float(np.median(seconds)) for form, seconds in forms.times.items()}
    precision = forms.stream.runner.execution.precision
    rates = measure_rates(forms.stream.device, precision)
    return CoreTimes(
        plain_ms=ms["plain"],
        streaming_ms=ms["streaming"],
        floor_ms=ms["floor"],
        max_abs_diff=forms.largest_difference,
        argmax_agreement=float(np.mean(forms.agreements)),
        peak_memory_mb=form_memory_mb(name, size, device, "streaming", execution),
        plain_peak_memory_mb=form_memory_mb(name, size, device, "plain", execution),
        stages_ms={stage: ms[stage] for stage in STAGES},
        precision=precision,
        cameras=cameras,
        together_ms=ms["together"] if cameras > 1 else None,
        rates=rates,
        limits=stage_limits(count_work(model, size, precision), rates),
    )


class _Forms:
    """The forms of a network, which take turns frame by frame.

    Attributes:
        times: seconds per frame of each of ``FORMS``.
        agreements: share of the pixels labelled alike by stream and plain form, per frame.
        largest_difference: of their logits.
    """

    def __init__(self, model: BundledSegmenter, execution: Execution, cameras: int) -> None:
        self.times: dict[str, list[float]] = {form: [] for form in FORMS}
        self.agreements: list[float] = []
        self.largest_difference = 0.0
        self.stream = StreamingSegmenter(model, execution=execution)
        self._model = model
        self._cameras = [StreamingSegmenter(model, execution=execution) for _ in range(cameras)]
        self._fusion = self.stream.runner.fusion()  # for the logits, which a stream does not give

    def push(self, image: np.ndarray, stamp: float, is_timed: bool) -> None:
        """Push a frame through the stream, and through those of several cameras together."""
        network = self.stream.runner
        with torch.inference_mode():
            fused, _ = self._fusion.push(network.features(prepared(self._model, image)))
            self._logits = self.stream.core.classify(network.refine(fused))
        wait_for(self.stream.device)
        started = time.perf_counter()
        self._segmentation = self.stream.push(image, stamp)
        pushed = time.perf_counter()
        cameras = len(self._cameras)
        if cameras > 1:
            push_together(self._cameras, [image] * cameras, [stamp] * cameras)
        if is_timed:
            self.times["together"].append(time.perf_counter() - pushed)
            self.times["streaming"].append(pushed - started)
            for stage in STAGES:
                self.times[stage].append(getattr(self._segmentation.timings, stage))

    def compare(self, images: list[np.ndarray]) -> None:
        """Run plain form and floor on the window that the newest frame completes."""
        started = time.perf_counter()
        label, logits = run_plain(self._model, images)
        self.times["plain"].append(time.perf_counter() - started)
        started = time.perf_counter()
        run_floor(self._model, images[-1])
        self.times["floor"].append(time.perf_counter() - started)
        self.agreements.append(float((self._segmentation.label == label).mean()))
        difference = float((self._logits - logits).abs().max())
        self.largest_difference = max(self.largest_difference, difference)


def load_model(name: str, device: str) -> BundledSegmenter:
    """A bundle, or a preset with random weights."""
    if name not in PRESETS or name in shipped_bundles():
        return load_bundle(name, device)
    torch.manual_seed(0)
    architecture = PRESETS[name]
    classes = CITYSCAPES if architecture.classes == len(CITYSCAPES) else CAMVID
    model = BundledSegmenter(ModelInfo(name, architecture, classes, height=512))
    return model.eval().to(resolve_device(device))


def _keep_memory_if_large(model: BundledSegmenter, size: tuple[int, int], cameras: int) -> None:
    """A stream of smaller images gains nothing, but the plain form would."""
    pixels = cameras * size[0] * size[1] * model.architecture.zoom**2
    if next(model.parameters()).device.type == "cpu" and pixels > LARGE:
        keep_freed_memory()


def scrolling(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Images of a scene with structure at several scales that scrolls by 3 pixels a frame."""
    random = np.random.default_rng(0)
    height, width = size
    wide = width + 3 * count
    scene = random.integers(-20, 21, (height, wide, 3)).astype(np.float32)
    for scale in (16, 64):
        coarse = random.integers(0, 128, (height // scale + 2, wide // scale + 2, 3))
        scene += coarse.repeat(scale, 0).repeat(scale, 1)[:height, :wide]
    whole = np.clip(scene, 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(whole[:, 3 * i : 3 * i + width]) for i in range(count)]


def prepared(model: BundledSegmenter, *images: np.ndarray) -> torch.Tensor:
    """Images H x W x 3 as the network takes them, N x 3 x H x W."""
    rgb = torch.from_numpy(np.stack(images)).to(next(model.parameters()).device)
    return normalise(rgb, model.info.mean, model.info.std)


@torch.inference_mode()
def run_plain(model: BundledSegmenter, images: list[np.ndarray]) -> tuple[np.ndarray, torch.Tensor]:
    """Labels of a window's target frame by the plain form, and its logits at feature size."""
    window = model.features(prepared(model, *images)).transpose(0, 1)[None]
    logits = model.classify(model.refine(model.fuse(window)))
    scores = model.upsample(logits, *images[0].shape[:2]).softmax(dim=1)
    return scores.max(dim=1).indices[0].to(torch.uint8).cpu().numpy(), logits


@torch.inference_mode()
def run_floor(model: BundledSegmenter, image: np.ndarray) -> np.ndarray:
    """Labels of one frame by backbone, head and classifier alone."""
    features = model.features(prepared(model, image))[:, : model.architecture.channels]
    scores = model.upsample(model.classify(features), *image.shape[:2]).softmax(dim=1)
    return scores.max(dim=1).indices[0].to(torch.uint8).cpu().numpy()


def form_memory_mb(
    name: str, size: tuple[int, int], device: str, form: str, execution: Execution
) -> float:
    """Peak memory of a process of its own that runs one form for a few frames."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run_form, (name, size, device, form, execution))


def _run_form(
    name: str, size: tuple[int, int], device: str, form: str, execution: Execution
) -> float:
    model = load_model(name, device)
    window = model.architecture.window
    images = scrolling(window + 2, size)
    if form == "plain":
        run_plain(model, images[:window])
    else:
        _keep_memory_if_large(model, size, cameras=1)
        stream = StreamingSegmenter(model, execution=execution)
        for i, image in enumerate(images):
            stream.push(image, i / RATE)
    return peak_memory_mb(next(model.parameters()).device)
