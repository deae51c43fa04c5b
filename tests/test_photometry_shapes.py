"""Light of trails whose PSF has wings: the whole of it is counted."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection import find_streaks
from streaks.detection.light import _moffat_of, psf_shape, shape_of_trail
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.trail import TrailFit, moffat_shape, picture_shape

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (120, 151)
NOISE = 10.0
FWHM_PX = 2.8


def moffat(r: NDArray[np.float64], fwhm_px: float, beta: float) -> NDArray[np.float64]:
    """Moffat's profile of unit light (Moffat 1969)."""
    squared = 0.25 * fwhm_px**2 / (2 ** (1 / beta) - 1)
    return (beta - 1) / (math.pi * squared) * (1 + r**2 / squared) ** -beta


def rendered(
    ends: tuple[float, float, float, float], fwhm_px: float, beta: float,
    shape: tuple[int, int] = SHAPE,
) -> NDArray[np.float64]:  # fmt: skip
    """A trail of unit light: a sum of many stars, knowing nothing of tables."""
    y, x = np.indices(shape, dtype=float)
    x0, y0, x1, y1 = ends
    n = math.ceil(4 * math.hypot(x1 - x0, y1 - y0)) + 1
    image = np.zeros(shape)
    for t in (np.arange(n) + 0.5) / n:
        image += moffat(np.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0)), fwhm_px, beta)
    return image / n


def picture(fwhm_px: float, beta: float) -> NDArray[np.float64]:
    y, x = np.indices((41, 43), dtype=float)
    return 1e4 * moffat(np.hypot(x - 20.7, y - 19.6), fwhm_px, beta)


def fluxes(frame: Frame, true: float) -> float:
    """Measured over true flux of a frame's one streak."""
    table = find_streaks(frame)
    assert len(table) == 1
    return float(table["flux"][0].value) / true


def frame_of(data: NDArray[np.float64]) -> Frame:
    return Frame(data.astype(np.float32), np.zeros(data.shape, bool), fwhm_px=FWHM_PX)


@pytest.mark.parametrize("beta", [2.5, 3.5, 5.0])
def test_flux_is_whole_with_a_picture_of_the_psf(beta: float) -> None:
    ends = (50.3, 48.2, 88.9, 71.4)
    shape = rendered(ends, FWHM_PX, beta)
    true = 200.0 * NOISE / math.sqrt((shape**2).sum())
    ratios = []
    for seed in range(6):
        data = true * shape + NOISE * np.random.default_rng(seed).normal(size=SHAPE)
        ratios.append(fluxes(replace(frame_of(data), psf=picture(FWHM_PX, beta)), true))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("beta", [2.5, 3.5, 5.0])
def test_flux_is_whole_where_the_bright_trail_itself_tells(beta: float) -> None:
    ends = (30.3, 38.2, 118.9, 81.4)
    shape = rendered(ends, FWHM_PX, beta)
    true = 400.0 * NOISE / math.sqrt((shape**2).sum())
    ratios = []
    for seed in range(6):
        data = true * shape + NOISE * np.random.default_rng(seed).normal(size=SHAPE)
        ratios.append(fluxes(frame_of(data), true))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("beta", [2.5, 4.0])
def test_flux_is_whole_where_stars_of_the_science_image_tell(beta: float) -> None:
    ends = (50.3, 48.2, 88.9, 71.4)
    shape = rendered(ends, FWHM_PX, beta)
    true = 60.0 * NOISE / math.sqrt((shape**2).sum())
    science = stars(beta)
    ratios = []
    for seed in range(8):
        data = true * shape + NOISE * np.random.default_rng(seed).normal(size=SHAPE)
        padded = NOISE * np.random.default_rng(100 + seed).normal(size=science.shape)
        padded[: SHAPE[0], : SHAPE[1]] = data
        ratios.append(fluxes(replace(frame_of(padded), science=science), true))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.015)


def stars(beta: float) -> NDArray[np.float32]:
    """A science image with stars on a sky."""
    rng = np.random.default_rng(4)
    y, x = np.indices((300, 301), dtype=float)
    image = 500.0 + NOISE * rng.normal(size=y.shape)
    for row in range(35, 290, 52):
        for column in range(35, 290, 52):
            r = np.hypot(x - column - rng.random(), y - row - rng.random())
            image += rng.uniform(3e4, 1e5) * moffat(r, FWHM_PX, beta)
    return image.astype(np.float32)


def test_a_gaussian_stays_a_gaussian_without_any_word_of_wings() -> None:
    sigma = FWHM_PX / 2.3548
    from tests.rendering import render_trail

    ends = (50.3, 48.2, 88.9, 71.4)
    shape = render_trail(SHAPE, ends, 1.0, sigma)
    true = 200.0 * NOISE / math.sqrt((shape**2).sum())
    ratios = [
        fluxes(
            frame_of(true * shape + NOISE * np.random.default_rng(seed).normal(size=SHAPE)), true
        )
        for seed in range(6)
    ]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.01)


