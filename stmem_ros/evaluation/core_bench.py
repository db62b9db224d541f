"""How much a stream saves: plain form, stream and floor side by side, on equal weights."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from stmem_ros.data.classes import CAMVID, CITYSCAPES
from stmem_ros.model.bundle import (
    BundledSegmenter,
    ModelInfo,
    load_bundle,
    resolve_device,
    shipped_bundles,
)
from stmem_ros.model.segmenter import PRESETS
from stmem_ros.streaming.segmenter import StageTimings, StreamingSegmenter

RATE = 15.0  # Hz, of the images
STAGES = tuple(field.name for field in dataclasses.fields(StageTimings))


@dataclass(frozen=True)
class CoreTimes:
    """What ``stmem bench core`` reports: medians over frames, in ms a frame.

    Attributes:
        plain_ms: the plain form, every frame of the window through the backbone.
        streaming_ms: one ``StreamingSegmenter.push``.
        floor_ms: one frame through the plain backbone, head and classifier alone, to labels.
            Plain form and floor start with what the stream's network saw: images that are
            scaled and normalised already.
        max_abs_diff: largest difference of logits between stream and plain form.
        argmax_agreement: share of pixels with the same label in both.
        peak_memory_mb: of a process (or GPU) that streams.
        plain_peak_memory_mb: of one that runs the plain form.
        stages_ms: of ``streaming_ms``, by stage.
    """

    plain_ms: float
    streaming_ms: float
    floor_ms: float
    max_abs_diff: float
    argmax_agreement: float
    peak_memory_mb: float
    plain_peak_memory_mb: float
    stages_ms: dict[str, float]


def bench_core(name: str, size: tuple[int, int], device: str, repeats: int) -> CoreTimes:
    """Measure a bundle, or a preset such as ``psp50`` with random weights.

    Args:
        size: height and width of the images, pixels.
        repeats: frames that are timed; plain form, stream and floor take turns.

    Raises:
        BundleError, ValueError: no such model or device.
    """
    model = load_model(name, device)
    window = model.architecture.window
    images = scrolling(window + repeats, size)
    stream = StreamingSegmenter(model)
    seen, scores = _Recorded(stream.core.backbone), _Recorded(model.classifier)
    inputs: list[torch.Tensor] = []
    times: dict[str, list[float]] = {form: [] for form in ("plain", "streaming", "floor", *STAGES)}
    agree, difference = [], 0.0
    for i, image in enumerate(images):
        start = time.perf_counter()
        result = stream.push(image, i / RATE)
        seconds = time.perf_counter() - start
        inputs = [*inputs[1 - window :], seen.argument]
        logits = scores.result
        if i < window:
            continue
        times["streaming"].append(seconds)
        for stage in STAGES:
            times[stage].append(getattr(result.timings, stage))
        start = time.perf_counter()
        label, plain_logits = run_plain(model, inputs)
        times["plain"].append(time.perf_counter() - start)
        start = time.perf_counter()
        run_floor(model, inputs[-1])
        times["floor"].append(time.perf_counter() - start)
        label = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST)
        agree.append((result.label == label).mean())
        difference = max(difference, float((logits - plain_logits).abs().max()))
    inference_size = (inputs[-1].shape[-2], inputs[-1].shape[-1])
    ms = {form: 1e3 * float(np.median(seconds)) for form, seconds in times.items()}
    return CoreTimes(
        ms["plain"],
        ms["streaming"],
        ms["floor"],
        difference,
        float(np.mean(agree)),
        peak_memory_mb(name, size, device, "streaming"),
        peak_memory_mb(name, inference_size, device, "plain"),
        {stage: ms[stage] for stage in STAGES},
    )


def load_model(name: str, device: str) -> BundledSegmenter:
    """A bundle, or a preset with random weights."""
    if name not in PRESETS or name in shipped_bundles():
        return load_bundle(name, device)
    torch.manual_seed(0)
    architecture = PRESETS[name]
    classes = CITYSCAPES if architecture.classes == len(CITYSCAPES) else CAMVID
    model = BundledSegmenter(ModelInfo(name, architecture, classes, height=512))
    return model.eval().to(resolve_device(device))


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


class _Recorded:
    """The last argument and result of a module that is not changed otherwise."""

    def __init__(self, module: torch.nn.Module) -> None:
        module.register_forward_hook(self._record)

    def _record(self, module: torch.nn.Module, arguments: tuple, result: torch.Tensor) -> None:
        self.argument, self.result = arguments[0], result


@torch.inference_mode()
def run_plain(
    model: BundledSegmenter, inputs: list[torch.Tensor]
) -> tuple[np.ndarray, torch.Tensor]:
    """Labels of a window's target frame by the plain form, and its logits at feature size.

    Of what the network takes, 1 x 3 x H x W each.
    """
    window = model.features(torch.cat(inputs)).transpose(0, 1)[None]
    logits = model.classify(model.refine(model.fuse(window)))
    return _labels(model, logits, inputs[0]), logits


@torch.inference_mode()
def run_floor(model: BundledSegmenter, image: torch.Tensor) -> np.ndarray:
    """Labels of one frame 1 x 3 x H x W by backbone, head and classifier alone."""
    features = model.features(image)[:, : model.architecture.channels]
    return _labels(model, model.classify(features), image)


def _labels(model: BundledSegmenter, logits: torch.Tensor, image: torch.Tensor) -> np.ndarray:
    scores = model.upsample(logits, *image.shape[-2:]).softmax(dim=1)
    return scores.max(dim=1).indices[0].to(torch.uint8).cpu().numpy()


def peak_memory_mb(name: str, size: tuple[int, int], device: str, form: str) -> float:
    """Peak memory of a process of its own that runs one form for a few frames.

    ``size``: of the images of a stream, or of what the plain form's network sees.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory_here, (name, size, device, form))


def _peak_memory_here(name: str, size: tuple[int, int], device: str, form: str) -> float:
    model = load_model(name, device)
    window = model.architecture.window
    if form == "plain":
        on_device = next(model.parameters()).device
        run_plain(model, [torch.zeros(1, 3, *size, device=on_device)] * window)
    else:
        images = scrolling(window + 2, size)
        stream = StreamingSegmenter(model)
        for i, image in enumerate(images):
            stream.push(image, i / RATE)
    if next(model.parameters()).is_cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    # Not getrusage: what it tells survives exec, so that a child is never below its parent.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
