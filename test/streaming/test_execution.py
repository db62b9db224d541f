"""Precision, compilation, CUDA graphs and batches of cameras change no labels but by rounding."""

import dataclasses
import re
import warnings
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.small import SMALL, small_bank

from stmem_ros.classes import CAMVID
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo, load_bundle, read_info, save_bundle
from stmem_ros.model.segmenter import FORMS
from stmem_ros.streaming.execution import PRECISIONS, Execution
from stmem_ros.streaming.segmenter import StreamingSegmenter, push_together

GPU = pytest.param(
    "cuda",
    marks=pytest.mark.skipif(
        not torch.cuda.is_available(), reason="needs a CUDA GPU; torch sees none on this machine"
    ),
)

SECOND_GPU = pytest.param(
    "cuda:1",
    marks=pytest.mark.skipif(
        torch.cuda.device_count() < 2, reason="needs two CUDA GPUs; torch sees fewer here"
    ),
)


def computes_halves() -> bool:
    """Whether this torch resizes float16 on a CPU; 2.2 convolves it, and does not resize it."""
    x = torch.zeros(1, 1, 2, 2).half().contiguous(memory_format=torch.channels_last)
    try:
        F.interpolate(x, size=(4, 4), mode="bilinear")
    except RuntimeError:
        return False
    return True


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@cache
def model_of(form: str, device: str = "cpu") -> BundledSegmenter:
    """One for all tests: none changes it."""
    return new_model(form, device)


def new_model(form: str, device: str = "cpu") -> BundledSegmenter:
    """The shipped bundle for the light form, a small random network for the published one."""
    if form == "light":
        return load_bundle("onboard", device)
    torch.manual_seed(1)
    info = ModelInfo("small", SMALL, CAMVID, height=96)
    model = BundledSegmenter(info).eval()
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.bias, std=0.5)
    return model.to(device)


def agreement(stream: StreamingSegmenter, other: StreamingSegmenter, frames) -> float:
    """Smallest share of equal labels over all frames."""
    return min(
        (stream.push(f, i / 10).label == other.push(f, i / 10).label).mean()
        for i, f in enumerate(frames)
    )


@pytest.mark.filterwarnings("ignore:model")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("device", ["cpu", GPU])
def test_less_precision_moves_few_labels(form: str, device: str, precision: str, frames) -> None:
    if (device, precision) == ("cpu", "float16") and not computes_halves():
        pytest.skip("this torch has no float16 on a CPU")
    model = model_of(form, device)
    exact = StreamingSegmenter(model, execution=Execution("float32"))
    reduced = StreamingSegmenter(model, execution=Execution(precision))
    dtypes = []
    reduced.core.head.register_forward_hook(lambda *a: dtypes.append(a[2].dtype))
    same = agreement(reduced, exact, frames[:4])
    assert getattr(torch, precision) in dtypes
    assert 0.97 < same <= 1


def test_auto_is_float32_on_a_cpu_and_float16_on_a_gpu() -> None:
    assert Execution().on(torch.device("cpu")).precision == "float32"
    assert Execution().on(torch.device("cuda")).precision == "float16"
    assert Execution("bfloat16").on(torch.device("cuda")).precision == "bfloat16"


