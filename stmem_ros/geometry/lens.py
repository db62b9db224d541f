"""Distortion as drivers and calibration tools name it, in the names that this package uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stmem_ros.geometry.camera import BROWN_CONRADY

EQUIDISTANT = "equidistant"
# What others call the same; spaces and hyphens count as underlines, large letters as small ones.
_EQUIDISTANT = (EQUIDISTANT, "fisheye", "opencv_fisheye", "equi", "kannala_brandt",
                "kannala_brandt4", "kb4")  # fmt: skip
_BROWN_CONRADY = (
    "plumb_bob", "rational_polynomial", "rational", "thin_prism", "brown_conrady", "brown",
    "radtan", "radial_tangential", "opencv", "full_opencv",
)  # fmt: skip
_NO_DISTORTION = ("none", "pinhole", "no_distortion", "undistorted", "rectified")


def read_lens(name: str, numbers: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """The name of a distortion model of ``CameraModel`` and its coefficients.

    Zeros behind the coefficients that a model has are left out; an empty name stands for
    ``plumb_bob``.

    Raises:
        ValueError: the name is not known, or its model has not so many coefficients; the message
            says what would be right.
    """
    coefficients = tuple(float(v) for v in numbers)
    if not np.isfinite(coefficients).all():
        raise ValueError(
            f"distortion D is {coefficients}; it must be finite: a driver that knows none sends "
            "an empty D, or zeros"
        )
    key = "_".join(name.lower().replace("-", " ").replace("_", " ").split())
    if key in _NO_DISTORTION:
        if any(coefficients):
            raise ValueError(
                f"distortion model {name!r} means none, but D is {coefficients}; name the model of "
                "these numbers: plumb_bob, rational_polynomial or equidistant"
            )
        return "plumb_bob", ()
    if key in _EQUIDISTANT:
        return EQUIDISTANT, _shortened(name, coefficients, (4,))
    if key in _BROWN_CONRADY or not key:
        model = key if key == "rational_polynomial" else "plumb_bob"
        return model, _shortened(name or "plumb_bob", coefficients, BROWN_CONRADY)
    raise ValueError(
        f"distortion model is {name!r}; known are plumb_bob, rational_polynomial, equidistant "
        "(what OpenCV calls fisheye, others Kannala-Brandt) and none"
    )


def _shortened(
    name: str, coefficients: tuple[float, ...], allowed: Sequence[int]
) -> tuple[float, ...]:
    """Coefficients in a number that the model takes, without the zeros behind them."""
    if len(coefficients) in allowed:
        return coefficients
    for count in allowed:
        if count < len(coefficients) and not any(coefficients[count:]):
            return coefficients[:count]
    raise ValueError(
        f"distortion D has {len(coefficients)} coefficients; {name!r} takes "
        f"{', '.join(map(str, allowed))}"
    )
