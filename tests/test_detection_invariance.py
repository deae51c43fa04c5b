"""What the detector must not care about, broken images, and the table it gives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaks.detection import find_streaks, measure_fwhm
from streaks.errors import FrameError
from streaks.frame import Frame
from streaks.tables import STREAK_COLUMNS, StreakFlag
from tests.detected import (
    NOISE,
    SHAPE,
    SIGMA_PX,
    detect,
    end_errors,
    frame_of,
    in_pixels,
    row_of,
    sky_with,
)
from tests.rendering import Ends, add_star

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

TRAIL: Ends = (120.0, 90.0, 165.0, 118.0)
#: Three of different length and steepness, far apart.
THREE: tuple[Ends, ...] = (
    (60.2, 50.7, 84.9, 62.3),
    (250.5, 200.1, 262.0, 255.4),
    (300.0, 60.0, 370.0, 60.5),
)


def flags_of(row: Any) -> StreakFlag:
    return StreakFlag(int(row["flags"]))


# ------------------------------------------------------------------------ what must not matter


@pytest.fixture(scope="module")
def plain() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A sky with three streaks, their ends and fluxes as found."""
    data = sky_with(THREE)
    table = detect(frame_of(data))
    assert len(table) == 3
    return data, in_pixels(table), table["flux"].value


def assert_same(table: Any, ends: NDArray[np.float64], flux: NDArray[np.float64]) -> None:
    """The same streaks, ends within 0.2 px and flux within 1 %."""
    assert len(table) == len(ends)
    for row, light in zip(ends, flux, strict=True):
        errors = end_errors(table, tuple(row))
        assert errors.min() < 0.2
        assert table["flux"].value[errors.argmin()] == pytest.approx(light, rel=0.01)


@pytest.mark.parametrize("shift", [(3, 5), (0, 17), (16, 0)])
def test_a_shifted_image_has_shifted_streaks(plain: Any, shift: tuple[int, int]) -> None:
    data, ends, flux = plain
    dy, dx = shift
    ny, nx = data.shape
    larger = np.random.default_rng(9).normal(0, NOISE, (ny + dy, nx + dx))
    larger[dy:, dx:] = data
    assert_same(detect(frame_of(larger)), ends + np.array([dx, dy, dx, dy]), flux)


def test_a_turned_image_has_turned_streaks(plain: Any) -> None:
    data, ends, flux = plain
    turned = np.rot90(data)  # (x, y) goes to (y, nx - 1 - x)
    nx = data.shape[1]
    x0, y0, x1, y1 = ends.T
    table = detect(frame_of(np.ascontiguousarray(turned)))
    assert_same(table, np.stack([y0, nx - 1 - x0, y1, nx - 1 - x1], axis=1), flux)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_flipped_image_has_flipped_streaks(plain: Any, axis: int) -> None:
    data, ends, flux = plain
    ny, nx = data.shape
    mirrored = ends.copy()
    columns = [0, 2] if axis == 1 else [1, 3]
    mirrored[:, columns] = (nx if axis == 1 else ny) - 1 - ends[:, columns]
    assert_same(detect(frame_of(np.ascontiguousarray(np.flip(data, axis)))), mirrored, flux)


@pytest.mark.parametrize("k", [1e-6, 0.01, 1e6])
@pytest.mark.parametrize("with_variance", [False, True])
def test_scaling_the_counts_changes_only_the_flux(
    plain: Any, k: float, with_variance: bool
) -> None:
    data, ends, flux = plain
    variance = np.full(SHAPE, NOISE**2 * k**2) if with_variance else None
    assert_same(detect(frame_of(k * data, variance=variance)), ends, k * flux)


def test_the_kind_of_float_does_not_matter(plain: Any) -> None:
    data, ends, flux = plain
    assert_same(detect(frame_of(data.astype(np.float32))), ends, flux)


def test_a_level_added_to_all_pixels_does_not_matter(plain: Any) -> None:
    data, ends, flux = plain
    assert_same(detect(frame_of(data + 1000.0)), ends, flux)


def test_the_frame_is_left_as_it_was(plain: Any) -> None:
    data = plain[0].copy()
    data[5, 5] = np.nan
    before = data.copy()
    detect(frame_of(data))
    np.testing.assert_array_equal(data, before)


