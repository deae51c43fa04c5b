"""Cutouts: what they hold at edges and masks, and the scaling that classifiers see."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st

from streaks.config import CutoutConfig
from streaks.cutouts import Cutouts, extract_cutouts, fit_to_size, scale_cutouts, stack_cutouts
from streaks.errors import FrameError
from streaks.frame import Frame
from tests.toy_cutouts import stack


def _frame(ny=101, nx=150, **beside):
    # Each pixel's value says where it is: 1000 y + x.
    data = (1000.0 * np.arange(ny)[:, None] + np.arange(nx)).astype(np.float32)
    return Frame(data=data, mask=np.zeros((ny, nx), bool), **beside)


def _at(*points):
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    names = [f"s{i}" for i in range(len(x))]
    return QTable({"streak_id": np.array(names, dtype=str), "x": x * u.pix, "y": y * u.pix})


def test_the_midpoint_falls_on_the_middle_pixel():
    cutouts = extract_cutouts(_frame(), _at((70.2, 50.4)), CutoutConfig(size_px=32))
    assert cutouts.difference[0, 16, 16] == 1000 * 50 + 70
    assert cutouts.names == ("s0",)
    assert not cutouts.mask.any()


@given(x=st.floats(-40, 190), y=st.floats(-40, 140))
@settings(max_examples=50, deadline=None)
def test_pixels_keep_their_values_and_all_outside_is_masked(x, y):
    frame = _frame()
    cutouts = extract_cutouts(frame, _at((x, y)), CutoutConfig(size_px=31))
    iy, ix = np.nonzero(~cutouts.mask[0])
    values = cutouts.difference[0][iy, ix]
    offset_y, offset_x = int(np.floor(y + 0.5)) - 15, int(np.floor(x + 0.5)) - 15
    np.testing.assert_array_equal(values, 1000.0 * (iy + offset_y) + ix + offset_x)
    assert not cutouts.difference[cutouts.mask].any()


def test_masked_and_non_finite_pixels_are_masked_and_zero():
    data = np.ones((101, 150), np.float32)
    data[50, 70] = np.nan
    mask = np.zeros(data.shape, bool)
    mask[52, 71] = True
    cutouts = extract_cutouts(Frame(data=data, mask=mask), _at((70, 50)))
    assert int(cutouts.mask[0, 64, 64]) == 1
    assert int(cutouts.mask[0, 66, 65]) == 1
    assert not cutouts.difference[cutouts.mask].any()


def test_science_and_reference_come_along():
    image = np.full((101, 150), 7.0, np.float32)
    cutouts = extract_cutouts(_frame(science=image), _at((0, 0)), CutoutConfig(size_px=40))
    assert cutouts.reference is None
    assert cutouts.science is not None
    assert cutouts.science[0, 30, 30] == 7.0
    assert np.isnan(cutouts.science[0, 0, 0])


def test_no_streaks_give_an_empty_stack_of_the_right_size():
    cutouts = extract_cutouts(_frame(), _at(), CutoutConfig(size_px=64))
    assert len(cutouts) == 0
    assert cutouts.size_px == 64


def test_stacks_of_one_size_are_joined_in_order():
    joined = stack_cutouts([stack(np.zeros((2, 32, 32))), stack(np.ones((1, 32, 32)))])
    assert joined.names == ("toy0", "toy1", "toy0")
    assert joined.difference[2].min() == 1.0


def test_stacks_of_different_sizes_are_refused():
    with pytest.raises(FrameError, match=r"sizes \[31, 32\] cannot be stacked; use fit_to_size"):
        stack_cutouts([stack(np.zeros((1, 32, 32))), stack(np.zeros((1, 31, 31)))])


def test_nothing_stacked_is_an_empty_stack():
    assert len(stack_cutouts([])) == 0


def test_a_cutout_that_is_not_square_is_refused():
    with pytest.raises(FrameError, match=r"expected \(1, size, size\)"):
        stack(np.zeros((1, 32, 33)))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(FrameError, match="mask is"):
        Cutouts(np.zeros((1, 32, 32), np.float32), np.zeros((1, 31, 31), bool), ("a",))


@pytest.mark.parametrize("size", [31, 63, 127, 128, 157, 300])
def test_the_middle_pixel_stays_in_the_middle_when_fitted(size):
    images = np.zeros((1, size, size))
    images[0, size // 2, size // 2] = 5.0
    fitted = fit_to_size(stack(images), 128)
    assert fitted.difference[0, 64, 64] == 5.0
    assert int((~fitted.mask).sum()) == min(size, 128) ** 2


def test_scaling_gives_median_zero_and_robust_sigma_one():
    rng = np.random.default_rng(1)
    scaled = scale_cutouts(stack(rng.normal(300.0, 12.0, size=(2, 100, 100))))
    assert np.median(scaled) == pytest.approx(0.0, abs=1e-3)
    assert scaled.std() == pytest.approx(1.0, abs=0.03)  # MAD of 10,000 Gaussian values: 1 %


def test_masked_pixels_do_not_enter_the_scale():
    rng = np.random.default_rng(2)
    images = rng.normal(size=(1, 100, 100))
    mask = np.zeros(images.shape, bool)
    mask[:, :60] = True
    expected = scale_cutouts(stack(images, mask))
    images[mask] = 1e6
    np.testing.assert_array_equal(scale_cutouts(stack(images, mask)), expected)
    assert not expected[mask].any()


def test_cutouts_are_picked_by_slice_mask_and_index():
    cutouts = stack(np.arange(4)[:, None, None] * np.ones((4, 32, 32)))
    assert cutouts.select(slice(1, 3)).names == ("toy1", "toy2")
    assert cutouts.select(np.array([True, False, False, True])).names == ("toy0", "toy3")
    assert [len(part) for part in cutouts.batches(3)] == [3, 1]
