"""Calibration files as people have them: read, or refused in one line that says what is missing."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stmem_ros.commands.stmem import main
from stmem_ros.io.calibration import read_calibration

K = [100.0, 0.0, 63.5, 0.0, 100.0, 47.5, 0.0, 0.0, 1.0]
GOOD = {"image_width": 128, "image_height": 96, "camera_matrix": {"data": K},
        "distortion_model": "", "distortion_coefficients": {"data": [0.0] * 5}}  # fmt: skip


def write(folder: Path, **changes: object) -> Path:
    path = folder / "camera.yaml"
    content = {k: v for k, v in (GOOD | changes).items() if v is not None}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("name", "numbers", "model", "kept"),
    [
        ("fisheye", [0.02, -0.005, 0.001, 0.0], "equidistant", 4),
        ("equidistant", [0.02, -0.005, 0.001, 0.0, 0.0], "equidistant", 4),
        ("rational_polynomial", [0.1] + 13 * [0.0], "rational_polynomial", 14),
        ("none", [], "plumb_bob", 0),
    ],
)
def test_distortion_in_any_of_its_names_is_read(tmp_path, name, numbers, model, kept) -> None:
    path = write(tmp_path, distortion_model=name, distortion_coefficients={"data": numbers})
    camera = read_calibration(path)
    assert (camera.model, len(camera.distortion)) == (model, kept)


def test_json_has_its_matrix_in_rows_or_as_nine_numbers(tmp_path: Path) -> None:
    rows, flat = tmp_path / "rows.json", tmp_path / "flat.json"
    for path, matrix in ((rows, np.reshape(K, (3, 3)).tolist()), (flat, K)):
        path.write_text(json.dumps({"width": 128, "height": 96, "K": matrix, "D": []}))
    assert read_calibration(rows) == read_calibration(flat)


@pytest.mark.parametrize(("fisheye", "model"), [("", "plumb_bob"), ("1", "equidistant")])
def test_a_file_of_opencv_is_read(tmp_path: Path, fisheye: str, model: str) -> None:
    import cv2

    storage = cv2.FileStorage(str(tmp_path / "out.yml"), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 128)
    storage.write("image_height", 96)
    if fisheye:
        storage.write("fisheye_model", int(fisheye))
    storage.write("camera_matrix", np.reshape(K, (3, 3)))
    storage.write("distortion_coefficients", np.array([[0.02, -0.005, 0.001, 0.0]]))
    storage.release()
    assert (tmp_path / "out.yml").read_text().startswith("%YAML:1.0")
    camera = read_calibration(tmp_path / "out.yml")
    assert (camera.model, camera.distortion) == (model, (0.02, -0.005, 0.001, 0.0))
    assert camera.matrix[0] == (100.0, 0.0, 63.5)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_width": None}, "image_width"),
        ({"image_width": "wide"}, "image_width.*wide"),
        ({"camera_matrix": None}, "K.*missing.*image_width"),
        ({"camera_matrix": {"data": K[:8]}}, "camera_matrix.*8"),
        ({"camera_matrix": {"data": 9 * [float("nan")]}}, "nan"),
        ({"distortion_coefficients": {"data": [0.1, 0.2]}}, "2 coefficients"),
        ({"distortion_coefficients": "none"}, "distortion_coefficients.*none"),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path: Path, changes: dict, named: str) -> None:
    with pytest.raises(ValueError, match=rf"camera\.yaml.*{named}") as error:
        read_calibration(write(tmp_path, **changes))
    assert "Error" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"- 1\n- 2\n", b"<html></html>", b"%YAML:1.0\n---\n", b"\x89PNG\xff", b"a: [1"]
)
def test_what_is_no_calibration_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "camera.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"camera\.yaml") as error:
        read_calibration(path)
    said = str(error.value)
    assert not any(word in said for word in ("\n", "Error", "<unicode string>", "codec"))


def test_a_calibration_of_another_size_makes_no_bag(tmp_path: Path, capsys) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "images/0.png")
    command = ["bag", "create", str(tmp_path / "bag"), "--images", str(tmp_path / "images")]
    assert main([*command, "--calibration", str(write(tmp_path))]) == 1
    said = capsys.readouterr().err
    assert "128 x 96" in said and "64 x 48" in said
    assert not (tmp_path / "bag").exists()