def test_the_same_frame_gives_the_same_table(plain: Any) -> None:
    frame = frame_of(plain[0])
    first, second = find_streaks(frame), find_streaks(frame)
    for name in first.colnames:
        np.testing.assert_array_equal(np.asarray(first[name]), np.asarray(second[name]))


# ------------------------------------------------------------------------------ broken images


def test_sprinkled_nans_do_not_hide_a_streak() -> None:
    data = sky_with([TRAIL])
    data[np.random.default_rng(6).random(SHAPE) < 0.03] = np.nan
    table = detect(frame_of(data))
    row_of(table, TRAIL, within_px=2.0)
    assert len(table) == 1


def test_rows_and_columns_of_nan_do_not_hide_a_streak() -> None:
    data = sky_with([TRAIL])
    data[:14], data[:, 140:142], data[105], data[200:240] = np.nan, np.nan, np.nan, np.nan
    table = detect(frame_of(data))
    row_of(table, TRAIL, within_px=2.0)
    assert len(table) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_hole_under_a_streak_does_not_hide_it(bad: float) -> None:
    data = sky_with([TRAIL])
    data[100:105, 140:145] = bad
    table = detect(frame_of(data))
    row_of(table, TRAIL, within_px=2.0)
    assert len(table) == 1


def test_a_trail_over_a_masked_star_is_no_spike() -> None:
    data = sky_with([TRAIL], snr=60.0)
    data[98:108, 138:148] = np.nan
    row = row_of(detect(frame_of(data), min_score=0.0), TRAIL, within_px=2.0)
    assert StreakFlag.SPIKE not in flags_of(row)
    assert row["score"] > 20


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.98), st.integers(1, 70), st.integers(1, 90))
def test_no_pattern_of_holes_breaks_the_detector(seed: int, share: float, ny: int, nx: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.normal(0, NOISE, (ny, nx))
    data[rng.random((ny, nx)) < share] = rng.choice([np.nan, np.inf, -np.inf])
    assume(np.isfinite(data).mean() > 0.15)
    try:
        table = detect(frame_of(data))
    except FrameError:
        return  # nothing usable, or too little of it to know the noise
    assert len(table) <= 3


def test_an_image_with_few_usable_pixels_is_searched_or_refused() -> None:
    data = sky_with([])
    data[np.random.default_rng(11).random(SHAPE) < 0.95] = np.nan
    with contextlib.suppress(FrameError):
        assert len(detect(frame_of(data))) <= 1


def test_an_image_of_nan_is_refused() -> None:
    with pytest.raises(FrameError, match="no usable pixel"):
        detect(frame_of(np.full(SHAPE, np.nan)))


def test_a_wholly_masked_image_is_refused() -> None:
    with pytest.raises(FrameError, match="no usable pixel"):
        detect(frame_of(sky_with([]), np.ones(SHAPE, bool)))


def test_a_constant_image_is_refused() -> None:
    with pytest.raises(FrameError, match=r"no noise: .* have one value"):
        detect(frame_of(np.full(SHAPE, 3.0)))


def test_an_image_of_one_pixel_is_refused() -> None:
    with pytest.raises(FrameError, match="no noise"):
        detect(frame_of(np.ones((1, 1))))


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (2, 3), (3, 300), (9, 8), (16, 17)])
def test_thin_and_tiny_images_give_a_table(shape: tuple[int, int]) -> None:
    table = detect(frame_of(sky_with([], shape=shape)))
    assert len(table) <= 1


@pytest.mark.parametrize("dtype", [">f4", ">f8", "i2", "u2"])
def test_pixels_of_other_kinds_are_searched(dtype: str) -> None:
    table = detect(frame_of((sky_with([TRAIL]) + 200.0).astype(dtype)))
    row_of(table, TRAIL, within_px=2.0)


# ---------------------------------------------------------------------------------- the table


def test_nothing_found_has_all_columns() -> None:
    table = detect(frame_of(sky_with([])))
    assert table.colnames == [spec.name for spec in STREAK_COLUMNS]
    assert len(table) == 0


def test_rows_fall_by_score_and_have_names_of_their_own() -> None:
    table = detect(frame_of(sky_with(THREE), name="ztf_1"), min_score=0.0)
    assert (np.diff(np.asarray(table["score"])) <= 0).all()
    assert len(set(table["streak_id"])) == len(table) >= 3
    assert all(name.startswith("ztf_1") for name in table["streak_id"])
    assert set(table["image"]) == {"ztf_1"}


