"""The exported step in ONNX Runtime: the stream's labels, frame by frame."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small import SMALL, shallow_backbones, small_bank

from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import main
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo, load_bundle, save_bundle
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.onnx_export import export_onnx
from stmem_ros.streaming.segmenter import StreamingSegmenter

pytestmark = pytest.mark.end_to_end

onnxruntime = pytest.importorskip("onnxruntime")

ARCHITECTURES = {
    "published": dataclasses.replace(SMALL, backbone="resnet50", causal=False),
    "light": dataclasses.replace(SMALL, form="light"),
    "light, enlarged": dataclasses.replace(SMALL, form="light", zoom=1.5),
    "without STF and MAR": dataclasses.replace(SMALL, stf=False, mar=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onboard", "published"])
def test_onnx_runtime_gives_the_labels_of_the_stream(
    name: str, frames: list[np.ndarray], tmp_path: Path
) -> None:
    model = some_model(name)
    path = tmp_path / "step.onnx"
    export_onnx(model, (80, 120), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == [c.name for c in model.info.classes]
    state = {
        i.name: np.zeros(i.shape, np.float32)
        for i in session.get_inputs()
        if i.name.startswith("state_")
    }
    stream = StreamingSegmenter(model)
    fusion = stream.core.fusion()
    for i, frame in enumerate(np.ascontiguousarray(f[:80, :120]) for f in frames):
        for _ in range(1 if i else int(about["window"])):  # the first frame fills the window
            label, confidence, logits, *after = session.run(None, {"image": frame[None], **state})
            state = dict(zip(state, after, strict=True))
        want = stream.push(frame, i / 10)
        assert np.abs(logits - wanted_logits(stream, fusion, frame)).max() < 1e-3
        assert (label[0] == want.label).mean() > 0.999
        assert np.abs(confidence[0].astype(int) - want.confidence).max() <= 1


def some_model(name: str) -> BundledSegmenter:
    if name in ARCHITECTURES:
        torch.manual_seed(0)
        return BundledSegmenter(ModelInfo(name, ARCHITECTURES[name], CAMVID, height=96)).eval()
    return load_bundle(name, "cpu")


@torch.inference_mode()
def wanted_logits(stream: StreamingSegmenter, fusion, frame: np.ndarray) -> np.ndarray:
    info = stream.model.info
    features = stream.core.features(normalise(torch.from_numpy(frame)[None], info.mean, info.std))
    return stream.core.classify(stream.core.refine(fusion.push(features)[0])).numpy()


QUIET = """
import torch
from stmem_ros.streaming.onnx_export import make_program
make_program(torch.nn.Conv2d(3, 4, 1).eval(), (torch.zeros(1, 3, 8, 8),), ["x"], ["y"])
"""


def test_an_export_is_made_without_a_word_of_torch() -> None:
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_a_size_that_would_not_be_exact_is_refused(tmp_path: Path) -> None:
    with shallow_backbones():
        model = some_model("light, enlarged")
    with pytest.raises(ValueError, match=r"90x128.* 8 "):
        export_onnx(model, (90, 128), tmp_path / "step.onnx")


@pytest.mark.parametrize(
    "name", ["without STF and MAR", pytest.param("light", marks=pytest.mark.slow)]
)
def test_the_command_exports_a_size_that_is_no_multiple_of_the_stride(
    name: str, frames: list[np.ndarray], tmp_path: Path, capsys
) -> None:
    bundle, path = tmp_path / "bundle", tmp_path / "step.onnx"
    words = ["model", "export", str(bundle), "--out", str(path), "--size", "61x75"]
    with shallow_backbones():
        model = some_model(name)
        bank = small_bank(items_per_class=1) if model.mar is not None else None
        save_bundle(bundle, model, model.info, bank)
        assert main(words) == 0
        stream = StreamingSegmenter(load_bundle(bundle, "cpu"))
    assert "61 x 75" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(path)
    (image, *states) = session.get_inputs()
    assert (image.name, image.shape, image.type) == ("image", [1, 61, 75, 3], "tensor(uint8)")
    state = {i.name: np.zeros(i.shape, np.float32) for i in states}
    for i, frame in enumerate(np.ascontiguousarray(f[:61, :75]) for f in frames):
        for _ in range(1 if i else 3):  # the first frame fills the window
            label, *_ = results = session.run(None, {"image": frame[None], **state})
            state = dict(zip(state, results[3:], strict=True))
        assert (label[0] == stream.push(frame, i / 10).label).mean() > 0.999
