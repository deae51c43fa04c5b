"""Which true streaks were found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaks.completeness import completeness_by_snr, match_truth, wilson_interval
from streaks.geometry import Segment
from streaks.tables import empty_streaks
from tests.made_streaks import SEGMENTS, made_streaks

TRUE = Segment(100.0, 100.0, 140.0, 110.0)


def found(streak: Segment, true: Segment = TRUE, image: str = "made_frame") -> bool:
    rows = match_truth(made_streaks([streak], image=image), made_streaks([true]))
    return bool(rows[0] == 0)


def test_each_streak_finds_itself():
    table = made_streaks(SEGMENTS)
    np.testing.assert_array_equal(match_truth(table, table), np.arange(len(table)))


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_a_small_shift_is_found(dx, dy):
    assert found(TRUE.shifted(dx, dy))


def test_a_shift_across_is_another_thing():
    assert not found(TRUE.shifted(-5.0, 20.0))


def test_a_crossing_streak_is_another_thing():
    assert not found(Segment.from_midpoint(*TRUE.midpoint, 40.0, TRUE.theta_deg + 60.0))


def test_a_long_streak_that_passes_a_short_one_is_another_thing():
    assert not found(Segment(0.0, 100.0, 1000.0, 100.0), Segment(500.0, 100.0, 505.0, 101.0))


def test_an_angle_across_180_is_the_same():
    level = Segment(100.0, 100.0, 140.0, 101.0)
    assert found(Segment(100.0, 101.0, 140.0, 100.0), level)


def test_the_same_place_in_another_image_is_another_thing():
    assert not found(TRUE, image="other")


def test_a_piece_of_a_long_trail_finds_it():
    assert found(Segment(300.0, 200.0, 400.0, 200.0), Segment(0.0, 200.0, 1200.0, 200.0))


def test_the_one_that_lies_along_it_most_is_taken():
    streaks = made_streaks([TRUE.shifted(3.0, 4.0), TRUE])
    assert match_truth(streaks, made_streaks([TRUE]))[0] == 1


def test_truth_that_is_no_line_is_never_found():
    truth = made_streaks([TRUE])
    truth["x0"][0] = np.nan * truth["x0"].unit
    assert match_truth(made_streaks([TRUE]), truth)[0] == -1


def test_nothing_found_misses_all():
    np.testing.assert_array_equal(match_truth(empty_streaks(), made_streaks(SEGMENTS)), [-1] * 8)


def test_shares_come_by_bin_and_empty_bins_are_left_out():
    table = completeness_by_snr(
        np.array([4.0, 5.5, 5.6, 200.0]), np.array([False, True, False, True])
    )
    assert list(table["snr_low"]) == [0.0, 5.0, 100.0]
    assert list(table["n"]) == [1, 2, 1]
    assert list(table["completeness"]) == [0.0, 0.5, 1.0]


def test_no_truth_makes_no_bins():
    assert len(completeness_by_snr(np.zeros(0), np.zeros(0, bool))) == 0


def test_the_interval_is_wilsons():
    # Brown, Cai & DasGupta 2001, Statist. Sci. 16, 101: (p + z²/2n ± ...) for 4 of 10 at 95 %.
    low, high = wilson_interval(4, 10, sigma=1.959964)
    assert (low, high) == pytest.approx((0.1682, 0.6873), abs=1e-4)


@given(st.integers(0, 50), st.integers(1, 50))
def test_the_interval_holds_the_share(k, n):
    k = min(k, n)
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1 + 1e-12


def test_nothing_tried_tells_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
