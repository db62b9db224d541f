"""How a GPU runs a network, on a CPU: the same labels, also in half precision, and from graphs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.half_precision import GpuHalfPrecision
from support.small import SMALL, shallow_backbones
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook

from stmem_ros.classes import CAMVID
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo, load_bundle
from stmem_ros.model.segmenter import Architecture, normalise
from stmem_ros.streaming import execution as executions
from stmem_ros.streaming.execution import Execution, Runner
from stmem_ros.streaming.kernels import cuda_graph
from stmem_ros.streaming.segmenter import StreamingSegmenter, push_together
from stmem_ros.streaming.transfer import _scaled, scaled_on_device

FORMS = {
    "light": dataclasses.replace(SMALL, form="light"),
    "published": SMALL,
    "psp": dataclasses.replace(SMALL, backbone="resnet50"),
    "without": dataclasses.replace(SMALL, stf=False),
}
pytestmark = pytest.mark.filterwarnings("ignore:model")


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Makes something as if the CPU were a GPU."""

    def make(function: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(executions, "is_gpu", lambda device: True)
            return function()

    return make


def model_of(architecture: Architecture) -> BundledSegmenter:
    torch.manual_seed(1)
    with shallow_backbones():
        model = BundledSegmenter(ModelInfo("small", architecture, CAMVID, height=96)).eval()
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.bias, std=0.5)
    return model


def logits(runner: Runner, fusions: list, images: list[np.ndarray]) -> Tensor:
    """Of the next frame of each of some streams."""
    batch = normalise(torch.from_numpy(np.stack(images)), (120, 120, 120), (60, 60, 60))
    fused, _ = runner.fuse(fusions, runner.features(batch))
    return runner.core.classify(runner.refine(fused)).float().clone()


class OverwritingGraphs:
    """In place of CUDA graphs: results lie where those of the last such call were."""

    def __init__(self) -> None:
        self._results: dict[object, Any] = {}

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        shapes = tuple(a.shape if isinstance(a, Tensor) else a for a in arguments)
        new = function(*[a.clone() if isinstance(a, Tensor) else a for a in arguments])
        kept = self._results.setdefault((function, shapes), _copy(new))
        for old, value in zip(_flat(kept), _flat(_copy(new)), strict=True):
            old.copy_(value)
        return kept


def _flat(results: Any) -> list[Tensor]:
    return [results] if isinstance(results, Tensor) else list(results)


def _copy(results: Any) -> Any:
    return results.clone() if isinstance(results, Tensor) else tuple(x.clone() for x in results)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("form", "graphs"),
    [("light", False), ("light", True), ("published", True), ("psp", False), ("without", True)],
)
def test_streams_that_go_together_in_any_way_are_as_each_alone(
    form: str, graphs: bool, on_gpu, frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "CudaGraphs", OverwritingGraphs)
    model = model_of(FORMS[form])
    alone = Runner(model, Execution("float32"))
    runner = on_gpu(lambda: Runner(model, Execution("float32", cuda_graphs=graphs)))
    streams = {name: runner.fusion() for name in "abc"}
    wanted = {name: alone.fusion() for name in "abc"}
    turned = [np.ascontiguousarray(f[:, ::-1]) for f in frames]
    views = {"a": frames, "b": turned, "c": frames[::-1]}
    seen = dict.fromkeys("abc", 0)
    for group in ("a", "ab", "c", "ab", "bc", "b", "abc", "abc", "ca"):
        images = [views[name][seen[name] % len(frames)][:48, :64] for name in group]
        for name in group:
            seen[name] += 1
        got = logits(runner, [streams[name] for name in group], images)
        for name, row, image in zip(group, got, images, strict=True):
            want = logits(alone, [wanted[name]], [image])[0]
            torch.testing.assert_close(row, want, atol=2e-4, rtol=1e-3)


@torch.inference_mode()
def test_states_of_cameras_that_stay_together_are_not_copied(on_gpu, frames) -> None:
    runner = on_gpu(lambda: Runner(model_of(FORMS["light"]), Execution("float32")))
    streams = [runner.fusion() for _ in range(2)]
    for image in frames[:3]:
        logits(runner, streams, [image[:64, :64]] * 2)
    one, other = (stream.memory for stream in streams)
    assert one.state is other.state and (one.row, other.row) == (0, 1)
    assert {len(x) for x in one.state} == {2}


@torch.inference_mode()
def test_each_number_of_cameras_is_rehearsed_as_they_come(on_gpu, frames) -> None:
    model = model_of(FORMS["light"])
    streams = on_gpu(lambda: [StreamingSegmenter(model) for _ in range(3)])
    sizes = []
    streams[0].core.backbone.register_forward_hook(lambda *a: sizes.append(len(a[1][0])))
    images = [frame[:64, :64].copy() for frame in frames]
    push_together(streams[:2], images[:2], [0.0] * 2)
    assert sizes == [1, 2, 2]
    push_together(streams, images[:3], [0.1] * 3)
    assert sizes == [1, 2, 2, 3, 3]
    streams[0].push(images[3], 0.2)
    assert sizes == [1, 2, 2, 3, 3, 1]
    results = push_together(streams, images[:3], [0.3] * 3)
    assert [r.window for r in results] == [3, 3, 2]  # what was rehearsed is in no window


