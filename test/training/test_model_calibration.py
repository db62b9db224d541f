"""Calibration: found from labels, stored in the bundle, told by confidence and strangeness."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from stmem_ros.classes import CAMVID, IDD_LITE
from stmem_ros.commands.stmem import main
from stmem_ros.data.label_sets import allowed_classes
from stmem_ros.model.bundle import BundleError, load_bundle, save_bundle, write_calibration
from stmem_ros.model.familiarity import Familiarity
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.segmenter import StreamingSegmenter

pytestmark = pytest.mark.end_to_end

KNOWN = ("--known-split", "val")


@pytest.fixture
def bundle(made_run: Path, tmp_path: Path) -> Path:
    """A bundle of a frame network that is sure of some pixels."""
    model = load_bundle(made_run / "frame", "cpu")
    with torch.no_grad():
        model.classifier.weight *= 300
    save_bundle(tmp_path / "bundle", model, model.info, None)
    return tmp_path / "bundle"


def clip(root: Path, frames: list[np.ndarray], labels: list[np.ndarray]) -> Path:
    """A folder of single frames with labels."""
    for kind, images, suffix in (("images", frames, "png"), ("labels", labels, "png")):
        folder = root / "val" / "walk" / kind
        folder.mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{i}.{suffix}")
    classes = [{"name": c.name, "colour": list(c.colour)} for c in CAMVID]
    (root / "dataset.yaml").write_text(yaml.safe_dump({"rate": 10.0, "classes": classes}))
    return root


def test_a_temperature_moves_confidence_and_no_label(bundle: Path, frames) -> None:
    plain = StreamingSegmenter(load_bundle(bundle, "cpu")).push(frames[0], 0.0)
    write_calibration(bundle, 4.0, Familiarity(torch.zeros(32), torch.eye(32)))
    model = load_bundle(bundle, "cpu")
    assert model.info.temperature == 4.0
    cooled = StreamingSegmenter(model).push(frames[0], 0.0)
    assert np.array_equal(cooled.label, plain.label)
    assert (cooled.confidence < plain.confidence).mean() > 0.9


def test_the_temperature_that_labels_were_drawn_with_is_found(
    bundle: Path, frames, tmp_path: Path, capsys
) -> None:
    """Labels drawn with the probabilities that the model has at a temperature of 2."""
    model = load_bundle(bundle, "cpu")
    torch.manual_seed(1)
    labels = []
    for frame in frames:
        x = normalise(torch.from_numpy(frame)[None], model.info.mean, model.info.std)
        with torch.no_grad():
            probability = (model(x[None].expand(-1, 3, -1, -1, -1))[0] / 2.0).softmax(dim=0)
        drawn = torch.distributions.Categorical(probability.permute(1, 2, 0)).sample()
        labels.append(drawn.numpy().astype(np.uint8))
    root = clip(tmp_path / "clip", frames, labels)
    assert main(["model", "calibrate", str(bundle), "--data", f"video_folder={root}", *KNOWN]) == 0
    assert load_bundle(bundle, "cpu").info.temperature == pytest.approx(2.0, rel=0.05)
    assert "video_folder" in capsys.readouterr().out


def test_what_cannot_be_calibrated_on_is_named_and_changes_nothing(
    bundle: Path, frames, tmp_path: Path, capsys
) -> None:
    before = (bundle / "model.yaml").read_bytes()
    root = clip(tmp_path / "clip", frames[:1], [np.full(frames[0].shape[:2], 255, np.uint8)])
    assert main(["model", "calibrate", str(bundle), "--data", f"video_folder={root}", *KNOWN]) == 1
    assert "labelled" in capsys.readouterr().err
    assert (bundle / "model.yaml").read_bytes() == before


def test_a_frame_that_is_too_small_to_be_labelled_is_named_and_changes_nothing(
    bundle: Path, frames, tmp_path: Path, capsys
) -> None:
    before = (bundle / "model.yaml").read_bytes()
    tiny = np.zeros((16, 40), np.uint8)
    labels = [np.zeros(frames[0].shape[:2], np.uint8), tiny]
    root = clip(tmp_path / "clip", [frames[0], np.dstack([tiny] * 3)], labels)
    assert main(["model", "calibrate", str(bundle), "--data", f"video_folder={root}", *KNOWN]) == 1
    error = capsys.readouterr().err
    assert "walk/1" in error and "40 x 16" in error
    assert (bundle / "model.yaml").read_bytes() == before


def test_a_clip_of_images_of_several_sizes_calibrates_a_model_with_memory(
    small_bundle: Path, frames, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(small_bundle, tmp_path / "with_memory"))
    images = [frames[0], frames[1], frames[2][:64]]
    labels = [np.full(image.shape[:2], 3, np.uint8) for image in images]
    root = clip(tmp_path / "clip", images, labels)
    assert main(["model", "calibrate", str(bundle), "--data", f"video_folder={root}", *KNOWN]) == 0


def test_what_coarse_labels_allow_is_known_both_ways() -> None:
    coarse = allowed_classes(IDD_LITE, CAMVID)
    assert np.array_equal(allowed_classes(CAMVID, IDD_LITE), coarse.T)
    assert torch.from_numpy(coarse).any(dim=0).all()


def test_what_is_unlike_all_that_was_seen_is_strange(bundle: Path, frames, tmp_path: Path) -> None:
    labels = [np.zeros(frames[0].shape[:2], np.uint8)] * len(frames)
    stream = StreamingSegmenter(load_bundle(bundle, "cpu"))
    assert stream.push(frames[0], 0.0).strangeness is None
    root = clip(tmp_path / "clip", frames, labels)
    assert main(["model", "calibrate", str(bundle), "--data", f"video_folder={root}", *KNOWN]) == 0
    stream = StreamingSegmenter(load_bundle(bundle, "cpu"))
    known = [stream.push(x, i / 10).strangeness for i, x in enumerate(frames)]
    covered = stream.push(np.full_like(frames[0], 20), 1.0).strangeness
    assert max(known) < 1.5 < covered / 3


def test_another_models_familiarity_is_refused(bundle: Path) -> None:
    write_calibration(bundle, 1.0, Familiarity(torch.zeros(8), torch.eye(8)))
    with pytest.raises(BundleError, match=r"familiarity.* 8 channels"):
        load_bundle(bundle, "cpu")
