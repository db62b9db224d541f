"""A quantised bundle: its stream on a CPU runs backbone and head in int8, or says why not."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.small import SMALL, shallow_backbones, small_bank

from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import main
from stmem_ros.model.bundle import (
    INT8_FEATURES,
    BundledSegmenter,
    BundleError,
    ModelInfo,
    load_bundle,
    save_bundle,
)
from stmem_ros.streaming.execution import Execution
from stmem_ros.streaming.segmenter import StreamingSegmenter, push_together

pytestmark = pytest.mark.end_to_end

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

LIGHT = dataclasses.replace(SMALL, form="light", zoom=1.2)
SIZE = (91, 121)  # of what the backbone sees, no side is a multiple of its strides


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with shallow_backbones():
        yield


@pytest.fixture(scope="module")
def camvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training images in CamVid's layout, of another size than the network's."""
    root = tmp_path_factory.mktemp("camvid")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    names = [f"0001TP_{i:06d}" for i in range(4)]
    for i, name in enumerate(names):
        image = cv2.resize(scenes()[i], (150, 110))
        cv2.imwrite(str(root / "images" / f"{name}.png"), image)
        cv2.imwrite(str(root / "labels" / f"{name}.png"), np.zeros_like(image))
    (root / "train.txt").write_text("\n".join(names))
    return root


def scenes() -> list[np.ndarray]:
    """Six RGB images of ``SIZE`` that scroll."""
    random = np.random.default_rng(7)
    scene = random.integers(0, 256, (12, 20, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    return [np.ascontiguousarray(scene[: SIZE[0], 4 * i : 4 * i + SIZE[1]]) for i in range(6)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    model = BundledSegmenter(ModelInfo("small", LIGHT, CAMVID, height=96)).eval()
    folder = tmp_path_factory.mktemp("bundles") / "small"
    save_bundle(folder, model, model.info, small_bank(items_per_class=1))
    return folder


@pytest.fixture(scope="module")
def quantised(bundle: Path, camvid: Path) -> Path:
    out = bundle.parent / "small-int8"
    assert main(quantise(bundle, out, camvid, "--frames", "2")) == 0
    return out


def quantise(bundle: Path, out: Path, camvid: Path, *others: str) -> list[str]:
    size = f"{SIZE[0]}x{SIZE[1]}"
    words = ["model", "quantise", str(bundle), str(out), "--size", size]
    return [*words, "--data", f"camvid={camvid}", *others]


def test_a_stream_of_a_quantised_bundle_gives_nearly_the_labels_in_int8(
    bundle: Path, quantised: Path
) -> None:
    plain, fast = (StreamingSegmenter(load_bundle(folder, "cpu")) for folder in (bundle, quantised))
    fast.core.backbone.register_forward_hook(lambda *_: pytest.fail("ran in float32"))
    same = [
        (plain.push(image, i / 10).label == fast.push(image, i / 10).label).mean()
        for i, image in enumerate(scenes())
    ]
    assert 0.9 < min(same) < 1  # equal in all pixels, it would not be int8


def test_cameras_that_go_together_have_the_labels_that_each_has_alone(quantised: Path) -> None:
    model = load_bundle(quantised, "cpu")
    alone, *together = (StreamingSegmenter(model) for _ in range(3))
    images = scenes()[:2]
    for image, result in zip(images, push_together(together, images, [0, 0]), strict=True):
        alone.reset()
        np.testing.assert_array_equal(alone.push(image, 0).label, result.label)


def test_images_of_another_size_run_in_float32_and_that_is_told_once(
    bundle: Path, quantised: Path
) -> None:
    plain, fast = (StreamingSegmenter(load_bundle(folder, "cpu")) for folder in (bundle, quantised))
    small = np.ascontiguousarray(scenes()[0][:80])
    with pytest.warns(UserWarning, match="80x121") as told:
        results = [fast.push(small, i / 10).label for i in range(2)]
    assert len(told) == 1 and f"{SIZE[0]}x{SIZE[1]}" in str(told[0].message)
    for i, label in enumerate(results):
        np.testing.assert_array_equal(label, plain.push(small, i / 10).label)


def test_without_onnx_runtime_it_runs_in_float32_and_names_what_is_missing(
    bundle: Path, quantised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    model, image = load_bundle(quantised, "cpu"), scenes()[0]
    with pytest.warns(UserWarning, match="pip install onnxruntime") as told:
        streams = [StreamingSegmenter(model) for _ in range(2)]
        label = streams[0].push(image, 0).label
    assert len(told) == 1
    plain = StreamingSegmenter(load_bundle(bundle, "cpu"))
    np.testing.assert_array_equal(label, plain.push(image, 0).label)


def test_in_half_precision_the_graph_is_not_used(quantised: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels were not checked in it
        stream = StreamingSegmenter(load_bundle(quantised, "cpu"), execution=Execution("bfloat16"))
    ran = []
    stream.core.backbone.register_forward_hook(lambda *_: ran.append(True))
    stream.push(scenes()[0], 0)
    assert ran


@pytest.mark.parametrize("damage", ["cut", "none of it", "of another network"])
def test_a_damaged_graph_is_refused_by_its_name(quantised: Path, damage: str) -> None:
    model = load_bundle(quantised, "cpu")
    assert model.int8_features is not None
    if damage == "of another network":
        published = BundledSegmenter(ModelInfo("other", SMALL, CAMVID, height=96)).eval()
        published.int8_features = model.int8_features
        model = published
    else:
        half = len(model.int8_features) // 2
        model.int8_features = model.int8_features[: half if damage == "cut" else 0]
    with pytest.raises(BundleError, match=INT8_FEATURES):
        StreamingSegmenter(model)


def test_what_cannot_be_read_leaves_no_bundle(bundle: Path, camvid: Path, tmp_path: Path) -> None:
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    assert main(quantise(bundle, out, empty)) == 1
    assert main(quantise(bundle, out, camvid, "--frames", "0")) == 1
    assert main(quantise(tmp_path / "none", out, camvid)) == 1
    assert main(quantise(bundle, bundle, camvid, "--force")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert not (bundle / INT8_FEATURES).exists()


def test_a_damaged_training_image_leaves_no_bundle(
    bundle: Path, camvid: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(camvid, tmp_path / "camvid")
    for path in (damaged / "images").iterdir():
        path.write_bytes(b"no image")
    assert main(quantise(bundle, tmp_path / "out", damaged)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["camvid"]


def test_a_bundle_saved_in_the_place_of_a_quantised_one_is_not_quantised(
    bundle: Path, quantised: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(quantised, tmp_path / "copy")
    model = load_bundle(bundle, "cpu")
    save_bundle(folder, model, model.info, small_bank(items_per_class=1))
    assert load_bundle(folder, "cpu").int8_features is None
