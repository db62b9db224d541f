"""Camera calibration files of ROS's camera_calibration (and its JSON twin), and of OpenCV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stmem_ros.configuration import YamlLoader, read_yaml
from stmem_ros.geometry.camera import CameraModel, as_matrix
from stmem_ros.geometry.lens import read_lens

# Names of width, height, matrix and distortion.
_YAML = ("image_width", "image_height", "camera_matrix", "distortion_coefficients")
_JSON = ("width", "height", "K", "D")
ALLOWED = (
    "a camera_calibration YAML (image_width, image_height, camera_matrix, distortion_model, "
    "distortion_coefficients), or JSON with width, height, K and D"
)


class _Loader(YamlLoader):
    """YAML, and that of OpenCV: a first line of its own, and matrices with a tag."""

    def __init__(self, text: str) -> None:
        super().__init__(text.removeprefix("%YAML:1.0"))


def _matrix(loader: YamlLoader, node: yaml.MappingNode) -> Any:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _matrix)


def read_calibration(path: Path) -> CameraModel:
    """Read ``camera_info`` YAML as written by camera_calibration, or JSON with ``K`` and ``D``.

    What OpenCV's calibration writes has the same names (and ``fisheye_model``).

    Raises:
        ValueError: missing, or no calibration; one line names the file and the problem.
    """
    raw = read_yaml(path, "calibration", _Loader)
    try:
        return _camera(raw)
    except ValueError as error:
        raise ValueError(f"calibration {path} cannot be used: {error}") from error


def _camera(raw: Any) -> CameraModel:
    if not isinstance(raw, Mapping):
        raise ValueError(f"it holds no names of values; allowed: {ALLOWED}")
    names = _YAML if _YAML[2] in raw else _JSON
    missing = [name for name in names[:3] if name not in raw]
    if missing:
        have = ", ".join(str(key) for key in raw)
        raise ValueError(f"{', '.join(missing)} missing, it has {have}; allowed: {ALLOWED}")
    width, height = _pixels(raw, names[0]), _pixels(raw, names[1])
    matrix = _numbers(raw, names[2])
    if matrix.size != 9:
        raise ValueError(f"{names[2]} has {matrix.size} numbers; it must have 9")
    distortion = _numbers(raw, names[3]).tolist() if names[3] in raw else []
    named = raw.get("distortion_model") or ("equidistant" if raw.get("fisheye_model") else "")
    model, coefficients = read_lens(str(named), distortion)
    return CameraModel(width, height, as_matrix(matrix.reshape(3, 3)), coefficients, model)


def _numbers(raw: Mapping[str, Any], name: str) -> np.ndarray:
    """The numbers of an entry, which may be a list, or a mapping with ``data``."""
    value = raw[name]
    if isinstance(value, Mapping):
        value = value.get("data")
    try:
        return np.array(value or [], float).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r:.60}; it must be a list of numbers") from error


def _pixels(raw: Mapping[str, Any], name: str) -> int:
    try:
        return int(raw[name])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is {raw[name]!r:.60}; it must be pixels") from error
