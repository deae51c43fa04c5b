"""The FWHM where no header tells it, and rates that no body has."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.detection import find_streaks, with_fwhm
from streaks.detection.sky import warn_of_rates
from streaks.frame import Frame
from tests.rendering import add_star, add_trail, flux_for_snr
from tests.test_readers_coordinates import header as wcs_header

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (301, 402)
NOISE = 10.0
TRAIL = (60.0, 60.0, 140.0, 110.0)


def with_trail(fwhm_px: float, snr: float = 48.0) -> NDArray[np.float64]:
    sigma = fwhm_px / 2.3548
    image = np.random.default_rng(1).normal(0.0, NOISE, SHAPE)
    add_trail(image, TRAIL, flux_for_snr(TRAIL, snr, sigma_px=sigma, noise=NOISE), sigma)
    return image


def add_stars(image: NDArray[np.float64], fwhm_px: float, n: int = 25) -> None:
    rng = np.random.default_rng(2)
    step = int(np.sqrt(SHAPE[0] * SHAPE[1] / n))
    for y in range(step // 2, SHAPE[0], step):
        for x in range(step // 2, SHAPE[1], step):
            flux = rng.uniform(60, 200) * NOISE * 2 * np.sqrt(np.pi) * fwhm_px / 2.3548
            add_star(image, x + rng.random(), y + rng.random(), flux, fwhm_px / 2.3548)


def frame_of(data: NDArray[np.float64], **values: object) -> Frame:
    return Frame(data=data, mask=np.zeros(SHAPE, bool), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("fwhm_px", [1.3, 2.0, 4.0, 7.0, 10.0, 12.0])
def test_a_lone_trail_is_found_at_its_own_width(
    fwhm_px: float, caplog: pytest.LogCaptureFixture
) -> None:
    frame = with_fwhm(frame_of(with_trail(fwhm_px)))
    assert frame.fwhm_source == "the sharpest line of the image"
    assert frame.fwhm_px == pytest.approx(fwhm_px, rel=0.2)
    assert "no FWHM in the header" in caplog.text
    streaks = find_streaks(frame)
    assert len(streaks) == 1
    ends = [float(streaks[0][name].value) for name in ("x0", "y0", "x1", "y1")]
    np.testing.assert_allclose(ends, TRAIL, atol=max(1.5, 0.5 * fwhm_px))


@pytest.mark.parametrize("fwhm_px", [1.5, 2.5, 5.0, 9.0])
def test_stars_of_the_science_image_tell_it_first(fwhm_px: float) -> None:
    science = np.random.default_rng(3).normal(1000.0, NOISE, SHAPE)
    add_stars(science, fwhm_px)
    frame = with_fwhm(frame_of(with_trail(2.5, snr=0.0), science=science))
    assert frame.fwhm_source == "stars of the science image"
    assert frame.fwhm_px == pytest.approx(fwhm_px, rel=0.1)


@pytest.mark.parametrize("fwhm_px", [1.5, 2.5, 5.0, 9.0])
def test_stars_of_the_image_tell_it_next(fwhm_px: float) -> None:
    image = with_trail(fwhm_px, snr=0.0)
    add_stars(image, fwhm_px)
    frame = with_fwhm(frame_of(image))
    assert frame.fwhm_source == "stars of the image"
    assert frame.fwhm_px == pytest.approx(fwhm_px, rel=0.1)


def add_dipoles(image: NDArray[np.float64], fwhm_px: float, n: int = 16) -> None:
    """Stars that lie half a pixel beside where the reference has them, all the same way."""
    rng = np.random.default_rng(4)
    for i in range(n):
        x, y = 40.0 + 100.0 * (i % 4) + rng.random(), 35.0 + 75.0 * (i // 4) + rng.random()
        flux = rng.uniform(150, 400) * NOISE * fwhm_px**2
        add_star(image, x, y, flux, fwhm_px / 2.3548)
        add_star(image, x + 0.3, y + 0.4, -flux, fwhm_px / 2.3548)


@pytest.mark.parametrize("fwhm_px", [2.5, 3.5, 5.0, 8.0])
def test_residuals_of_stars_tell_it_where_no_star_is_left(fwhm_px: float) -> None:
    image = with_trail(fwhm_px, snr=0.0)
    add_dipoles(image, fwhm_px)
    frame = with_fwhm(frame_of(image))
    assert frame.fwhm_source == "residuals of stars in the image"
    assert frame.fwhm_px == pytest.approx(fwhm_px, rel=0.2)


@pytest.mark.parametrize("other_px", [1.8, 2.2, 2.8])
def test_stars_of_another_seeing_leave_rings_which_tell_no_width(other_px: float) -> None:
    # A difference whose seeing was not matched: a ring about each star is wider than any PSF.
    rng = np.random.default_rng(7)
    image = with_trail(2.5, snr=30.0)
    for _ in range(25):
        x, y = rng.uniform(15, SHAPE[1] - 15), rng.uniform(150, SHAPE[0] - 15)
        flux = 10.0 ** rng.uniform(3.0, 4.5) * NOISE
        add_star(image, x, y, flux, 2.5 / 2.3548)
        add_star(image, x, y, -flux, other_px / 2.3548)
    frame = with_fwhm(frame_of(image))
    assert 1.4 < frame.fwhm_px < 3.3
    ends = [[float(row[name].value) for name in ("x0", "y0", "x1", "y1")]
            for row in find_streaks(frame)]  # fmt: skip
    assert any(np.abs(np.array(found) - TRAIL).max() < 2.0 for found in ends)


def test_hot_pixels_and_a_trail_are_no_residuals_of_stars() -> None:
    image = with_trail(4.0)
    rng = np.random.default_rng(6)
    ny, nx = SHAPE
    image[rng.integers(0, ny, 40), rng.integers(0, nx, 40)] += 40.0 * NOISE
    frame = with_fwhm(frame_of(image))
    assert frame.fwhm_source == "the sharpest line of the image"
    assert frame.fwhm_px == pytest.approx(4.0, rel=0.2)


def test_noise_alone_tells_nothing_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    frame = with_fwhm(frame_of(with_trail(2.5, snr=0.0)))
    assert (frame.fwhm_px, frame.fwhm_source) == (2.5, "a guess")
    assert "no line that tells it; using 2.5 px" in caplog.text


def test_a_fwhm_that_is_known_stays() -> None:
    frame = frame_of(with_trail(2.5), fwhm_px=3.0, fwhm_source="header")
    assert with_fwhm(frame) is frame


# ----------------------------------------------------------------------------------------- rates


def test_a_rate_without_coordinates_is_by_the_stated_scale() -> None:
    frame = frame_of(with_trail(2.5), fwhm_px=2.5, exposure_s=30.0, scale_arcsec=2.0)
    row = find_streaks(frame)[0]
    # 94.3 px of 2 arcsec in 30 s.
    assert row["rate"].value == pytest.approx(2.0 * np.hypot(80, 50) / 30.0, rel=0.02)
    assert np.isnan(row["ra"].value)


def test_rates_that_no_asteroid_has_prompt_a_word(caplog: pytest.LogCaptureFixture) -> None:
    values = {"wcs": WCS(wcs_header()), "told": {"exposure_s": "EXPTIME = 0.5 s"}}
    frame = frame_of(with_trail(2.5), exposure_s=0.5, **values)
    inside = np.zeros(5, bool)
    # 94.3 arcsec in 0.5 s: 189 arcsec/s, 4530 deg/day. One such trail may be a satellite's.
    warn_of_rates(np.array([189.0, 0.5, 0.4, 0.3, np.nan]), inside, frame)
    warn_of_rates(np.array([189.0]), inside[:1], frame)
    warn_of_rates(np.full(5, 189.0), ~inside, frame)
    assert "deg/day" not in caplog.text
    warn_of_rates(np.array([189.0, 150.0, 120.0, 110.0, 0.3]), inside, frame)
    assert "up to 4.54e+03 deg/day" in caplog.text
    assert "faster than any asteroid" in caplog.text
    assert "EXPTIME = 0.5 s" in caplog.text
    caplog.clear()
    warn_of_rates(np.array([5000.0]), inside[:1], frame)
    assert "faster than any asteroid" in caplog.text


def test_coordinates_that_are_no_sky_are_left_out_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wcs = WCS(wcs_header(CTYPE1="HPLN-TAN", CTYPE2="HPLT-TAN"))
    with caplog.at_level(logging.WARNING):
        row = find_streaks(frame_of(with_trail(2.5), fwhm_px=2.5, wcs=wcs))[0]
    assert np.isnan(row["ra"].value)
    assert "HPLN" in caplog.text
