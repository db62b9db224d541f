"""Point clouds: sizes are checked before anything is made of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from stmem_ros.io.points import FLOAT32, PointsError, decode_points

FIELDS = [
    SimpleNamespace(name=axis, offset=4 * i, datatype=FLOAT32) for i, axis in enumerate("xyz")
]
POINTS = np.arange(12, dtype="<f4").reshape(4, 3)


def cloud(**values: object) -> SimpleNamespace:
    good = {
        "height": 2, "width": 2, "point_step": 12, "row_step": 24, "is_bigendian": False,
        "fields": FIELDS, "data": POINTS.tobytes(),
    }  # fmt: skip
    return SimpleNamespace(**good | values)


def test_points_are_read_row_by_row() -> None:
    assert decode_points(cloud()).tolist() == POINTS.tolist()


@pytest.mark.parametrize("side", ["width", "height"])
def test_a_cloud_of_nothing_has_no_points(side: str) -> None:
    assert decode_points(cloud(**{side: 0}, point_step=5, data=b"")).shape == (0, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 3},
        {"width": 2**32 - 1},
        {"point_step": 8},
        {"row_step": 0, "height": 2**32 - 1},  # all rows at one place
        {"point_step": 0, "width": 2**32 - 1},
        {"data": b""},
        {"fields": FIELDS[:2]},
    ],
)
def test_sizes_that_contradict_each_other_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PointsError):
        decode_points(cloud(**wrong))
