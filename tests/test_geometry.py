"""Segments, lines and angles of the pixel plane."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaks.geometry import (
    Segment,
    angle_difference_deg,
    clip_segment,
    clip_to_box,
    distance_to_segment,
    image_centre,
    mean_angle_deg,
    wrap_angle_deg,
)

places = st.floats(-500, 500)
angles = st.floats(-1e4, 1e4)
segments = st.builds(Segment, places, places, places, places)


def test_direction_is_counter_clockwise_from_x() -> None:
    assert Segment(0, 0, 1, 1).theta_deg == pytest.approx(45)
    assert Segment(0, 0, -1, 1).theta_deg == pytest.approx(135)
    assert Segment(0, 0, 0, -5).theta_deg == pytest.approx(90)


def test_a_point_has_direction_zero() -> None:
    assert Segment(3, 4, 3, 4).theta_deg == 0.0


def test_length_is_that_of_the_3_4_5_triangle() -> None:
    assert Segment(1, 1, 4, 5).length_px == pytest.approx(5)


@given(segments)
def test_direction_does_not_depend_on_the_order_of_ends(s: Segment) -> None:
    turned = Segment(s.x1, s.y1, s.x0, s.y0)
    if s.length_px > 1e-3:
        assert abs(angle_difference_deg(s.theta_deg, turned.theta_deg)) < 1e-6
    assert turned.ordered() == s.ordered()


@given(segments)
def test_ordered_puts_the_smaller_x_first(s: Segment) -> None:
    assert (s.ordered().x0, s.ordered().y0) <= (s.ordered().x1, s.ordered().y1)


@given(places, places, st.floats(0.01, 900), st.floats(0, 179.999))
def test_midpoint_length_and_direction_survive_the_ends(
    x: float, y: float, length: float, theta: float
) -> None:
    s = Segment.from_midpoint(x, y, length, theta)
    assert s.midpoint == pytest.approx((x, y), abs=1e-9)
    assert s.length_px == pytest.approx(length, abs=1e-9)
    assert abs(angle_difference_deg(s.theta_deg, theta)) < 1e-6


def test_shifting_moves_both_ends() -> None:
    assert Segment(0, 1, 2, 3).shifted(10, -1) == Segment(10, 0, 12, 2)


@given(angles, st.sampled_from([180.0, 360.0]))
def test_wrapped_angles_lie_in_the_half_open_period(angle: float, period: float) -> None:
    wrapped = float(wrap_angle_deg(angle, period))
    assert 0 <= wrapped < period
    assert math.remainder(wrapped - angle, period) == pytest.approx(0, abs=1e-6)


def test_a_tiny_negative_angle_wraps_to_zero() -> None:
    # -1e-20 mod 180 rounds up to 180 itself in floating point.
    assert float(wrap_angle_deg(-1e-20)) == 0.0


def test_179_and_1_degrees_are_2_apart() -> None:
    assert float(angle_difference_deg(179, 1)) == pytest.approx(-2)
    assert float(angle_difference_deg(1, 179)) == pytest.approx(2)


@given(angles, angles)
def test_angle_differences_are_the_smallest(a: float, b: float) -> None:
    difference = float(angle_difference_deg(a, b))
    assert -90 <= difference < 90
    assert math.remainder(a - b - difference, 180) == pytest.approx(0, abs=1e-6)


def test_mean_of_179_and_1_degrees_is_0() -> None:
    mean = mean_angle_deg([179.0, 1.0])
    assert abs(angle_difference_deg(mean, 0.0)) < 1e-9


def test_weights_pull_the_mean_angle() -> None:
    assert 0 < mean_angle_deg([0.0, 20.0], weights=[1, 3]) - 10 < 10


def test_mean_of_opposed_or_no_angles_is_nan() -> None:
    assert math.isnan(mean_angle_deg([0.0, 90.0]))
    assert math.isnan(mean_angle_deg([]))


@given(st.lists(st.floats(0, 40), min_size=1, max_size=9), st.floats(0, 179))
def test_turning_all_angles_turns_their_mean(values: list[float], turn: float) -> None:
    mean = mean_angle_deg(values)
    turned = mean_angle_deg(np.asarray(values) + turn)
    assert abs(angle_difference_deg(turned, mean + turn)) < 1e-6


def test_image_centre_of_one_pixel_is_its_centre() -> None:
    assert image_centre((1, 1)) == (0, 0)
    assert image_centre((37, 54)) == (26.5, 18)


def test_clipping_keeps_what_is_inside() -> None:
    assert clip_segment(Segment(-10, 3, 10, 3), (37, 54)) == Segment(-0.5, 3, 10, 3)
    assert clip_segment(Segment(5, 5, 9, 9), (37, 54)) == Segment(5, 5, 9, 9)


def test_clipping_what_is_outside_is_none() -> None:
    assert clip_segment(Segment(-10, 3, -5, 3), (37, 54)) is None
    assert clip_segment(Segment(60, -30, 90, 20), (37, 54)) is None
    assert clip_segment(Segment(-1, 10, -1, 20), (37, 54)) is None


def test_a_margin_grows_the_image() -> None:
    clipped = clip_segment(Segment(-10, 3, 10, 3), (37, 54), margin_px=2.0)
    assert clipped == Segment(-2.5, 3, 10, 3)


@given(segments)
def test_a_clipped_segment_lies_in_the_box_and_on_the_segment(s: Segment) -> None:
    clipped = clip_to_box(s, -20, -30, 100, 80)
    t = np.linspace(0, 1, 2001)
    x, y = s.x0 + t * (s.x1 - s.x0), s.y0 + t * (s.y1 - s.y0)
    inside = (x >= -20) & (x <= 100) & (y >= -30) & (y <= 80)
    if clipped is None:
        assert not inside.any()
        return
    ends = np.array([(clipped.x0, clipped.y0), (clipped.x1, clipped.y1)])
    assert (ends[:, 0] >= -20 - 1e-6).all()
    assert (ends[:, 0] <= 100 + 1e-6).all()
    assert (ends[:, 1] >= -30 - 1e-6).all()
    assert (ends[:, 1] <= 80 + 1e-6).all()
    assert distance_to_segment(ends[:, 0], ends[:, 1], s) == pytest.approx(0, abs=1e-6)
    assert clipped.length_px >= inside.sum() / 2001 * s.length_px - s.length_px / 1000 - 1e-6


def test_distance_beyond_an_end_is_that_to_the_end() -> None:
    s = Segment(0, 0, 10, 0)
    assert distance_to_segment([5, 13, -3], [2, 4, -4], s) == pytest.approx([2, 5, 5])


def test_distance_to_a_point_segment_is_to_the_point() -> None:
    assert distance_to_segment(3.0, 4.0, Segment(0, 0, 0, 0)) == pytest.approx(5)
