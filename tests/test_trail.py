"""The trail's model and its fit, against a renderer that knows neither."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from streaks import geometry
from streaks.detection.photometry import power_of_points, trail_flux
from streaks.geometry import Segment, angle_difference_deg
from streaks.noise import NoiseMap
from streaks.noise._rows import SkyBands
from streaks.trail import (
    FWHM_PER_SIGMA,
    TrailFit,
    fit_trail,
    line_noise,
    shares_inside,
    trail_model,
    with_correlated_noise,
)
from streaks.trail._kernels import correlated
from tests.rendering import Ends, add_star, flux_for_snr, render_trail

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (61, 84)
SIGMA_PX = 1.2
ENDS: Ends = (25.3, 20.8, 57.9, 41.2)
USABLE = np.ones(SHAPE, bool)


def noisy(ends: Ends, flux: float, seed: int, sigma_px: float = SIGMA_PX) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (render_trail(SHAPE, ends, flux, sigma_px) + rng.normal(size=SHAPE)).astype(np.float32)


def fit_of(z: NDArray[np.float32], ends: Ends, **options: float) -> TrailFit:
    return fit_trail(z, USABLE, Segment(*ends), sigma_px=SIGMA_PX, **options)


@pytest.mark.parametrize(
    "ends",
    [ENDS, (20.0, 30.0, 60.0, 30.0), (40.5, 12.2, 40.5, 50.7), (30.0, 45.0, 34.0, 42.0)],
)
@pytest.mark.parametrize("sigma_px", [0.9, 1.2, 2.5])
def test_the_model_is_a_row_of_gaussians(ends: Ends, sigma_px: float) -> None:
    model = trail_model(SHAPE, Segment(*ends), 1000.0, sigma_px)
    truth = render_trail(SHAPE, ends, 1000.0, sigma_px)
    assert model == pytest.approx(truth, abs=2e-3 * truth.max())


def test_the_model_holds_its_flux() -> None:
    assert trail_model(SHAPE, Segment(*ENDS), 1000.0, SIGMA_PX).sum() == pytest.approx(
        1000, rel=1e-4
    )


def test_a_trail_of_no_length_is_a_point() -> None:
    model = trail_model(SHAPE, Segment(40.0, 30.0, 40.0, 30.0), 500.0, SIGMA_PX)
    star = np.zeros(SHAPE)
    add_star(star, 40.0, 30.0, 500.0, SIGMA_PX)
    assert model == pytest.approx(star, abs=2e-3 * star.max())


def test_full_width_at_half_maximum_of_a_gaussian() -> None:
    # exp(-r**2 / 2) is one half at r = sqrt(2 ln 2).
    assert math.exp(-((0.5 * FWHM_PER_SIGMA) ** 2) / 2) == pytest.approx(0.5)


def test_a_bright_trail_is_fitted_as_it_was_drawn() -> None:
    z = render_trail(SHAPE, ENDS, 3000.0, SIGMA_PX).astype(np.float32)
    fit = fit_of(z, (27.0, 20.0, 56.0, 42.0))
    assert fit.converged
    ends = (fit.segment.x0, fit.segment.y0, fit.segment.x1, fit.segment.y1)
    assert ends == pytest.approx(ENDS, abs=0.05)
    assert fit.flux == pytest.approx(3000.0, rel=2e-3)
    assert fit.sigma_px == pytest.approx(SIGMA_PX, rel=5e-3)


@pytest.mark.parametrize("theta_deg", [0.0, 17.0, 45.0, 90.0, 135.0, 179.0])
def test_a_trail_of_any_direction_is_fitted(theta_deg: float) -> None:
    truth = Segment.from_midpoint(41.3, 29.6, 30.0, theta_deg)
    ends = (truth.x0, truth.y0, truth.x1, truth.y1)
    z = noisy(ends, flux_for_snr(ends, 60.0, sigma_px=SIGMA_PX, noise=1.0), seed=2)
    start = Segment.from_midpoint(42.0, 29.0, 26.0, theta_deg + 3.0)
    fit = fit_trail(z, USABLE, start, sigma_px=SIGMA_PX)
    assert fit.converged
    assert abs(angle_difference_deg(fit.segment.theta_deg, theta_deg)) < 0.7
    assert fit.segment.length_px == pytest.approx(30.0, abs=0.6)
    assert fit.segment.midpoint == pytest.approx((41.3, 29.6), abs=0.3)


def test_the_fit_measures_how_wide_a_trail_is() -> None:
    z = noisy(ENDS, 6000.0, seed=3, sigma_px=1.6)
    assert fit_of(z, ENDS).sigma_px == pytest.approx(1.6, rel=0.06)


def test_the_fitted_snr_is_the_matched_filters() -> None:
    flux = flux_for_snr(ENDS, 20.0, sigma_px=SIGMA_PX, noise=1.0)
    snr = [fit_of(noisy(ENDS, flux, seed), ENDS).snr for seed in range(20)]
    # Unit scatter over the root of 20; a fit rides on noise by a sigma's fraction.
    assert np.mean(snr) == pytest.approx(20.0, abs=0.8)


def test_a_good_fit_leaves_unit_noise() -> None:
    chi2 = [fit_of(noisy(ENDS, 900.0, seed), ENDS).chi2 for seed in range(20)]
    assert np.mean(chi2) == pytest.approx(1.0, abs=0.08)


@dataclass(frozen=True)
class Pulls:
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    length: NDArray[np.float64]
    theta: NDArray[np.float64]
    flux: NDArray[np.float64]
    flux_ratio: NDArray[np.float64]


@pytest.fixture(scope="module", params=[12.0, 40.0])
def pulls(request: pytest.FixtureRequest) -> Pulls:
    """Errors over quoted errors of 250 trails of random place and direction."""
    rng = np.random.default_rng(11)
    rows = []
    for _ in range(250):
        truth = Segment.from_midpoint(
            rng.uniform(38, 46), rng.uniform(27, 33), rng.uniform(12, 34), rng.uniform(0, 180)
        )
        ends = (truth.x0, truth.y0, truth.x1, truth.y1)
        flux = flux_for_snr(ends, request.param, sigma_px=SIGMA_PX, noise=1.0)
        z = noisy(ends, flux, int(rng.integers(1 << 30)))
        start = Segment.from_midpoint(
            truth.midpoint[0] + rng.normal(0, 0.5), truth.midpoint[1] + rng.normal(0, 0.5),
            truth.length_px * rng.uniform(0.8, 1.2), truth.theta_deg + rng.normal(0, 2.0),
        )  # fmt: skip
        fit = fit_trail(z, USABLE, start, sigma_px=SIGMA_PX)
        assert fit.converged
        theta = math.radians(truth.theta_deg)
        along = np.array([math.cos(theta), math.sin(theta)])
        across = np.array([-math.sin(theta), math.cos(theta)])
        turned = abs(fit.segment.x0 - truth.x0) + abs(fit.segment.y0 - truth.y0) > 0.5 * (
            truth.length_px
        )
        first = (truth.x1, truth.y1) if turned else (truth.x0, truth.y0)
        end_error = np.array([fit.segment.x0 - first[0], fit.segment.y0 - first[1]])
        middle_error = np.subtract(fit.segment.midpoint, truth.midpoint)
        turn = float(angle_difference_deg(fit.segment.theta_deg, truth.theta_deg))
        rows.append(
            (
                end_error @ along / fit.along_err,
                middle_error @ across / fit.across_err,
                (fit.segment.length_px - truth.length_px) / fit.length_err,
                turn / fit.theta_err_deg,
                (fit.flux - flux) / fit.flux_err,
                fit.flux / flux,
            )
        )
    return Pulls(*np.array(rows).T)


@pytest.mark.parametrize("what", ["along", "across", "length", "theta", "flux"])
def test_quoted_errors_are_right(pulls: Pulls, what: str) -> None:
    # The width of 250 pulls is known to 4.5 %. At S/N 12 the likelihood of an end is no Gaussian
    # but a slope with a step: 2 % of lengths lie beyond three errors.
    values = getattr(pulls, what)
    assert 0.8 < np.std(np.clip(values, -4, 4)) < 1.3
    assert abs(np.median(values)) < 0.35
    assert np.mean(np.abs(values) > 4) < 0.035


def test_fitted_flux_is_unbiased(pulls: Pulls) -> None:
    # 8 % scatter at S/N 12 over the root of 250.
    assert np.median(pulls.flux_ratio) == pytest.approx(1.0, abs=0.025)


def test_correlated_noise_widens_quoted_errors() -> None:
    z = noisy(ENDS, 1500.0, seed=5)
    white, coloured = fit_of(z, ENDS), fit_of(z, ENDS, noise_factor=2.25)
    assert coloured.flux_err == pytest.approx(1.5 * white.flux_err, rel=0.02)
    assert coloured.along_err == pytest.approx(1.5 * white.along_err, rel=0.02)
    assert coloured.snr == pytest.approx(white.snr / 1.5, rel=1e-6)


def test_the_trails_own_light_widens_quoted_errors() -> None:
    z = noisy(ENDS, 20000.0, seed=6)
    assert fit_of(z, ENDS, source_variance=0.1).flux_err > 1.5 * fit_of(z, ENDS).flux_err


def test_a_masked_stretch_does_not_move_the_ends() -> None:
    flux = flux_for_snr(ENDS, 50.0, sigma_px=SIGMA_PX, noise=1.0)
    usable = np.ones(SHAPE, bool)
    usable[:, 38:45] = False
    z = np.where(usable, noisy(ENDS, flux, seed=7), np.float32(0)).astype(np.float32)
    fit = fit_trail(z, usable, Segment(*ENDS), sigma_px=SIGMA_PX)
    ends = (fit.segment.x0, fit.segment.y0, fit.segment.x1, fit.segment.y1)
    assert ends == pytest.approx(ENDS, abs=0.6)
    assert fit.flux == pytest.approx(flux, rel=0.06)


def test_a_hot_pixel_hardly_moves_a_fit() -> None:
    flux = flux_for_snr(ENDS, 40.0, sigma_px=SIGMA_PX, noise=1.0)
    z = noisy(ENDS, flux, seed=8)
    before = fit_of(z, ENDS)
    z[33, 41] += 200.0
    after = fit_of(z, ENDS)
    assert after.segment.midpoint == pytest.approx(before.segment.midpoint, abs=0.15)
    assert after.flux == pytest.approx(before.flux, rel=0.05)


def test_a_fit_on_too_few_pixels_says_so_and_keeps_its_start() -> None:
    usable = np.zeros(SHAPE, bool)
    usable[30, 40:44] = True
    start = Segment(30.0, 30.0, 50.0, 30.0)
    fit = fit_trail(noisy(ENDS, 900.0, 9), usable, start, sigma_px=SIGMA_PX)
    assert not fit.converged
    assert fit.segment == start
    assert math.isnan(fit.flux)
    assert math.isnan(fit.length_err)
    assert fit.n_pixels == 4


def test_a_fit_that_runs_away_keeps_its_start() -> None:
    start = Segment(5.0, 5.0, 9.0, 5.0)
    z = np.zeros(SHAPE, np.float32)
    z[40:, :] = 30.0
    fit = fit_trail(z, USABLE, start, sigma_px=SIGMA_PX)
    assert fit.converged or fit.segment == start
    moved = math.hypot(
        fit.segment.midpoint[0] - start.midpoint[0], fit.segment.midpoint[1] - start.midpoint[1]
    )
    assert moved < 15.0


@pytest.mark.parametrize("length_px", [0.5, 4.0, 12.0, 60.0])
def test_line_noise_is_that_of_integrals_over_filtered_noise(length_px: float) -> None:
    rng = np.random.default_rng(10)
    filtered = gaussian_filter(rng.normal(size=(700, 801)), SIGMA_PX)
    filtered /= filtered.std()
    # Starts 8 px apart on the grid, at an angle, so that samples fall between pixels.
    y, x = np.mgrid[80:620:8, 80:720:8]
    n = max(3, round(6 * length_px))
    t = (np.arange(n) + 0.5) / n * length_px
    c, s = math.cos(0.4), math.sin(0.4)
    places = np.stack([y.ravel()[:, None] + t * s, x.ravel()[:, None] + t * c])
    integrals = map_coordinates(filtered, places, order=3).mean(axis=1) * length_px
    assert line_noise(length_px, SIGMA_PX) == pytest.approx(integrals.std(), rel=0.05)


@pytest.mark.parametrize("length_px", [0.3, 7.0, 400.0])
def test_line_noise_of_one_number_is_that_of_an_array(length_px: float) -> None:
    many = line_noise(np.array([length_px, 1.0]), SIGMA_PX)
    assert line_noise(length_px, SIGMA_PX) == pytest.approx(many[0], rel=1e-12)


@pytest.mark.parametrize(
    "ends",
    [(3.0, 4.0, 20.0, 9.0), (-9.0, 4.0, 90.0, 40.0), (5.0, -9.0, 5.0, 90.0), (-3.0, 4.0, -3.0, 9.0),
     (70.0, -60.0, 200.0, 20.0)],
)  # fmt: skip
def test_the_compiled_shares_inside_are_those_of_python(ends: Ends) -> None:
    box = (-0.5, -0.5, 83.5, 60.5)
    assert shares_inside(*ends, *box) == geometry.shares_inside(*ends, *box)


def test_line_noise_of_long_lines_grows_with_the_root_of_length() -> None:
    # 2 L int exp(-t**2 / 4 s**2) dt = 2 L s sqrt(pi) where L >> s.
    expected = math.sqrt(2 * 5000.0 * SIGMA_PX * math.sqrt(math.pi))
    assert line_noise(5000.0, SIGMA_PX) == pytest.approx(expected, rel=1e-3)


def known_noise(sigma: NDArray[np.float32]) -> NoiseMap:
    """No background, and this noise at every pixel."""
    zero, none = np.zeros(SHAPE, np.float32), np.zeros((0, SHAPE[1]), np.float32)
    sky = SkyBands(zero, sigma.astype(np.float32), 1, zero[0], none, 1, none, 1)
    return NoiseMap(sky, ~USABLE, np.eye(1))


@pytest.mark.parametrize("seed", range(4))
def test_flux_in_counts_is_the_flux_drawn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sigma = (8.0 + 0.1 * np.arange(SHAPE[1]))[None, :] * np.ones(SHAPE)
    flux = flux_for_snr(ENDS, 40.0, sigma_px=SIGMA_PX, noise=12.0)
    counts = render_trail(SHAPE, ENDS, flux, SIGMA_PX) + sigma * rng.normal(size=SHAPE)
    fit = fit_of((counts / sigma).astype(np.float32), ENDS)
    measured, error = trail_flux(counts.astype(np.float32), known_noise(sigma), USABLE, fit)
    assert abs(measured - flux) < 4 * error
    assert error == pytest.approx(flux / 40.0, rel=0.4)


def test_photon_noise_of_the_trail_counts() -> None:
    counts = render_trail(SHAPE, ENDS, 5e5, SIGMA_PX).astype(np.float32)
    sigma = np.full(SHAPE, 10.0, np.float32)
    fit = fit_of(counts / 10.0, ENDS)
    dark = trail_flux(counts, known_noise(sigma), USABLE, fit)[1]
    bright = trail_flux(counts, known_noise(sigma), USABLE, fit, gain=1.0)[1]
    assert bright > 2 * dark


def test_a_dark_trail_has_the_flux_that_it_takes() -> None:
    z = noisy(ENDS, 900.0, 12)
    fit, noise = fit_of(z, ENDS), known_noise(np.ones(SHAPE, np.float32))
    flux, error = trail_flux(z, noise, USABLE, fit)
    assert trail_flux(-z, noise, USABLE, fit, negative=True) == pytest.approx((-flux, error))


def test_a_trail_that_is_all_hidden_has_no_flux() -> None:
    fit = fit_of(noisy(ENDS, 900.0, 12), ENDS)
    counts, sigma = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    measured = trail_flux(counts, known_noise(sigma), np.zeros(SHAPE, bool), fit)
    assert math.isnan(measured[0])
    assert math.isnan(measured[1])


def test_a_trail_is_no_row_of_points() -> None:
    flux = flux_for_snr(ENDS, 30.0, sigma_px=SIGMA_PX, noise=1.0)
    z = noisy(ENDS, flux, seed=13)
    trail, points = power_of_points(z, USABLE, fit_of(z, ENDS))
    assert trail > points
    assert trail == pytest.approx(30.0**2, rel=0.2)


def test_two_stars_are_a_row_of_points() -> None:
    image = np.zeros(SHAPE)
    add_star(image, 36.0, 30.0, 150.0, SIGMA_PX)
    add_star(image, 44.0, 30.0, 150.0, SIGMA_PX)
    z = (image + np.random.default_rng(14).normal(size=SHAPE)).astype(np.float32)
    trail, points = power_of_points(z, USABLE, fit_of(z, (35.0, 30.0, 45.0, 30.0)))
    assert points > trail + 20


def test_correlated_noise_reaches_every_pair_of_pixels() -> None:
    rng = np.random.default_rng(2)
    y, x = np.nonzero(rng.random((9, 13)) < 0.7)
    values = rng.normal(size=(6, len(x)))
    correlation = rng.normal(size=(5, 5))
    dense = np.zeros((len(x), len(x)))
    for i, j in np.ndindex(dense.shape):
        dy, dx = int(y[j] - y[i]), int(x[j] - x[i])
        if max(abs(dy), abs(dx)) <= 2:
            dense[i, j] = correlation[2 + dy, 2 + dx]
    assert correlated(values, x, y, correlation, 2) == pytest.approx(values @ dense.T)


def test_errors_in_correlated_noise_are_those_of_many_fits() -> None:
    # Noise blurred by (1, 3, 1) / sqrt(11) in both directions: lag-1 correlation 6 / 11.
    import cv2

    blur = np.array([1.0, 3.0, 1.0]) / np.sqrt(11.0)
    one = np.convolve(blur, blur)
    correlation = one[:, None] * one[None, :]
    true, usable = Segment(20.0, 22.0, 52.0, 30.0), np.ones((52, 72), bool)
    light = trail_model(usable.shape, true, 160.0, 1.0)
    filtered = cv2.sepFilter2D(light, cv2.CV_64F, one, one)
    factor = float((light * filtered).sum() / (light * light).sum())
    rng = np.random.default_rng(11)
    across, told, naive = [], [], []
    for _ in range(150):
        noise = cv2.sepFilter2D(rng.normal(size=usable.shape), cv2.CV_64F, blur, blur)
        z = (light + noise).astype(np.float32)
        fit = fit_trail(z, usable, true, sigma_px=1.0, noise_factor=factor)
        mended = with_correlated_noise(fit, usable, correlation, sigma_px=1.0)
        dx, dy = np.subtract(mended.segment.midpoint, true.midpoint)
        across.append((-dx * 8.0 + dy * 32.0) / np.hypot(32.0, 8.0))
        told.append(mended.across_err)
        naive.append(fit.across_err)
    # 150 fits know a width to 6 %; one factor for all parameters errs by far more.
    assert np.std(across) == pytest.approx(np.median(told), rel=0.2)
    assert np.median(naive) > 1.15 * np.median(told)


def test_white_noise_leaves_the_errors_of_the_fit() -> None:
    true, usable = Segment(20.0, 22.0, 52.0, 30.0), np.ones((52, 72), bool)
    z = trail_model(usable.shape, true, 160.0, 1.0).astype(np.float32)
    fit = fit_trail(z, usable, true, sigma_px=1.0)
    white = np.zeros((5, 5))
    white[2, 2] = 1.0
    assert with_correlated_noise(fit, usable, white, sigma_px=1.0) == fit
