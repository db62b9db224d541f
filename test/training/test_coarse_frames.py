"""Frames with coarser labels: what a teacher narrows, and training on them besides."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import stmem_ros.training.loop as loop
from stmem_ros.classes import CAMVID, IDD_LITE, UNLABELLED
from stmem_ros.data.label_sets import allowed_classes
from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.model.bundle import ModelInfo, load_bundle, save_bundle
from stmem_ros.model.segmenter import Architecture, Segmenter
from stmem_ros.training.batches import epoch_order
from stmem_ros.training.coarse_frames import CoarseFrames, narrowed
from stmem_ros.training.config import CoarseConfig, load_config
from stmem_ros.training.samples import Samples
from stmem_ros.training.stages import classifier_of, take_fusion, train_stage

pytestmark = pytest.mark.end_to_end

CONFIG = """
name: tiny
dataset: camvid
seed: 3
coarse: {{share: 0.5, height: 96, teacher: {teacher}}}
architecture: {{classes: 11, channels: 32, form: light, stf: false, mar: false}}
frame:
  epochs: 2
  batch: 2
  learning_rate: 1.0e-3
  average: 0.5
  frozen_norms: true
  augmentation: {{crop: [64, 96], weather: 0.3, stretch: 0.2, roll: 0.1}}
stf: {{epochs: 1, batch: 2, learning_rate: 1.0e-3}}
mar: {{epochs: 0, batch: 2, learning_rate: 0.0}}
"""
FAR = 11 + 5
ALLOWED = allowed_classes(IDD_LITE, CAMVID)


def class_id(name: str) -> int:
    return next(c.id for c in CAMVID if c.name == name)


def probability(**classes: float) -> np.ndarray:
    """Of one pixel, 11 x 1 x 1; what is not named shares the rest."""
    found = np.full((11, 1, 1), (1 - sum(classes.values())) / 11)
    for name, value in classes.items():
        found[class_id(name)] += value
    return found


@pytest.mark.parametrize(
    ("teacher", "wanted"),
    [
        (probability(tree=0.6), class_id("tree")),  # sure which of the two
        (probability(tree=0.45, building=0.4), FAR),  # not sure
        (probability(road=0.97), FAR),  # sure of what is not allowed
        (probability(road=0.8, tree=0.15), class_id("tree")),
    ],
)
def test_a_label_is_narrowed_where_the_teacher_is_sure(teacher: np.ndarray, wanted: int) -> None:
    label = np.full((1, 1), FAR, np.uint8)
    assert narrowed(label, teacher, ALLOWED).tolist() == [[wanted]]


def test_what_is_unlabelled_stays_so() -> None:
    label = np.full((1, 1), UNLABELLED, np.uint8)
    assert narrowed(label, probability(road=0.97), ALLOWED).tolist() == [[UNLABELLED]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames in CamVid's layout under ``fine``, five in IDD Lite's under ``coarse``."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("fine/images", "fine/labels", "coarse/images", "coarse/labels"):
        (root / folder).mkdir(parents=True)
    views = [frame.view for frame in drive(make_scene("crowded", 8), 2, rate=1.0)]
    for i, view in enumerate(views):
        Image.fromarray(view.rgb).save(root / "fine" / "images" / f"f{i}.jpg")
        Image.fromarray(view.label).save(root / "fine" / "labels" / f"f{i}.png")
    clip = {"split": "train", "sequence": "one", "rate_hz": 1.0, "names": ["f0", "f1"]}
    (root / "fine" / "clips.json").write_text(json.dumps([clip]))
    coarse_of = ALLOWED.argmax(axis=0).astype(np.uint8)  # a coarse label that allows each class
    for frame in range(5):  # a drive that is not held out
        image = Image.fromarray(views[0].rgb[::2, ::2])
        image.save(root / "coarse" / "images" / f"1_{frame}.jpg")
        label = Image.fromarray(coarse_of[views[0].label[::2, ::2]])
        label.save(root / "coarse" / "labels" / f"1_{frame}.png")
    return root


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("teacher")
    path = folder / "tiny.yaml"
    path.write_text(CONFIG.format(teacher=folder))
    architecture = load_config(path).architecture
    model = Segmenter(architecture)
    save_bundle(folder, model, ModelInfo("teacher", architecture, CAMVID, 96), None)
    return folder


@pytest.fixture
def config_path(tmp_path: Path, teacher: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG.format(teacher=teacher))
    return path


def test_frames_are_scaled_and_their_labels_are_classes_or_follow_them(data: Path) -> None:
    frames = CoarseFrames(CoarseConfig(height=90), data / "coarse", CAMVID)
    assert len(frames) == 5
    assert frames.image(0).shape == (90, 120, 3)
    label = frames.label(0)
    assert label.shape == (90, 120)
    single = {class_id(name) for name in ("road", "sidewalk", "sky")}  # these need no teacher
    assert set(np.unique(label)) <= {*single, *range(13, 17), UNLABELLED}
    assert class_id("road") in label and FAR in label


def test_narrowed_labels_are_kept_on_disk_and_not_made_again(
    data: Path, teacher: Path, tmp_path: Path
) -> None:
    frames = CoarseFrames(CoarseConfig(height=90), data / "coarse", CAMVID)
    model = load_bundle(teacher, "cpu")
    mark = Image.fromarray(np.full((90, 120), 4, np.uint8))
    mark.save(tmp_path / "1_0.png")
    frames.narrow(model, tmp_path, bfloat16=False)
    assert len(list(tmp_path.glob("*.png"))) == 5
    assert (frames.label(0) == 4).all() and (frames.label(1) == class_id("road")).any()


def test_each_batch_has_its_share_of_coarse_frames(data: Path, config_path: Path) -> None:
    config = load_config(config_path)
    coarse = CoarseFrames(config.coarse, data / "coarse", CAMVID)
    samples = Samples(config, data / "fine", 1, 0, coarse=coarse)
    assert (len(samples), samples.fine_count, samples.allowed.shape) == (7, 2, (18, 11))
    orders = [epoch_order(samples, 2, 2, [1, epoch]) for epoch in range(20)]
    for order in orders:
        assert [sum(batch < 2) for batch in order] == [sum(batch >= 2) for batch in order] == [1, 1]
    assert set(np.concatenate([b for order in orders for b in order])) == set(range(7))


def test_a_run_stopped_within_an_epoch_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, config_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: Path
) -> None:
    class StoppedError(Exception):
        pass

    config = load_config(config_path)
    folders = data / "fine", tmp_path / "whole"
    options = {"start": teacher, "coarse_data": data / "coarse"}
    whole = train_stage("frame", config, *folders, **options)
    real = loop.save_checkpoint

    def stop_after_saving(path: Path, content: dict) -> None:
        real(path, content)
        raise StoppedError

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)  # after every batch; an epoch has two
    monkeypatch.setattr(loop, "save_checkpoint", stop_after_saving)
    with pytest.raises(StoppedError):
        train_stage("frame", config, data / "fine", tmp_path / "cut", **options)
    monkeypatch.setattr(loop, "save_checkpoint", real)
    resumed = train_stage("frame", config, data / "fine", tmp_path / "cut", resume=True, **options)
    a, b = (load_bundle(path, "cpu").state_dict() for path in (whole, resumed))
    assert all(torch.equal(a[key], b[key]) for key in a)
    before = load_bundle(teacher, "cpu").state_dict()
    assert not a["classifier.weight"].equal(before["classifier.weight"])
    norms = [key for key in a if key.endswith("running_mean")]
    assert all(a[key].equal(before[key]) for key in norms)


COARSE_CLASSES = """
name: coarse
dataset: idd_lite
height: 90
seed: 3
fusion: {fusion}
coarse: {{dataset: camvid, share: 0.5, height: 90, teacher: ""}}
architecture: {{classes: 7, channels: 32, form: light}}
frame: {{epochs: 1, batch: 2, learning_rate: 1.0e-3, augmentation: {{crop: [64, 96]}}}}
stf: {{epochs: 0, batch: 2, learning_rate: 0.0}}
mar: {{epochs: 0, batch: 2, learning_rate: 0.0}}
"""


def light_bundle(folder: Path, stf: bool) -> Path:
    torch.manual_seed(5)
    architecture = Architecture(classes=11, channels=32, form="light", stf=stf, mar=False)
    save_bundle(folder, Segmenter(architecture), ModelInfo("light", architecture, CAMVID, 96), None)
    return folder


def test_a_network_of_the_coarse_classes_begins_with_one_of_the_fine_ones(
    data: Path, teacher: Path, tmp_path: Path
) -> None:
    fusion = light_bundle(tmp_path / "fusion", stf=True)
    (tmp_path / "coarse.yaml").write_text(COARSE_CLASSES.format(fusion=fusion))
    config = load_config(tmp_path / "coarse.yaml")
    folders = data / "coarse", tmp_path / "run"
    train_stage("frame", config, *folders, start=teacher, coarse_data=data / "fine")
    bundle = load_bundle(train_stage("stf", config, *folders), "cpu")
    assert (bundle.info.classes, bundle.info.height) == (IDD_LITE, 90)
    given = load_bundle(fusion, "cpu").stf.state_dict()
    assert all(value.equal(given[key]) for key, value in bundle.stf.state_dict().items())
    samples = Samples(config, data / "coarse", 1, 0)
    assert samples[0].images.shape == (1, 90, 120, 3) and samples[0].label.shape == (90, 120)


def test_a_class_begins_with_the_mean_score_of_those_that_may_be_it(teacher: Path) -> None:
    model = load_bundle(teacher, "cpu")
    begun = classifier_of(model, IDD_LITE)
    features = torch.randn(1, 32, 1, 1)
    fine = model.classifier(features)[0, :, 0, 0]
    coarse = torch.nn.functional.conv2d(features, begun["classifier.weight"])[0, :, 0, 0]
    coarse += begun["classifier.bias"]
    for c, members in zip(IDD_LITE, ALLOWED, strict=True):
        assert coarse[c.id].item() == pytest.approx(fine[members].mean().item(), abs=1e-5), c.name


def test_a_fusion_of_another_kind_is_refused_by_the_name_of_its_bundle(tmp_path: Path) -> None:
    model = Segmenter(Architecture(classes=7, channels=32, form="light", mar=False))
    wider = Segmenter(Architecture(classes=7, channels=64, form="light", mar=False))
    for name, network, has_fusion in (("none", model, False), ("narrow", wider, True)):
        bundle = light_bundle(tmp_path / name, stf=has_fusion)
        with pytest.raises(ValueError, match=name):
            take_fusion(network, str(bundle))


def test_without_the_coarse_data_their_option_is_named(
    data: Path, tmp_path: Path, config_path: Path, teacher: Path
) -> None:
    with pytest.raises(ValueError, match="--coarse-data"):
        train_stage("frame", load_config(config_path), data / "fine", tmp_path, start=teacher)