def test_streaks_found_are_the_same_with_and_without_a_picture() -> None:
    rng = np.random.default_rng(8)
    data = NOISE * rng.normal(size=SHAPE)
    for ends in ((20.0, 20.0, 60.0, 31.0), (80.0, 90.0, 120.0, 70.0)):
        data += 9000.0 * rendered(ends, FWHM_PX, 3.0)
    plain = find_streaks(frame_of(data))
    told = find_streaks(replace(frame_of(data), psf=picture(FWHM_PX, 3.0)))
    assert len(plain) == len(told) == 2
    for name in ("x0", "y0", "x1", "y1", "snr", "score", "length", "width"):
        np.testing.assert_array_equal(plain[name].value, told[name].value)
    assert (told["flux"] > plain["flux"]).all()


def test_a_trail_of_a_shape_is_what_a_renderer_draws() -> None:
    ends = (60.2, 50.7, 91.0, 68.3)
    y, x = np.indices(SHAPE, dtype=float)
    made = moffat_shape(FWHM_PX, 3.0).trail(x.ravel(), y.ravel(), Segment(*ends)).reshape(SHAPE)
    drawn = rendered(ends, FWHM_PX, 3.0)
    assert np.abs(made - drawn).max() < 0.005 * drawn.max()


def test_a_picture_gives_the_profile_it_was_drawn_with() -> None:
    shape = picture_shape(picture(3.3, 3.5))
    assert shape is not None
    y, x = np.indices(SHAPE, dtype=float)
    segment = Segment(60.2, 50.7, 91.0, 68.3)
    same = moffat_shape(3.3, 3.5).trail(x.ravel(), y.ravel(), segment)
    made = shape.trail(x.ravel(), y.ravel(), segment)
    assert np.abs(made - same).max() < 0.01 * same.max()
    assert made.sum() == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((31, 31)),
        np.full((31, 31), np.nan),
        np.ones((4, 40)),
        np.ones((31, 31)),
        -picture(2.5, 3.0),
        np.zeros(31),
    ],
    ids=["dark", "nan", "narrow", "flat", "negative", "a row"],
)
def test_what_is_no_picture_of_a_psf_gives_no_shape(bad: NDArray[np.float64]) -> None:
    assert picture_shape(bad) is None


def test_a_wider_trail_gets_a_wider_shape() -> None:
    shape = moffat_shape(FWHM_PX, 3.5)
    sigma_px = FWHM_PX / 2.3548
    fit = TrailFit(
        segment=Segment(10.0, 10.0, 40.0, 18.0), flux=900.0, flux_err=5.0, sigma_px=2.0 * sigma_px,
        sigma_err=0.01, along_err=0.1, across_err=0.1, length_err=0.2, theta_err_deg=0.1,
        snr=200.0, chi2=1.0, n_pixels=300, converged=True,
    )  # fmt: skip
    wide = shape_of_trail(shape, fit, sigma_px)
    assert 1.7 < wide.scale < 2.1


def test_nothing_found_needs_no_shape() -> None:
    frame = frame_of(NOISE * np.random.default_rng(1).normal(size=SHAPE))
    assert len(find_streaks(replace(frame, psf=picture(FWHM_PX, 3.0)))) == 0
    assert psf_shape is not None


def _rings(profile: Any, fwhm_px: float, snr: float, seed: int) -> tuple[Any, Any, Any]:
    """Distance, noisy value and weight at 200 distances up to three widths."""
    r = np.linspace(0.1, 3.0 * fwhm_px, 200)
    light = profile(r)
    weight = np.full(len(r), snr**2 / float((light**2).sum()))
    noise = np.random.default_rng(seed).normal(size=len(r)) / np.sqrt(weight)
    return r, light + noise, weight


@pytest.mark.parametrize("fwhm_px", [2.5, 12.0])
@pytest.mark.parametrize("integrated", [0.0, 0.5])
def test_a_profile_has_wings_where_the_light_has_and_not_where_it_has_none(
    fwhm_px: float, integrated: float
) -> None:
    sigma = fwhm_px / (2.0 * math.sqrt(2.0 * math.log(2.0)))
    for seed in range(3):
        rings = _rings(lambda r: np.exp(-0.5 * (r / sigma) ** 2), fwhm_px, 20.0, seed)
        assert _moffat_of(*rings, fwhm_px, integrated, "a") is None
    # Moffat's profile of exponent 3, as it is or summed along a line: the exponent less a half.
    core = 0.5 * fwhm_px / math.sqrt(2.0 ** (1.0 / 3.0) - 1.0)
    rings = _rings(lambda r: (1.0 + (r / core) ** 2) ** (integrated - 3.0), fwhm_px, 2000.0, seed=0)
    shape = _moffat_of(*rings, fwhm_px, integrated, "a")
    assert shape is not None
    found = re.search(r"exponent ([0-9.]+)", shape.source)
    assert found is not None
    assert float(found[1]) == pytest.approx(3.0, abs=0.1)
