"""The stages of training on a handful of small images: they run, resume and leave bundles."""

import copy
import dataclasses
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.small import SMALL, small_bank

from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import main
from stmem_ros.configuration import ConfigurationError
from stmem_ros.data.dataset import DatasetError
from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.io.output_folder import OutputError
from stmem_ros.model.bundle import load_bundle
from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.segmenter import Segmenter
from stmem_ros.training.config import load_config
from stmem_ros.training.losses import class_weights
from stmem_ros.training.memory_builder import build_memory
from stmem_ros.training.samples import Samples
from stmem_ros.training.stages import blend, imagenet_weights, train_stage

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parent.parent.parent
CONFIG = """
name: tiny
dataset: camvid
seed: 3
architecture: {classes: 11, channels: 32, hidden: 32, block: [4, 5], positions: [6, 8]}
frame: {epochs: 2, batch: 2, learning_rate: 1.0e-3, augmentation: {crop: [96, 128]}}
stf: {epochs: 1, batch: 2, learning_rate: 1.0e-3, augmentation: {crop: [96, 128]}}
mar: {epochs: 1, batch: 2, learning_rate: 1.0e-3, augmentation: {crop: [96, 128]}}
"""
SYNTHETIC = CONFIG + "synthetic: {windows: 1}\n"  # which is rendered anew for each stage


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rendered frames in the layout of CamVid; every class is painted somewhere."""
    root = tmp_path_factory.mktemp("camvid")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    names = []
    for i, frame in enumerate(drive(make_scene("crowded", 8), 4, rate=1.0)):
        label = frame.view.label.copy()
        label[i * 20 : i * 20 + 16, :352] = np.arange(11, dtype=np.uint8).repeat(32)
        Image.fromarray(frame.view.rgb).save(root / "images" / f"f{i}.jpg")
        Image.fromarray(label).save(root / "labels" / f"f{i}.png")
        names.append(f"f{i}")
    clips = [
        {"split": "train", "sequence": "kept", "rate_hz": 1.0, "names": names[:2]},
        {"split": "train", "sequence": "held", "rate_hz": 1.0, "names": names[2:]},
    ]
    (root / "clips.json").write_text(json.dumps(clips))
    return root


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose stages ``frame`` and ``stf`` are trained."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(SYNTHETIC)
    config = load_config(folder / "tiny.yaml")
    for stage in ("frame", "stf"):
        train_stage(stage, config, data, folder / "run")
    return folder / "run"


def weights(bundle: Path) -> dict[str, torch.Tensor]:
    return load_bundle(bundle, "cpu").state_dict()


def test_an_interrupted_run_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(config_path)
    whole = train_stage("frame", config, data, tmp_path / "whole", resume=False)

    import stmem_ros.training.loop as loop

    class StoppedError(Exception):
        pass

    real = loop.save_checkpoint

    def stop_after_saving(*arguments: object) -> None:
        real(*arguments)
        raise StoppedError

    monkeypatch.setattr(loop, "save_checkpoint", stop_after_saving)
    with pytest.raises(StoppedError):
        train_stage("frame", config, data, tmp_path / "cut", resume=False)
    monkeypatch.setattr(loop, "save_checkpoint", real)
    resumed = train_stage("frame", config, data, tmp_path / "cut", resume=True)
    a, b = weights(whole), weights(resumed)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_ctrl_c_in_an_epoch_says_how_to_go_on(
    data: Path, tmp_path: Path, config_path: Path, start_stmem
) -> None:
    config_path.write_text(SYNTHETIC.replace("epochs: 2", "epochs: 3", 1))
    run = tmp_path / "run"
    command = ("train", "frame", "--config", config_path, "--data", data, "--run")
    training = start_stmem(*command, run)
    checkpoint = run / "frame.checkpoint.pt"
    end = time.monotonic() + 120
    while not checkpoint.is_file():
        assert training.is_running() and time.monotonic() < end
        time.sleep(0.01)
    training.interrupt()
    assert training.exit_code(timeout=60) == 130
    assert "--resume" in training.text() and "Traceback" not in training.text()
    assert torch.load(checkpoint, weights_only=True)["progress"]["epoch"] >= 1
    assert not (run / "frame").exists()
    resumed = start_stmem(*command, run, "--resume")
    assert resumed.exit_code(timeout=240) == 0, resumed.text()
    assert len(torch.load(checkpoint, weights_only=True)["progress"]["losses"]) == 3


def test_what_fails_because_of_an_interrupt_says_how_to_go_on(
    tmp_path: Path, config_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a loading process ended")

    monkeypatch.setattr("stmem_ros.training.stages.train_stage", fail)
    monkeypatch.setattr("stmem_ros.commands.train.was_signalled", lambda: True)
    arguments = ["--config", str(config_path), "--data", ".", "--run", str(tmp_path)]
    with pytest.raises(RuntimeError):
        main(["train", "frame", *arguments])
    assert "--resume" in capsys.readouterr().err


def test_a_finished_stage_is_begun_anew_by_force_alone(
    data: Path, trained: Path, tmp_path: Path, config_path: Path
) -> None:
    config = load_config(config_path)
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match=re.escape(str(run / "frame.checkpoint.pt"))):
        train_stage("frame", config, data, run)
    (run / "frame.checkpoint.pt").rename(tmp_path / "frame.checkpoint.pt")
    for resume in (False, True):  # without a checkpoint there is nothing to go on from
        with pytest.raises(OutputError, match=re.escape(str(run / "frame"))):
            train_stage("frame", config, data, run, resume=resume)
    (tmp_path / "frame.checkpoint.pt").rename(run / "frame.checkpoint.pt")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    train_stage("frame", dataclasses.replace(config, seed=4), data, run, force=True)
    assert load_bundle(run / "frame", "cpu").info.training["seed"] == 4
    assert len(list((run / "tensorboard" / "frame").iterdir())) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_trains_in_reduced_precision(data: Path, tmp_path: Path, config_path: Path) -> None:
    config_path.write_text(CONFIG + "bfloat16: true\n")
    bundle = train_stage("frame", load_config(config_path), data, tmp_path)
    assert all(torch.isfinite(w).all() for w in weights(bundle).values())


def test_stf_training_leaves_backbone_and_head_untouched(
    trained: Path,
) -> None:
    frame, stf = weights(trained / "frame"), weights(trained / "stf")
    frozen = [key for key in frame if key.startswith(("backbone", "head"))]
    assert all(torch.equal(frame[key], stf[key]) for key in frozen)
    assert not torch.equal(frame["classifier.weight"], stf["classifier.weight"])


def test_a_stage_names_the_stage_it_lacks(data: Path, tmp_path: Path, config_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="stmem train frame"):
        train_stage("stf", load_config(config_path), data, tmp_path, resume=False)


def test_mar_learns_on_the_built_memory(
    data: Path, trained: Path, tmp_path: Path, config_path: Path
) -> None:
    config = load_config(config_path)
    bundle = shutil.copytree(trained / "stf", tmp_path / "stf")
    with pytest.raises(FileNotFoundError, match="stmem memory build mar"):
        train_stage("mar", config, data, tmp_path, resume=False)
    model = load_bundle(bundle, "cpu")
    never = copy.deepcopy(model)
    with torch.no_grad():
        never.classifier.bias[2] = -1e4
    with pytest.raises(ValueError, match="pole"):
        build_memory(never, Samples(config, data, 3, 2), config.memory_rule)
    small_bank().save(tmp_path / "mar.memory.safetensors")
    trained = load_bundle(train_stage("mar", config, data, tmp_path, resume=False), "cpu")
    assert trained.mar is not None
    assert not torch.equal(trained.mar.values, small_bank().values)
    stf = model.state_dict()
    assert all(torch.equal(trained.state_dict()[k], stf[k]) for k in stf if k.startswith("stf"))


def test_mar_can_be_trained_on_the_frame_network_alone(
    data: Path, trained: Path, tmp_path: Path, config_path: Path
) -> None:
    config = load_config(config_path)
    shutil.copytree(trained / "frame", tmp_path / "frame")
    small_bank().save(tmp_path / "frame_mar.memory.safetensors")
    trained = load_bundle(train_stage("frame_mar", config, data, tmp_path), "cpu")
    assert trained.stf is None and trained.mar is not None
    frame = weights(tmp_path / "frame")
    assert torch.equal(trained.state_dict()["head.merge8.0.weight"], frame["head.merge8.0.weight"])


def test_a_centred_network_goes_on_training_causally(
    data: Path, trained: Path, tmp_path: Path, config_path: Path
) -> None:
    config = load_config(config_path)
    centred = dataclasses.replace(
        config, architecture=dataclasses.replace(config.architecture, causal=False)
    )
    shutil.copytree(trained / "frame", tmp_path / "frame")
    start = train_stage("stf", centred, data, tmp_path)
    before = weights(start)
    causal = train_stage("stf", config, data, tmp_path / "causal", start=start)
    model = load_bundle(causal, "cpu")
    assert model.architecture.causal and model.stf.target == 2
    moved = [
        (model.state_dict()[k] - before[k]).abs().max()
        for k in ("classifier.weight", "stf.window_position")
    ]
    assert all(0 < m < 0.05 for m in moved)  # it went on from there, it did not begin anew


def test_the_best_epoch_on_held_out_sequences_is_kept(
    data: Path, tmp_path: Path, config_path: Path
) -> None:
    config_path.write_text(SYNTHETIC)
    config = dataclasses.replace(load_config(config_path), holdout=("held",))
    bundle = train_stage("frame", config, data, tmp_path)
    training = load_bundle(bundle, "cpu").info.training
    assert training["kept_epoch"] in (1, 2)
    assert 0 <= training["holdout_miou"] < 0.5
    assert len(Samples(config, data, 1, 0)) == 4 + 1 - 2
    assert len(Samples(config, data, 1, 0, held_out=True)) == 2
    with pytest.raises(DatasetError, match=r"holdout.*'moon'"):
        Samples(dataclasses.replace(config, holdout=("moon",)), data, 1, 0)


def test_loading_workers_change_nothing(data: Path, tmp_path: Path, config_path: Path) -> None:
    config = load_config(config_path)
    one = weights(train_stage("frame", config, data, tmp_path / "a"))
    several = dataclasses.replace(config, workers=2)
    two = weights(train_stage("frame", several, data, tmp_path / "b"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stmem_ros.training.loop import save_checkpoint

    path = tmp_path / "frame.checkpoint.pt"
    save_checkpoint(path, {"epoch": 1})

    def full(content: object, part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"frame\.checkpoint\.pt.*No space left"):
        save_checkpoint(path, {"epoch": 2})
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda root: (root / "images" / "f0.jpg").write_bytes(b"no"), r"f0\.jpg"),
        (
            lambda root: Image.fromarray(np.full((360, 480), 77, np.uint8)).save(
                root / "labels" / "f0.png"
            ),
            r"f0\.png .*77",
        ),
        (
            lambda root: Image.fromarray(np.zeros((36, 48), np.uint8)).save(
                root / "labels" / "f0.png"
            ),
            "f0.*48 x 36.*480 x 360",
        ),
    ],
)
def test_damaged_data_are_named(
    data: Path, tmp_path: Path, config_path: Path, damage, named: str
) -> None:
    shutil.copytree(data, tmp_path / "data")
    damage(tmp_path / "data")
    with pytest.raises(ValueError, match=named):
        train_stage("frame", load_config(config_path), tmp_path / "data", tmp_path / "run")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_one_line_for_the_user(
    data: Path, tmp_path: Path, config_path: Path, workers: int, capsys
) -> None:
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "images" / "f1.jpg").write_bytes(b"no")
    config_path.write_text(CONFIG + f"workers: {workers}\n")
    arguments = ["--config", config_path, "--data", tmp_path / "data", "--run", tmp_path / "run"]
    assert main(["train", "frame", *map(str, arguments)]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"stmem train: {tmp_path}/data/images/f1.jpg")


def test_rare_classes_weigh_more_and_the_mean_weight_of_a_pixel_is_one() -> None:
    class TwoClasses:
        classes = CAMVID[:2]
        allowed = np.eye(2, dtype=bool)

        def __len__(self) -> int:
            return 1

        def label(self, index: int) -> np.ndarray:
            label = np.zeros((10, 10), np.uint8)
            label[0, :4] = 1
            return label

    found = class_weights(TwoClasses())
    assert found[1] > found[0]
    assert 0.96 * found[0] + 0.04 * found[1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("seed: 3", "sed: 3", "sed"),
        ("epochs: 2", "epoch: 2", "frame.epoch"),
        ("epochs: 2", "epochs: '2'", "frame.epochs is '2'"),
        ("batch: 2", "batch: 0", "frame.batch is 0"),
        ("epochs: 2", "epochs: 100000000000000000000", "frame.epochs is 1000"),
        ("batch: 2", "batch: 1", "frame.batch is 1"),  # batch norm cannot train on one image
        ("epochs: 2", "epochs: 1.5", "frame.epochs is 1.5"),
        ("epochs: 2", "epochs: -1", "frame.epochs is -1"),
        ("name: tiny", "name: ''", "name is ''"),
        ("learning_rate: 1.0e-3", "learning_rate: -0.1", "frame.learning_rate is -0.1"),
        ("learning_rate: 1.0e-3", "learning_rate: 0", "frame: learning_rate is 0"),
        ("learning_rate: 1.0e-3", "learning_rate: .nan", "frame.learning_rate is nan"),
        ("crop: [96, 128]", "corp: 1", "augmentation.corp"),
        ("crop: [96, 128]", "crop: [96]", "augmentation.crop"),
        ("mar:", "mra:", "mra"),
        ("frame: {", "frame: 3 # {", "frame is 3"),
        ("mar: {", "missing: ignore\nmar: {", "missing is 'ignore'"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = tmp_path / "wrong.yaml"
    assert old in CONFIG
    path.write_text(CONFIG.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=f"wrong.yaml.*{re.escape(key)}"):
        load_config(path)


def test_stages_that_are_told_once_and_repeated_by_alias_are_read(tmp_path: Path) -> None:
    path = tmp_path / "anchored.yaml"
    lines = CONFIG.splitlines()
    stage = next(line for line in lines if line.startswith("frame:")).partition(": ")[2]
    others = [line for line in lines if not line.startswith(("frame:", "stf:", "mar:"))]
    path.write_text("\n".join([*others, f"frame: &stage {stage}", "stf: *stage", "mar: *stage"]))
    config = load_config(path)
    assert config.frame == config.stf == config.mar


def test_numbers_without_a_point_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "numbers.yaml"
    path.write_text(CONFIG.replace("learning_rate: 1.0e-3", "learning_rate: 1e-3"))
    assert load_config(path).frame.learning_rate == 1e-3


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config" / "training").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_shipped_configuration_is_valid(path: Path) -> None:
    config = load_config(path)
    classes = {"cityscapes": 19, "camvid": 11, "synthetic": 11, "idd_lite": 7}
    assert config.architecture.classes == classes[config.dataset]
    assert config.stage("frame_mar") == config.mar


LIGHT = """
name: light
dataset: camvid
seed: 3
bfloat16: true
synthetic: {windows: 1}
architecture: {classes: 11, channels: 32, form: light}
memory_rule: mean
frame: {epochs: 2, calm_epochs: 1, batch: 2, learning_rate: 1.0e-3, iou_loss: 1.0, paste: 0.5,
        frozen: [backbone.stem, backbone.stages.0], augmentation: {crop: [96, 128], degrade: 0.5}}