def test_a_precision_that_was_not_checked_is_warned_of_once(tmp_path: Path) -> None:
    model = new_model("published")
    with pytest.warns(UserWarning, match=r"'small'.*bfloat16.*float32"):
        StreamingSegmenter(model, execution=Execution("bfloat16"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StreamingSegmenter(model, execution=Execution("bfloat16"))
        StreamingSegmenter(model)
        info = dataclasses.replace(model.info, checked=("float32", "bfloat16"))
        save_bundle(tmp_path, model, info, small_bank())
        assert read_info(tmp_path).checked == ("float32", "bfloat16")
        StreamingSegmenter(load_bundle(tmp_path, "cpu"), execution=Execution("bfloat16"))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"precision": "float64"}, f"'float64'.*{', '.join(PRECISIONS)}"),
        ({"cuda_graphs": True}, "cuda_graphs.*'cpu'"),
    ],
)
def test_what_cannot_be_done_is_refused(values: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        StreamingSegmenter(model_of("published"), execution=Execution(**values))


@pytest.mark.skipif(computes_halves(), reason="this torch has float16 on a CPU")
def test_float16_is_refused_on_a_cpu_where_torch_has_none() -> None:
    named = rf"'float16'.*'cpu'.*2\.3.*{re.escape(torch.__version__)}"
    with pytest.raises(ValueError, match=named):
        StreamingSegmenter(model_of("published"), execution=Execution("float16"))


@torch.inference_mode()
def test_a_fusion_goes_on_from_its_state(form: str) -> None:
    core = StreamingSegmenter(model_of(form)).core
    one, other = core.fusion(), core.fusion()
    for i, image in enumerate(torch.randn(5, 1, 3, 64, 96)):
        features = core.features(image)
        wanted, share = one.push(features)
        if i == 0:
            other.push(features)
        else:
            other.resume(state, features.shape[-2:])  # noqa: F821 (of the frame before)
            torch.testing.assert_close(other.push(features), (wanted, share), equal_nan=True)
        assert torch.cat([wanted] * 2).is_contiguous(memory_format=torch.channels_last)
        state = one.state()
        assert [x.shape for x in state] == [x.shape for x in other.state()]


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", GPU])
def test_compiled_streams_give_the_same_labels(form: str, device: str, frames) -> None:
    model = model_of(form, device)
    compiled = StreamingSegmenter(model, execution=Execution("float32", compile=True))
    plain = StreamingSegmenter(model, execution=Execution("float32"))
    assert agreement(compiled, plain, frames) > 0.999


@pytest.mark.slow
def test_every_size_and_camera_is_compiled(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch stops compiling a function, with a warning, after some versions of it."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    model = model_of(form)
    compiled = Execution("float32", compile=True)
    for height, cameras in ((64, 1), (96, 2), (80, 3)):
        streams = [StreamingSegmenter(model, execution=compiled) for _ in range(cameras)]
        for i in range(3):
            images = [np.zeros((height, 96, 3), np.uint8)] * cameras
            results = push_together(streams, images, [i / 10] * cameras)
            assert len(results) == cameras


@pytest.mark.filterwarnings("ignore:model")
@pytest.mark.parametrize("device", [GPU, SECOND_GPU])
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_cuda_graphs_give_the_same_labels(
    form: str, device: str, precision: str, compiled: bool, frames
) -> None:
    model = new_model(form, device)
    graphs = Execution(precision, compile=compiled, cuda_graphs=True)
    stream = StreamingSegmenter(model, execution=graphs)
    plain = StreamingSegmenter(model, execution=Execution(precision))
    for start in (0.0, 10.0):  # the second time after a gap: a recorded stream begins anew
        for i, frame in enumerate(frames):
            a, b = stream.push(frame, start + i / 10), plain.push(frame, start + i / 10)
            assert (a.label == b.label).mean() > 0.999
            assert a.window == b.window
    smaller = [f[:64] for f in frames]
    assert agreement(stream, plain, smaller) > 0.999
    bank = small_bank(7, len(model.mar.keys) // model.architecture.classes)
    before = stream.push(frames[0], 20.0).confidence
    stream.swap_memory(bank)
    a, b = stream.push(frames[0], 30.0), plain.push(frames[0], 30.0)
    assert not np.array_equal(a.confidence, before)
    assert (a.label == b.label).mean() > 0.999


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_cameras_that_go_together_get_the_labels_they_get_alone(form, device, frames) -> None:
    model = model_of(form, device)
    execution = Execution("float32", cuda_graphs=device == "cuda")
    together = [StreamingSegmenter(model, execution=execution) for _ in range(3)]
    alone = [StreamingSegmenter(model, execution=Execution("float32")) for _ in range(3)]
    sizes = []
    together[0].core.backbone.register_forward_hook(lambda *a: sizes.append(len(a[1][0])))
    for i, frame in enumerate(frames[:4]):
        images = [frame, frame[:64], np.ascontiguousarray(frame[:, ::-1])]
        sizes.clear()
        results = push_together(together, images, [i / 10] * 3)
        if device == "cpu":  # what CUDA graphs replay calls no hooks
            assert sorted(sizes) == [1, 2]  # one batch a size
        for stream, image, result in zip(alone, images, results, strict=True):
            wanted = stream.push(image, i / 10)
            assert result.label.shape == image.shape[:2]
            assert (result.label == wanted.label).mean() > 0.999
            assert result.window == wanted.window


def test_where_one_camera_fails_all_begin_anew(monkeypatch: pytest.MonkeyPatch, frames) -> None:
    model = model_of("published")
    streams = [StreamingSegmenter(model) for _ in range(2)]
    push_together(streams, frames[:2], [0.0, 0.0])

    def fail(features: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(streams[1].fusion, "push", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        push_together(streams, frames[:2], [0.1, 0.1])
    assert not any(len(stream.ring) for stream in streams)


def test_one_bad_image_leaves_all_cameras_as_they_were(frames) -> None:
    model = model_of("published")
    streams, untouched = ([StreamingSegmenter(model) for _ in range(2)] for _ in range(2))
    for pair in (streams, untouched):
        push_together(pair, frames[:2], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"128 x 16.*32 x 32"):
        push_together(streams, [frames[2], frames[2][:16]], [0.1, 0.1])
    with pytest.raises(ValueError, match="once"):
        push_together([streams[0], streams[0]], frames[:2], [0.1, 0.1])
    results = [push_together(pair, frames[2:4], [0.1, 0.1]) for pair in (streams, untouched)]
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a.confidence, b.confidence)
        assert a.restart is None
