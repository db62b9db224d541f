"""Camera calibration files in the format of ROS's camera_calibration (and its JSON twin)."""

from __future__ import annotations

from pathlib import Path

from stmem_ros.configuration import ConfigurationError, read_yaml
from stmem_ros.geometry.camera import CameraModel, as_matrix
from stmem_ros.geometry.lens import read_lens


def read_calibration(path: Path) -> CameraModel:
    """Read ``camera_info`` YAML as written by camera_calibration, or JSON with ``K`` and ``D``.

    Raises:
        ValueError: missing, or no calibration; one line names the file and the problem.
    """
    try:
        raw = read_yaml(path, "calibration")
        if "camera_matrix" in raw:
            k = [float(v) for v in raw["camera_matrix"]["data"]]
            rows = [k[0:3], k[3:6], k[6:9]]
            distortion = raw.get("distortion_coefficients", {}).get("data", [])
            size = raw["image_width"], raw["image_height"]
        else:
            rows = raw["K"]
            distortion = raw.get("D", [])
            size = raw["width"], raw["height"]
        model, coefficients = read_lens(str(raw.get("distortion_model", "")), distortion)
        return CameraModel(int(size[0]), int(size[1]), as_matrix(rows), coefficients, model)
    except ConfigurationError:
        raise
    except (AttributeError, LookupError, ArithmeticError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"calibration {path} cannot be used ({type(error).__name__}: {reason}); it must be a "
            "camera_calibration YAML, or JSON with width, height, K and D"
        ) from error