@torch.inference_mode()
@pytest.mark.parametrize("form", ["light", "published"])
def test_convolutions_are_chosen_by_trial_and_are_no_tf32(form: str, on_gpu) -> None:
    """In all stages; what the host set holds again after them."""
    cudnn = torch.backends.cudnn
    runner = on_gpu(lambda: Runner(model_of(FORMS[form]), Execution("float32")))
    fusion, seen = runner.fusion(), []

    def look(part: torch.nn.Module, *others: Any) -> None:
        if isinstance(part, torch.nn.Conv2d):
            seen.append((cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32))

    with cudnn.flags(enabled=True, benchmark=False, allow_tf32=True):
        with register_module_forward_hook(look):
            fused, _ = runner.fuse([fusion], runner.features(torch.zeros(1, 3, 48, 64)))
            runner.decode(runner.refine(fused), 48, 64)
        assert (cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32) == (True, False, True)
    assert set(seen) == {(True, True, False)}


@torch.inference_mode()
def test_where_graphs_fail_frames_are_run_without_and_the_runner_says_why(
    on_gpu, frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(cuda_graph, "_Recording", fail)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    model = model_of(FORMS["light"])
    runner = on_gpu(lambda: Runner(model, Execution("float32", cuda_graphs=True)))
    plain = on_gpu(lambda: Runner(model, Execution("float32")))
    assert runner.problem == plain.problem == ""
    images = [frames[0][:48, :64]]
    with pytest.warns(UserWarning, match="out of memory"):
        got = logits(runner, [runner.fusion()], images)
    assert torch.equal(got, logits(plain, [plain.fusion()], images))
    assert "out of memory" in runner.problem and plain.problem == ""


def test_a_gpu_scales_images_as_opencv_does(frames) -> None:
    for size in ((48, 64), (50, 61), (96, 40), (192, 256), (131, 175)):
        mine = scaled_on_device(torch.from_numpy(frames[0]), size).numpy()
        difference = np.abs(mine - _scaled(frames[0], size).astype(float))
        # Halves; and OpenCV enlarges in whole numbers, in two steps.
        assert difference.max() <= 1 and difference.mean() < (0.2 if size[0] > 96 else 0.05)


def half_and_single(
    on_gpu, model: BundledSegmenter
) -> tuple[StreamingSegmenter, StreamingSegmenter]:
    half = on_gpu(lambda: StreamingSegmenter(model, execution=Execution("float16")))
    return half, StreamingSegmenter(model, execution=Execution("float32"))


@pytest.mark.skipif(not executions.FLOAT16_ON_CPU, reason="torch below 2.3 has no float16 on a CPU")
def test_float16_on_a_gpu_moves_few_labels_and_stays_finite(on_gpu, frames) -> None:
    half, single = half_and_single(on_gpu, load_bundle("onboard", "cpu"))
    black, white = np.zeros_like(frames[0]), np.full_like(frames[0], 255)
    noise = np.random.default_rng(0).integers(0, 2, frames[0].shape, np.uint8) * 255
    for i, image in enumerate((frames[0], frames[1], black, white, noise)):
        with GpuHalfPrecision():
            got = half.push(image, i / 10)  # raises where a value is not finite
        want = single.push(image, i / 10)
        if i < 2:
            assert (got.label == want.label).mean() > 0.99


@pytest.mark.slow
@pytest.mark.skipif("STMEM_CAMVID" not in os.environ, reason="STMEM_CAMVID names no CamVid folder")
@torch.inference_mode()
def test_float16_on_a_gpu_on_real_video(on_gpu, record_property) -> None:
    """Labels of the val clip; logits as far as rounding each layer's results goes."""
    root = Path(os.environ["STMEM_CAMVID"])
    model = load_bundle("onboard", "cpu")
    single = Runner(model, Execution("float32"))
    half = on_gpu(lambda: Runner(model, Execution("float16")))
    fusions = single.fusion(), half.fusion()
    means, same = [], []
    for name in (root / "val.txt").read_text().split():
        rgb = cv2.imread(str(root / "images" / f"{name}.jpg"))[..., ::-1].copy()
        want = logits(single, [fusions[0]], [rgb])
        with GpuHalfPrecision():
            got = logits(half, [fusions[1]], [rgb])
        means.append(float((got - want).abs().mean()))
        same.append(float((got.argmax(1) == want.argmax(1)).float().mean()))
    print(f"logits differ by {np.mean(means):.4f}, labels equal {100 * np.mean(same):.3f} %")
    assert np.mean(means) < 2e-2
    assert np.mean(same) > 0.999
