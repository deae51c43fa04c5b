"""Light through a PSF: flux, ends and widths against a plain numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from streaks.errors import ConfigError
from streaks.geometry import Segment
from streaks.synth.drawing.psf import Psf, add_points, render_trail
from streaks.synth.drawing.scene import Conditions, correlate_noise, pass_object, subtract

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (75, 96)
FINE = 8


def integrated_trail(segment: Segment, fwhm_px: float, shape: tuple[int, int]) -> np.ndarray:
    """A Gaussian trail by brute force: 8 x 8 sub-pixels, a blurred fine line, summed up.

    Independent of the renderer: light is dropped on a fine grid with bilinear weights and
    blurred by scipy.
    """
    ny, nx = shape
    fine = np.zeros((ny * FINE, nx * FINE))
    n = 4000
    t = (np.arange(n) + 0.5) / n
    # Pixel i spans i - 0.5 to i + 0.5; fine pixel j's centre lies at (j + 0.5) / FINE - 0.5.
    fx = (segment.x0 + t * (segment.x1 - segment.x0) + 0.5) * FINE - 0.5
    fy = (segment.y0 + t * (segment.y1 - segment.y0) + 0.5) * FINE - 0.5
    ix, iy = np.floor(fx).astype(int), np.floor(fy).astype(int)
    wx, wy = fx - ix, fy - iy
    for dx, dy, w in (
        (0, 0, (1 - wx) * (1 - wy)),
        (1, 0, wx * (1 - wy)),
        (0, 1, (1 - wx) * wy),
        (1, 1, wx * wy),
    ):
        np.add.at(fine, (iy + dy, ix + dx), w / n)
    # Bilinear weights blur by 1/6 of a fine pixel squared; the rest is the PSF's.
    sigma = math.sqrt((fwhm_px / 2.3548 * FINE) ** 2 - 1 / 6)
    fine = gaussian_filter(fine, sigma, mode="constant", truncate=6)
    return fine.reshape(ny, FINE, nx, FINE).sum((1, 3))


@pytest.mark.parametrize("fwhm_px", [1.6, 2.5, 4.5])
@pytest.mark.parametrize(
    "segment",
    [
        Segment(30.3, 40.1, 70.2, 25.7),
        Segment(20.0, 30.0, 75.0, 30.0),
        Segment(45.5, 20.5, 45.5, 60.25),
        Segment(40.2, 35.9, 43.1, 36.8),
    ],
)
def test_a_trail_matches_a_numerical_integration(segment: Segment, fwhm_px: float) -> None:
    trail = render_trail(SHAPE, segment, 1.0, Psf(fwhm_px))
    truth = integrated_trail(segment, fwhm_px, SHAPE)
    assert trail.sum() == pytest.approx(1.0, rel=1e-3)
    # The narrowest PSF is undersampled: its core is good to a percent, its moments far better.
    assert np.abs(trail - truth).max() < 0.02 * truth.max()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for axis in (x, y):
        first, first_truth = (float((image * axis).sum()) for image in (trail, truth))
        assert first == pytest.approx(first_truth, abs=0.01)


@pytest.mark.parametrize("fwhm_px", [1.6, 2.5, 4.5])
def test_ends_are_where_a_numerical_integration_has_them(fwhm_px: float) -> None:
    segment = Segment(24.3, 40.1, 68.7, 40.1)
    trail = render_trail(SHAPE, segment, 1.0, Psf(fwhm_px)).sum(axis=0)
    truth = integrated_trail(segment, fwhm_px, SHAPE).sum(axis=0)
    # The half-light points along the track: total light up to x, inverted.
    for share in (0.02, 0.98):
        found, expected = (
            np.interp(share, np.cumsum(p) / p.sum(), np.arange(96)) for p in (trail, truth)
        )
        assert found == pytest.approx(expected, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(25, 65),
    y=st.floats(25, 45),
    length=st.floats(0.5, 24),
    theta=st.floats(0, 180),
    fwhm=st.floats(1.6, 4.5),
    beta=st.one_of(st.just(math.inf), st.floats(2.6, 6.0)),
)
def test_total_flux_is_kept_for_any_trail(
    x: float, y: float, length: float, theta: float, fwhm: float, beta: float
) -> None:
    segment = Segment.from_midpoint(x, y, length, theta)
    assert render_trail(SHAPE, segment, 1000.0, Psf(fwhm, beta)).sum() == pytest.approx(
        1000.0, rel=1e-3
    )


def test_a_turned_trail_is_the_turned_image() -> None:
    segment = Segment(20.0, 30.0, 44.0, 41.0)
    image = render_trail((80, 80), segment, 5.0, Psf(2.5, 3.5))
    turned = render_trail((80, 80), Segment(30.0, 20.0, 41.0, 44.0), 5.0, Psf(2.5, 3.5))
    np.testing.assert_allclose(turned, image.T, atol=1e-6)


def test_a_profile_moves_light_along_the_trail_and_keeps_the_total() -> None:
    segment = Segment(20.0, 30.0, 70.0, 30.0)
    image = render_trail(SHAPE, segment, 7.0, Psf(2.5), profile=[0.0, 1.0])
    assert image.sum() == pytest.approx(7.0, rel=1e-3)
    # Brightness that grows linearly from 0 has its centre at two thirds.
    centre = float((image.sum(axis=0) * np.arange(96)).sum() / image.sum())
    assert centre == pytest.approx(20.0 + 50.0 * 2 / 3, abs=0.05)


@pytest.mark.parametrize("beta", [math.inf, 2.6, 3.5, 4.765])
def test_a_point_has_the_width_it_was_given(beta: float) -> None:
    image = np.zeros((81, 90), np.float32)
    add_points(image, 45.0, 40.0, 1.0, Psf(6.0, beta))
    row = image[40]
    half = 0.5 * row.max()
    right = 45 + np.interp(-half, -row[45:60], np.arange(15.0))
    # A pixel adds 2.355 / sqrt(12) px in quadrature.
    assert 2 * (right - 45) == pytest.approx(math.hypot(6.0, 0.68), abs=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fwhm_px": 0.0}, "FWHM is 0.0"),
        ({"fwhm_px": math.nan}, "FWHM is nan"),
        ({"fwhm_px": 2.0, "beta": 1.5}, "beta is 1.5"),
        ({"fwhm_px": 2.0, "axis_ratio": -1.0}, "axis ratio is -1.0"),
    ],
)
def test_an_impossible_psf_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Psf(**values)


def test_a_trail_without_light_is_refused() -> None:
    with pytest.raises(ConfigError, match="no light"):
        render_trail(SHAPE, Segment(10, 10, 20, 20), 1.0, Psf(2.0), profile=[0.0, 0.0])


def conditions(**changes: object) -> Conditions:
    psf, other = Psf(2.5, 4.0), Psf(2.2, 4.0)
    values: dict[str, object] = {
        "science_psf": psf,
        "reference_psf": other,
        "science_model": psf,
        "reference_model": other,
    }
    return Conditions(**{**values, **changes})  # type: ignore[arg-type]


def test_a_perfect_subtraction_removes_a_star() -> None:
    science = np.zeros((64, 72), np.float32)
    reference = np.zeros_like(science)
    add_points(science, 35.2, 30.7, 1e5, Psf(2.5, 4.0))
    add_points(reference, 35.2, 30.7, 1e5, Psf(2.2, 4.0))
    assert np.abs(subtract(science, reference, conditions())).max() < 1e-2 * science.max()


def test_light_in_the_science_image_alone_keeps_its_flux() -> None:
    image = render_trail((96, 100), Segment(40, 40, 60, 50), 1000.0, Psf(2.5, 4.0))
    assert pass_object(image, conditions()).sum() == pytest.approx(1000.0, rel=1e-3)


def test_a_shifted_star_leaves_both_signs() -> None:
    science = np.zeros((64, 72), np.float32)
    reference = np.zeros_like(science)
    add_points(science, 35.6, 30.7, 1e5, Psf(2.5, 4.0))
    add_points(reference, 35.2, 30.7, 1e5, Psf(2.2, 4.0))
    residual = subtract(science, reference, conditions())
    assert residual.max() > 0.05 * science.max()
    assert residual.min() < -0.05 * science.max()


@pytest.mark.parametrize("correlation", [-0.02, 0.0, 0.06, 0.3])
def test_noise_has_the_correlation_asked_for_at_lag_one(correlation: float) -> None:
    white = np.random.default_rng(4).standard_normal((400, 410), dtype=np.float32)
    noise = correlate_noise(white, correlation)[2:-2, 2:-2]
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    for a, b in ((noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1])):
        # 160,000 pixels know a correlation to 0.0025.
        assert float((a * b).mean()) == pytest.approx(correlation, abs=0.01)