def test_the_first_end_has_the_smaller_x() -> None:
    ends = in_pixels(detect(frame_of(sky_with(THREE))))
    assert (ends[:, 0] <= ends[:, 2]).all()


def test_midpoint_length_and_direction_are_those_of_the_ends() -> None:
    table = detect(frame_of(sky_with(THREE)))
    x0, y0, x1, y1 = in_pixels(table).T
    assert table["x"].value == pytest.approx((x0 + x1) / 2)
    assert table["y"].value == pytest.approx((y0 + y1) / 2)
    assert table["length"].value == pytest.approx(np.hypot(x1 - x0, y1 - y0))
    assert table["theta"].value == pytest.approx(np.degrees(np.arctan2(y1 - y0, x1 - x0)) % 180)


def test_no_more_streaks_than_asked_for_the_best_ones() -> None:
    data = sky_with(THREE)
    every = detect(frame_of(data))
    best = detect(frame_of(data), max_streaks=2)
    assert list(best["score"]) == list(every["score"][:2])


def test_thresholds_are_kept() -> None:
    data = sky_with([TRAIL], snr=12.0)
    assert len(detect(frame_of(data))) == 1
    assert len(detect(frame_of(data), threshold_snr=20.0)) == 0
    assert len(detect(frame_of(data), min_score=20.0)) == 0
    assert len(detect(frame_of(data), min_length_px=80.0)) == 0


def test_a_lower_score_lets_more_through() -> None:
    data = sky_with([TRAIL])
    for i in range(8):
        add_star(data, 30.0 + 40 * i, 250.0, 1e4, SIGMA_PX)
    assert len(detect(frame_of(data), min_score=0.0, min_length_px=0.0)) > len(
        detect(frame_of(data))
    )


# ------------------------------------------------------------------------------- width of PSF


def star_field(fwhm_px: float, n: int = 60) -> NDArray[np.float64]:
    data = sky_with([], seed=7)
    rng = np.random.default_rng(8)
    for _ in range(n):
        place = rng.uniform(15, 395), rng.uniform(15, 285)
        add_star(data, *place, rng.uniform(1e4, 6e4), fwhm_px / 2.3548)
    return data


@pytest.mark.parametrize(
    "fwhm_px",
    [
        1.8,
        2.5,
        4.0,
    ],
)
def test_fwhm_is_measured_on_stars(fwhm_px: float) -> None:
    z = (star_field(fwhm_px) / NOISE).astype(np.float32)
    assert measure_fwhm(z, np.ones(SHAPE, bool)) == pytest.approx(fwhm_px, rel=0.05)


def test_fwhm_of_an_empty_sky_is_nan() -> None:
    z = (sky_with([]) / NOISE).astype(np.float32)
    assert np.isnan(measure_fwhm(z, np.ones(SHAPE, bool)))


def test_a_frame_without_fwhm_says_what_it_uses(caplog: pytest.LogCaptureFixture) -> None:
    frame = frame_of(sky_with([TRAIL]), fwhm_px=float("nan"))
    with caplog.at_level("WARNING", logger="streaks"):
        row_of(detect(frame), TRAIL, within_px=2.0)
    assert "no FWHM in the header" in caplog.text


def test_a_frame_without_fwhm_uses_its_stars(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="streaks"):
        detect(frame_of(star_field(4.0), fwhm_px=float("nan")))
    assert "px from stars of the image" in caplog.text


# ---------------------------------------------------------------------------------- real images


def read_image(path: Path) -> Frame:
    with fits.open(path) as hdus:
        data = next(h.data for h in hdus if h.data is not None and h.data.ndim == 2)
    return frame_of(np.asarray(data, dtype=float), fwhm_px=float("nan"), name=path.stem)


def test_the_real_trail_is_found_with_both_ends(real_data: Callable[..., Path]) -> None:
    # Ends as measured by the data's own description.
    table = detect(read_image(real_data("images", "astride_long.fits")))
    row_of(table, (22.0, 339.0, 340.0, 310.0), within_px=5.0)
    assert len(table) <= 4


def test_real_images_with_cosmic_rays_are_searched(real_data: Callable[..., Path]) -> None:
    for path in sorted(real_data("images", "decam").rglob("*.fits")):
        detect(read_image(path))
