"""Features: finite for any cutout, free of scale, zero and turn, and they mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streaks.cutouts import Cutouts
from streaks.features import FEATURE_NAMES, SIZE_PX, measure_features
from tests.toy_cutouts import dipole, noise, stack, trail


def _measure(image, mask=None):
    row = measure_features(stack([image], None if mask is None else [mask]))[0]
    return dict(zip(FEATURE_NAMES, row, strict=True))


def test_one_row_a_cutout_and_one_column_a_name():
    features = measure_features(stack(np.random.default_rng(1).normal(size=(3, 128, 128))))
    assert features.shape == (3, len(FEATURE_NAMES))
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_an_empty_stack_gives_no_rows():
    features = measure_features(stack(np.zeros((0, 128, 128))))
    assert features.shape == (0, len(FEATURE_NAMES))


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan])
def test_a_cutout_without_spread_gives_zeros(value):
    features = measure_features(stack(np.full((1, 128, 128), value)))
    expected_mask_share = 1.0 if np.isnan(value) else 0.0
    assert features[0, 0] == expected_mask_share
    assert not features[0, 1:].any()


def test_a_masked_cutout_gives_zeros_but_for_its_masked_share():
    image = noise(np.random.default_rng(1))
    found = _measure(image, np.ones(image.shape, bool))
    assert found.pop("mask_share") == 1.0
    assert not any(found.values())


@settings(max_examples=25, deadline=None)
@given(
    image=arrays.arrays(
        np.float32,
        (1, 64, 64),
        elements=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(np.nan) | st.just(np.inf),
        fill=st.sampled_from([np.float32(0), np.float32(1), np.float32(np.nan)]),
    ),
    masked_share=st.sampled_from([0.0, 0.5, 0.999]),
)
def test_features_are_finite_whatever_the_pixels(image, masked_share):
    mask = np.random.default_rng(0).random(image.shape) < masked_share
    assert np.isfinite(measure_features(Cutouts(image, mask, ("any",)))).all()


def test_features_are_finite_where_the_spread_is_next_to_nothing():
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 10] = 1e-30
    image[0, 20:, :] = np.nan
    image[0, :10, :20] = 1e9
    image[0, 11:20] = np.where(np.indices((9, 64))[1] % 2, 1e-30, -1e-30)
    assert np.isfinite(
        measure_features(Cutouts(image, np.zeros(image.shape, bool), ("any",)))
    ).all()


def test_features_are_finite_for_single_bright_pixels_and_rows():
    rng = np.random.default_rng(2)
    images = rng.normal(size=(4, 128, 128))
    images[0, 64, 64] = 1e6
    images[1, 64, :] = 500.0
    images[2, :, :64] += 50.0
    images[3] = np.round(images[3] * 3) / 3
    assert np.isfinite(measure_features(stack(images))).all()


def _scenes():
    rng = np.random.default_rng(3)
    images = [
        noise(rng) + shape
        for shape in (
            0.0,
            trail(length=24, theta_deg=31, peak=6.0),
            trail(length=300, theta_deg=77, peak=4.0),
            dipole(peak=30.0),
            trail(length=8, theta_deg=120, peak=60.0, sigma_px=0.4, centre=(60.0, 66.0)),
        )
    ]
    masks = np.zeros((len(images), 128, 128), bool)
    masks[1, 20:50, 70:90] = True
    masks[3, :, :30] = True
    return np.array(images), masks


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_a_quarter_turn_or_a_mirror_changes_no_feature(k, mirrored):
    images, masks = _scenes()
    expected = measure_features(stack(images, masks))
    turned = [np.rot90(stacked, k, (1, 2)) for stacked in (images, masks)]
    if mirrored:
        turned = [t[:, :, ::-1] for t in turned]
    found = measure_features(stack(*turned))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 1e4), zero=st.floats(-1e3, 1e3))
def test_neither_scale_nor_zero_of_the_counts_matters(scale, zero):
    images, masks = _scenes()
    found = measure_features(stack(images * scale + zero * scale, masks))
    # Half a per cent: counts of pixels beyond a limit may flip by one when float32 rounds.
    np.testing.assert_allclose(found, measure_features(stack(images, masks)), rtol=5e-3, atol=5e-2)


@pytest.mark.parametrize("size", [31, 63, 157, 200])
def test_cutouts_of_other_sizes_are_fitted(size):
    image = noise(np.random.default_rng(4), size) + trail(size, length=15, theta_deg=40, peak=12.0)
    found = _measure(image)
    assert found["segment_length"] == pytest.approx(15 + 2, abs=5)  # the PSF adds to both ends
    assert found["mask_share"] == pytest.approx(max(1 - size**2 / SIZE_PX**2, 0), abs=1e-6)


@pytest.mark.parametrize("theta_deg", [0, 20, 45, 70, 90, 133])
@pytest.mark.parametrize("length", [12, 30, 60])
def test_the_segment_has_the_trails_length_and_axis(length, theta_deg):
    image = noise(np.random.default_rng(5)) + trail(length=length, theta_deg=theta_deg, peak=8.0)
    found = _measure(image)
    assert found["segment_length"] == pytest.approx(length + 2, abs=5)
    from_axis = min(theta_deg % 90, 90 - theta_deg % 90)
    assert np.degrees(found["segment_axis"]) == pytest.approx(from_axis, abs=4.0)


def test_a_trail_through_the_edges_is_told_from_one_with_both_ends_inside():
    rng = np.random.default_rng(6)
    inside = _measure(noise(rng) + trail(length=40, theta_deg=25, peak=4.0))
    crossing = _measure(noise(rng) + trail(length=400, theta_deg=25, peak=4.0))
    assert inside["room_beyond"] > 20
    assert crossing["room_beyond"] < 5
    assert crossing["line_coverage"] > 0.9 > inside["line_coverage"]


def test_a_cosmic_ray_is_sharper_across_than_a_trail():
    rng = np.random.default_rng(7)
    blurred = _measure(noise(rng) + trail(length=20, theta_deg=30, peak=30.0))
    sharp = _measure(noise(rng) + trail(length=20, theta_deg=30, peak=30.0, sigma_px=0.35))
    assert sharp["across_width"] < 0.7 * blurred["across_width"]
    assert sharp["bright_lag2_high"] < blurred["bright_lag2_high"]


def test_a_half_turn_makes_a_dipole_its_own_negative():
    rng = np.random.default_rng(8)
    assert _measure(noise(rng) + dipole(peak=30.0))["point_symmetry"] < -0.5
    star = trail(length=0, theta_deg=0, peak=30.0)
    assert _measure(noise(rng) + star)["point_symmetry"] > 0.5


def test_a_broad_glow_shows_in_blocks_and_not_in_peaks():
    rng = np.random.default_rng(9)
    glow = trail(length=0, theta_deg=0, peak=1.5, sigma_px=25.0)
    with_glow, without = _measure(noise(rng) + glow), _measure(noise(rng))
    assert with_glow["block_power"] > without["block_power"] + 1
    assert with_glow["block_smoothness"] > 0.5 > without["block_smoothness"]
    assert with_glow["n_peaks"] == pytest.approx(without["n_peaks"], abs=np.log(3))


def test_flat_patches_are_seen_without_a_mask():
    image = noise(np.random.default_rng(10))
    image[40:80, 40:80] = 0.2
    assert _measure(image)["flat_share_centre"] > 0.9


def test_whole_lines_of_stamps_are_the_same_whatever_was_measured_before():
    from streaks.features import _variances

    rng = np.random.default_rng(5)
    images = rng.normal(size=(3, 128, 128))
    images[:, 64, 40:90] += 6.0
    masks = np.ones(images.shape, bool)
    for mask, side in zip(masks, (63, 48, 128), strict=True):
        low = 64 - side // 2
        mask[low : low + side, low : low + side] = False
    # One after the other, and each as the first: what is kept of one mask is not another's.
    together = measure_features(stack(images, masks))
    for k in range(3):
        _variances.cache_clear()
        alone = measure_features(stack(images[k : k + 1], masks[k : k + 1]))[0]
        np.testing.assert_array_equal(alone, together[k])
    assert len({row.tobytes() for row in together}) == 3