stf: {epochs: 1, batch: 2, learning_rate: 1.0e-3, consistency: 1.0, augmentation: {crop: [96, 128]}}
mar: {epochs: 0, batch: 2, learning_rate: 0.0}
"""


def test_the_light_form_goes_through_all_stages(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "light.yaml"
    path.write_text(LIGHT)
    arguments = ["--config", str(path), "--data", str(data), "--run", str(tmp_path)]
    assert main(["train", "frame", *arguments]) == 0
    assert main(["train", "stf", *arguments, "--seed", "5"]) == 0
    frame, stf = weights(tmp_path / "frame"), weights(tmp_path / "stf")
    pretrained = Segmenter(load_config(path).architecture).backbone
    pretrained.load_imagenet(imagenet_weights("efficientnet_lite0"))
    before = pretrained.state_dict()
    frozen = [k for k in before if k.startswith(("stem", "stages.0.")) and "tracked" not in k]
    for key in frozen:  # stored as float16
        torch.testing.assert_close(frame[f"backbone.{key}"], before[key], rtol=1e-3, atol=1e-6)
    moved = "backbone.stages.2.0.expand.0.weight"
    assert not torch.allclose(frame[moved], before[moved[9:]], rtol=1e-3)
    assert stf["stf.closeness"].abs().max() > 0
    model = load_bundle(tmp_path / "stf", "cpu")
    assert model.info.training["seed"] == 5
    assert main(["memory", "build", "mar", *arguments]) == 0
    assert main(["train", "mar", *arguments]) == 0
    refined = load_bundle(tmp_path / "mar", "cpu")
    bank = MemoryBank.load(tmp_path / "mar.memory.safetensors")
    assert torch.equal(refined.mar.keys, bank.keys)
    assert torch.equal(refined.mar.values, bank.values)
    assert refined.info.height == 96  # that of the stages that were trained
    assert len(bank.values.unique(dim=0)) == 11


def test_a_memory_rule_of_the_other_form_is_refused(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "light.yaml"
    path.write_text(LIGHT.replace("memory_rule: mean", "memory_rule: confidence"))
    config = load_config(path)
    model = Segmenter(dataclasses.replace(config.architecture, mar=False))
    with pytest.raises(ValueError, match=r"memory_rule.*'confidence'.*'light'"):
        build_memory(model, Samples(config, data, 4, 3), config.memory_rule)


def test_a_stage_can_end_between_its_beginning_and_what_it_learned() -> None:
    model, other = Segmenter(SMALL), Segmenter(SMALL)
    beginning = {key: value.clone() for key, value in model.state_dict().items()}
    learned = {key: value.clone() for key, value in other.state_dict().items()}
    blend(other, beginning, 0.25)
    key = "classifier.weight"
    between = 0.25 * beginning[key] + 0.75 * learned[key]
    torch.testing.assert_close(other.state_dict()[key], between)
    blend(other, beginning, 0.0)
    torch.testing.assert_close(other.state_dict()[key], between)


def test_training_that_diverges_leaves_no_bundle_and_says_so(
    data: Path, config_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_path.write_text(
        CONFIG.replace("batch: 2, learning_rate: 1.0e-3", "batch: 2, learning_rate: 1.0e+9", 1)
    )
    run = tmp_path / "run"
    arguments = ["--config", config_path, "--data", data, "--run", run]
    assert main(["train", "frame", *map(str, arguments)]) == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search("not finite.* diverge.*learning.rate", told)
    assert not (run / "frame").exists()
