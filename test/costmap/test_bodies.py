"""Bodies on wheels, drawn together from what is seen under them."""

import numpy as np
import pytest

from stmem_ros.costmap.bodies import near_sides

Y = np.linspace(2, -2, 41)  # of the directions, at 10 m ahead; wheels at +-1 m


def lorry(body: float) -> np.ndarray:
    """Feet of a lorry 10 m ahead whose body, between its wheels, seems to stand ``body`` m away."""
    feet = np.stack([np.full(41, 10.0), Y], axis=1)
    feet[11:30] *= body / 10
    feet[:10], feet[31:] = np.nan, np.nan
    return feet


@pytest.mark.parametrize("order", [1, -1])  # from left to right and back
def test_a_body_stands_no_farther_than_the_line_between_its_wheels(order: int) -> None:
    feet = lorry(13.0)[::order]
    distance = np.hypot(*feet.T)
    near = near_sides(feet, 0.7 * distance, np.ones(41, bool))
    at_line = np.hypot(10.0, Y)
    assert near[10:31] == pytest.approx(at_line[10:31], abs=0.06)
    assert np.isnan(near[:10]).all() and np.isnan(near[31:]).all()


def test_a_gap_deeper_than_the_clearance_parts_two_bodies() -> None:
    feet = lorry(13.0)
    distance = np.hypot(*feet.T)
    near = near_sides(feet, 0.9 * distance, np.ones(41, bool))
    assert near[14:27] == pytest.approx(distance[14:27], rel=0.01)


def test_what_has_no_wheels_is_not_drawn_together() -> None:
    feet = lorry(13.0)
    distance = np.hypot(*feet.T)
    near = near_sides(feet, 0.7 * distance, np.zeros(41, bool))
    assert near[10:31] == pytest.approx(distance[10:31])


def test_the_end_of_a_body_stands_as_near_as_the_wheel_beside_it() -> None:
    feet = lorry(10.0)
    feet[10] *= 1.2  # the bumper's end, seen past the wheel at direction 11
    distance = np.hypot(*feet.T)
    near = near_sides(feet, 0.7 * distance, np.ones(41, bool))
    assert near[10] == pytest.approx(distance[11], abs=0.05)
