"""The small pieces of the detector, one by one, against formulas that share nothing with them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import erf

from streaks.detection.ends import _aside, _power
from streaks.detection.evidence import final_evidence, line_flags
from streaks.detection.hough import _width
from streaks.detection.image import SearchImage
from streaks.detection.photometry import level_beside, power_of_points
from streaks.detection.point_sources import bright_points, hide_points, sharp_pixels
from streaks.detection.profiles import peak_and_shoulder, sample, track_profile
from streaks.detection.quality import beside_masks
from streaks.detection.records import Evidence
from streaks.detection.refinement import line_snr
from streaks.detection.search import Filtered
from streaks.detection.spikes import MaskedStars
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.tables import StreakFlag
from streaks.trail import TrailFit
from tests.rendering import Ends, add_star, render_trail

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SIGMA_PX = 1.25
SHAPE = (91, 130)
Floats = NDArray[np.float64]


def plane(a: float, b: float, c: float) -> NDArray[np.float32]:
    """``a + b x + c y``: between pixels it is what bilinear samples are."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (a + b * x + c * y).astype(np.float32)


def seen() -> NDArray[np.float32]:
    return np.ones(SHAPE, np.float32)


def fit_of(segment: Segment, *, sigma_px: float = SIGMA_PX, flux: float = 100.0) -> TrailFit:
    return TrailFit(
        segment=segment, flux=flux, flux_err=5.0, sigma_px=sigma_px, sigma_err=0.02, along_err=0.5,
        across_err=0.1, length_err=1.0, theta_err_deg=0.5, snr=20.0, chi2=1.0, n_pixels=300,
        converged=True,
    )  # fmt: skip


def image_of(
    snr: NDArray[np.float32], cover: NDArray[np.float32] | None = None, sigma_px: float = SIGMA_PX
) -> SearchImage:
    usable = np.ones(snr.shape, bool)
    none = np.zeros(0)
    cover = np.ones(snr.shape, np.float32) if cover is None else cover
    return SearchImage(
        z=snr, usable=usable, seen=usable, filtered=Filtered(snr, cover, 1.0, sigma_px),
        sigma_px=sigma_px, stars=MaskedStars(none, none, none), points=np.zeros((0, 3)),
    )  # fmt: skip


# Samples


@pytest.mark.parametrize(
    "ends", [(3.2, 4.7, 90.4, 61.1), (80.0, 70.5, 20.25, 10.0), (50.0, 5.0, 50.0, 80.0)]
)
def test_samples_of_a_plane_are_its_values_at_even_steps(ends: Ends) -> None:
    x0, y0, x1, y1 = ends
    found = sample(plane(2.0, 0.3, -0.7), seen(), *ends, 7)
    x, y = np.linspace(x0, x1, 7), np.linspace(y0, y1, 7)
    np.testing.assert_allclose(found, 2.0 + 0.3 * x - 0.7 * y, atol=1e-3)


def test_samples_outside_the_image_are_unknown_and_at_its_rim_those_of_the_outermost_pixels() -> (
    None
):
    ny, nx = SHAPE
    z = plane(0.0, 1.0, 0.0)
    # Half a pixel outside the outermost centres is still the image, a pixel is not.
    for x, value in ((-1.1, math.nan), (-0.4, 0.0), (0.25, 0.25), (nx - 0.6, nx - 1.0),
                     (nx + 0.1, math.nan)):  # fmt: skip
        np.testing.assert_allclose(sample(z, seen(), x, 40.0, x, 40.0, 2), value)
    z = plane(0.0, 0.0, 1.0)
    for y, value in ((-1.1, math.nan), (-0.4, 0.0), (0.25, 0.25), (ny - 0.6, ny - 1.0),
                     (ny + 0.1, math.nan)):  # fmt: skip
        np.testing.assert_allclose(sample(z, seen(), 40.0, y, 40.0, y, 2), value)


@pytest.mark.parametrize(("dx", "dy"), [(0.3, 0.3), (-0.3, 0.3), (0.3, -0.3), (-0.3, -0.3)])
def test_a_sample_is_unknown_where_the_pixel_that_it_falls_on_is_mostly_hidden(
    dx: float, dy: float
) -> None:
    cover = seen()
    cover[40, 60] = 0.5
    z = plane(1.0, 0.0, 0.0)
    on = sample(z, cover, 60.0 + dx, 40.0 + dy, 60.0 + dx, 40.0 + dy, 2)
    assert np.isnan(on).all()
    x, y = 60.0 + 2.0 * dx, 40.0 + dy  # 0.6 px away: the neighbour's
    assert sample(z, cover, x, y, x, y, 2).tolist() == [1.0, 1.0]
    x, y = 60.0 + dx, 40.0 + 2.0 * dy
    assert sample(z, cover, x, y, x, y, 2).tolist() == [1.0, 1.0]
    cover[40, 60] = 0.51
    assert not np.isnan(sample(z, cover, 60.0 + dx, 40.0 + dy, 60.0, 40.0, 2)).any()


def test_the_shoulder_is_taken_on_both_sides_of_the_peak() -> None:
    x = np.broadcast_to(np.arange(SHAPE[1]), SHAPE)
    # A Gaussian ridge of 3 px along x, its peak at (62, 40).
    z = (30.0 * np.exp(-0.5 * ((x - 62.0) / 3.0) ** 2)).astype(np.float32)
    peak, shoulder = peak_and_shoulder(z, seen(), Segment(55.0, 40.0, 70.0, 40.0), 3.0)
    assert peak == pytest.approx(30.0, rel=0.01)
    assert shoulder == pytest.approx(30.0 * math.exp(-0.5), rel=0.02)
    slope = plane(0.0, 1.0, 0.0)
    slope[:, 70] = 100.0
    # One side 66, the other 74: their mean, though they differ.
    peak, shoulder = peak_and_shoulder(slope, seen(), Segment(60.0, 40.0, 80.0, 40.0), 4.0)
    assert (peak, shoulder) == (100.0, pytest.approx(70.0))


# Profiles


def test_the_sky_is_sampled_on_both_sides_at_the_same_distance_across() -> None:
    # Of a plane the track has the middle and both sides differ from it by as much; 3.2 widths.
    segment = Segment(30.0, 40.0, 60.0, 40.0)
    found = track_profile(Filtered(plane(0.0, 0.0, 1.0), seen(), 1.0, 1.0), segment, 2.5)
    assert found.along.shape == (31,)
    np.testing.assert_allclose(found.along, 40.0, atol=1e-4)
    np.testing.assert_allclose(np.sort(found.beside[:, 5]), [32.0, 48.0], atol=1e-3)
    upright = Segment(40.0, 30.0, 40.0, 50.0)
    found = track_profile(Filtered(plane(0.0, 1.0, 0.0), seen(), 1.0, 1.0), upright, 2.5)
    assert found.along.shape == (21,)
    np.testing.assert_allclose(np.sort(found.beside[:, 5]), [32.0, 48.0], atol=1e-3)


def test_a_track_has_a_sample_a_pixel_and_three_at_least() -> None:
    filtered = Filtered(plane(1.0, 0.0, 0.0), seen(), 1.0, 1.0)
    for length, n in ((0.0, 3), (1.2, 3), (2.4, 3), (2.6, 4), (9.4, 10), (9.6, 11)):
        found = track_profile(filtered, Segment(30.0, 40.0, 30.0 + length, 40.0), 1.0)
        assert found.along.shape == (n,)


def test_a_mask_within_five_widths_lies_beside_a_track() -> None:
    segment = Segment(30.0, 40.0, 69.0, 40.0)
    for away, hidden in ((4.0, True), (7.0, False)):
        cover = seen()
        cover[40 + round(away * SIGMA_PX) :, 30:40] = 0.0
        found = track_profile(Filtered(plane(1, 0, 0), cover, 1.0, 1.0), segment, SIGMA_PX)
        assert found.hidden_beside.any(axis=0)[:9].all() == hidden
        assert not found.hidden_beside[:, 12:].any()
        assert found.hidden_share == pytest.approx(0.25 if hidden else 0.0, abs=0.03)
        # On one side only.
        assert not found.hidden_beside.all(axis=0).any()


def test_an_even_track_in_noise_has_its_mean_everywhere() -> None:
    # Sorting noise takes the brightest quarter out of what is left; that is put back.
    rng = np.random.default_rng(5)
    shares = []
    for level in (5.0, 20.0):
        z = rng.normal(level, 1.0, (401, 402)).astype(np.float32)
        filtered = Filtered(z, np.ones(z.shape, np.float32), 1.0, 1.0)
        lines = (Segment(20.0, float(y), 380.0, float(y)) for y in range(20, 380, 12))
        shares.append(np.mean([track_profile(filtered, line, 1.0).even_share for line in lines]))
    assert shares == pytest.approx([1.0, 1.0], abs=0.01)


def test_the_brightest_quarter_does_not_count_for_an_even_track() -> None:
    z = plane(0.0, 0.0, 0.0)
    z[:, 30:131] = 100.0
    z[:, 50:69] = 1000.0  # 19 of 101 samples
    found = track_profile(Filtered(z, seen(), 1.0, 1.0), Segment(30.0, 40.0, 129.0, 40.0), 1.0)
    mean = (19 * 1000.0 + 81 * 100.0) / 100.0
    assert found.even_share == pytest.approx(100.0 / mean, rel=0.05)


# Line integrals


def noise_of_a_line(length: float, s: float) -> float:
    """Root of the double integral of ``exp(-d**2 / (4 s**2))``, by sums."""
    u = (np.arange(2000) + 0.5) / 2000 * length
    return float(np.sqrt(np.exp(-((u[:, None] - u[None, :]) ** 2) / (4 * s * s)).mean())) * length


@pytest.mark.parametrize("length", [3.0, 12.0, 47.0, 60.0, 100.0])
@pytest.mark.parametrize("cover", [1.0, 0.5])
def test_the_snr_of_a_line_is_its_integral_over_its_noise(length: float, cover: float) -> None:
    theta, s = math.radians(35.0), 1.4
    x0, y0 = 14.3, 12.6
    ends = (x0, y0, x0 + length * math.cos(theta), y0 + length * math.sin(theta))
    z = plane(3.0, 0.02, -0.01)
    middle = 3.0 + 0.01 * (ends[0] + ends[2]) - 0.005 * (ends[1] + ends[3])
    # What is hidden adds neither signal nor noise: both are of the share that is seen.
    expected = middle * length / noise_of_a_line(length, s) / math.sqrt(cover)
    found = line_snr(z, seen() * np.float32(cover), ends, noise_sigma_px=s)
    assert found == pytest.approx(expected, rel=0.01)


def test_a_line_of_no_length_is_its_pixel() -> None:
    z = plane(0.0, 1.0, 0.5)
    assert line_snr(z, seen(), (60.5, 40.0, 60.5, 40.0), noise_sigma_px=1.4) == pytest.approx(80.5)


@pytest.mark.parametrize(
    "ends",
    [(100.0, 60.0, 150.0, 70.0), (-20.0, 30.0, 30.0, 44.0), (60.0, 60.0, 70.0, 120.0),
     (60.0, -25.0, 52.0, 33.0)],
)  # fmt: skip
def test_a_line_stops_at_the_edge_as_if_the_sky_went_on_dark(ends: Ends) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    z = (4.0 + np.sin(x / 5.0) + np.cos(y / 4.0)).astype(np.float32)
    length, s = math.hypot(ends[2] - ends[0], ends[3] - ends[1]), 1.4
    t = (np.arange(4000) + 0.5) / 4000
    places = [ends[1] + t * (ends[3] - ends[1]), ends[0] + t * (ends[2] - ends[0])]
    mean = map_coordinates(z.astype(float), places, order=1, mode="constant", cval=0.0).mean()
    expected = mean * length / noise_of_a_line(length, s)
    assert line_snr(z, seen(), ends, noise_sigma_px=s) == pytest.approx(expected, rel=0.05)
    clipped = line_snr(z, seen(), ends, noise_sigma_px=s, clip=2.0)
    inside = mean / map_coordinates(np.ones(SHAPE), places, order=1).mean()
    assert clipped == pytest.approx(expected * 2.0 / inside, rel=0.05)


@pytest.mark.parametrize("outside", [False, True])
def test_between_two_rows_or_columns_a_line_has_its_share_of_both(outside: bool) -> None:
    # Half of a line of 40 px lies outside, or none.
    s, length = 1.4, 40.0
    share, first = (0.5, -20.25) if outside else (1.0, 30.25)
    z = plane(0.0, 0.0, 0.0)
    z[41], z[:, 71] = 10.0, 10.0
    for away, value in ((0.25, 2.5), (0.75, 7.5), (1.25, 7.5), (1.75, 2.5), (2.25, 0.0)):
        expected = value * share * length / noise_of_a_line(length, s)
        rows = np.where(np.arange(SHAPE[1]) == 71, np.float32(0), z)
        along = (first, 40.0 + away, first + length, 40.0 + away)
        assert line_snr(rows, seen(), along, noise_sigma_px=s) == pytest.approx(expected, rel=0.05)
        columns = np.where(np.arange(SHAPE[0])[:, None] == 41, np.float32(0), z)
        down = (70.0 + away, first, 70.0 + away, first + length)
        assert line_snr(columns, seen(), down, noise_sigma_px=s) == pytest.approx(
            expected, rel=0.05
        )


# Points


@pytest.mark.parametrize(("x", "y"), [(20, 30), (110, 15), (64, 78)])
def test_a_star_is_a_bright_point_where_it_is_and_as_bright(x: int, y: int) -> None:
    column = np.arange(SHAPE[1])
    row = np.arange(SHAPE[0])[:, None]
    # Filtered with its own width a star is wider by the square root of two.
    z = (25.0 * np.exp(-((column - x) ** 2 + (row - y) ** 2) / (4.0 * SIGMA_PX**2))).astype(
        np.float32
    )
    (found,) = bright_points(z, SIGMA_PX, 3.0)
    assert found.tolist() == [x, y, 25.0]
    assert len(bright_points(z * np.float32(0.3), SIGMA_PX, 3.0)) == 0  # S/N 7.5
    # As long again in one direction only, whichever it is.
    for u, v in ((1.0, 0.0), (0.0, 1.0), (0.7071, 0.7071), (0.7071, -0.7071)):
        along = (column - x) * u + (row - y) * v
        across = (column - x) * v - (row - y) * u
        drawn = 60.0 * np.exp(-(along**2 / 9.0 + across**2) / (4.0 * SIGMA_PX**2))
        assert len(bright_points(drawn.astype(np.float32), SIGMA_PX, 3.0)) == 0


@pytest.mark.parametrize("theta_deg", [0.0, 45.0, 90.0, 135.0])
@pytest.mark.parametrize("peak", [20.0, 60.0])
def test_the_shortest_trail_looked_for_is_no_point_though_noise_makes_it_shorter(
    theta_deg: float, peak: float
) -> None:
    theta, length, width = math.radians(theta_deg), 5.0, 2.0 * SIGMA_PX
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    along = (column - 64) * math.cos(theta) + (row - 44) * math.sin(theta)
    across = (row - 44) * math.cos(theta) - (column - 64) * math.sin(theta)
    half = 0.5 * length
    trail = (erf((along + half) / width) - erf((along - half) / width)) * np.exp(
        -((across / width) ** 2)
    )
    trail *= peak / trail.max()
    # Its light at 2.4 widths is less by two sigma of the mean of two samples than a trail's.
    noisy = trail - 1.5 * np.exp(-(((np.abs(along) - 2.4 * SIGMA_PX) / 1.5) ** 2))
    for z in (trail, noisy):
        assert len(bright_points(z.astype(np.float32), SIGMA_PX, length)) == 0


def test_many_points_are_all_found() -> None:
    z = np.zeros((400, 410), np.float32)
    for y in range(12, 388, 14):
        for x in range(12, 398, 14):
            z[y - 4 : y + 5, x - 4 : x + 5] += 30.0 * np.exp(
                -(np.hypot(*np.mgrid[-4:5, -4:5]) ** 2) / (4.0 * SIGMA_PX**2)
            ).astype(np.float32)
    found = bright_points(z, SIGMA_PX, 3.0)
    assert len(found) == len(range(12, 388, 14)) * len(range(12, 398, 14))
    np.testing.assert_allclose(z[found[:, 1].astype(int), found[:, 0].astype(int)], found[:, 2])


@pytest.mark.parametrize(("x", "y"), [(60, 40), (2, 40), (127, 40), (60, 1), (60, 89)])
def test_a_point_is_hidden_as_far_as_its_light_reaches(x: int, y: int) -> None:
    peak = 50.0
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    away = np.hypot(column - x, row - y)
    light = (peak * np.exp(-(away**2) / (4.0 * SIGMA_PX**2))).astype(np.float32)
    cover, usable = seen(), np.ones(SHAPE, bool)
    hide_points(light, cover, usable, np.array([[x, y, peak]]), SIGMA_PX)
    # Down to half the noise, and 0.2 px more for the wings of such a star.
    reach = 2.0 * SIGMA_PX * math.sqrt(math.log(peak / 0.5)) + 0.004 * peak
    assert (usable == (away > reach)).all()
    assert (cover == (away > reach)).all()
    assert (light[~usable] == 0).all()
    assert 0.0 < light.max() < 0.5


def test_a_hot_pixel_and_the_lit_ones_round_it_are_sharp() -> None:
    z, usable = np.zeros(SHAPE, np.float32), np.ones(SHAPE, bool)
    z[40, 60], z[41, 61], z[39, 59], z[40, 62] = 50.0, 5.0, 2.0, 9.0
    found = {tuple(place) for place in sharp_pixels(z, usable, SIGMA_PX).tolist()}
    # Two pixels away is not beside it, and 2 sigma is not lit.
    assert found == {(40, 60), (41, 61)}


@pytest.mark.parametrize("step", [(0, 1), (1, 0), (1, 1), (1, -1)])
def test_what_is_sharp_across_one_direction_is_sharp(step: tuple[int, int]) -> None:
    z, usable = np.zeros(SHAPE, np.float32), np.ones(SHAPE, bool)
    for i in range(-6, 7):
        z[40 + i * step[0], 60 + i * step[1]] = 40.0
    found = {tuple(place) for place in sharp_pixels(z, usable, SIGMA_PX).tolist()}
    assert {(40 + i * step[0], 60 + i * step[1]) for i in range(-6, 7)} == found
    star = render_trail(SHAPE, (60.0, 40.0, 60.0, 40.0), 600.0, SIGMA_PX).astype(np.float32)
    assert len(sharp_pixels(star, usable, SIGMA_PX)) == 0


# Light


@pytest.mark.parametrize("theta_deg", [0.0, 30.0, 75.0, 90.0, 140.0])
def test_the_width_of_a_line_is_the_scatter_of_its_light_across(theta_deg: float) -> None:
    rng = np.random.default_rng(2)
    theta, length = math.radians(theta_deg), 60.0
    ux, uy = math.cos(theta), math.sin(theta)
    u, v = rng.uniform(-30, 30, 40_000), rng.uniform(-9, 9, 40_000)
    x, y = 400.0 + u * ux - v * uy, 700.0 + u * uy + v * ux
    segment = Segment(
        400.0 - 0.5 * length * ux, 700.0 - 0.5 * length * uy,
        400.0 + 0.5 * length * ux, 700.0 + 0.5 * length * uy,
    )  # fmt: skip
    light = np.exp(-0.5 * (v / 1.7) ** 2)
    assert _width(segment, x, y, light, 1.0) == pytest.approx(1.7, rel=0.02)
    assert _width(segment, x, y, -light, 1.0) == 1.0


@pytest.mark.parametrize(("theta_deg", "n"), [(0.0, 2), (40.0, 2), (110.0, 3)])
def test_points_in_a_row_explain_all_of_their_own_light(theta_deg: float, n: int) -> None:
    theta, apart, peak = math.radians(theta_deg), 12.0, 10.0
    image = np.zeros(SHAPE)
    places = (np.arange(n) - 0.5 * (n - 1)) * apart
    for u in places:
        flux = peak * 2.0 * math.pi * SIGMA_PX**2
        add_star(image, 64.0 + u * math.cos(theta), 44.0 + u * math.sin(theta), flux, SIGMA_PX)
    half = places[-1]
    segment = Segment(
        64.0 - half * math.cos(theta), 44.0 - half * math.sin(theta),
        64.0 + half * math.cos(theta), 44.0 + half * math.sin(theta),
    )  # fmt: skip
    trail, points = power_of_points(
        image.astype(np.float32), np.ones(SHAPE, bool), fit_of(segment), most=3
    )
    # The squares of a Gaussian of peak 10 sum to pi sigma**2 times 100.
    assert points == pytest.approx(n * math.pi * SIGMA_PX**2 * peak**2, rel=0.02)
    assert trail < 0.75 * points


@pytest.mark.parametrize("theta_deg", [0.0, 40.0, 110.0])
def test_a_trail_explains_all_of_its_own_light(theta_deg: float) -> None:
    theta = math.radians(theta_deg)
    ends = (
        64.0 - 15.0 * math.cos(theta), 44.0 - 15.0 * math.sin(theta),
        64.0 + 15.0 * math.cos(theta), 44.0 + 15.0 * math.sin(theta),
    )  # fmt: skip
    image = render_trail(SHAPE, ends, 2000.0, SIGMA_PX)
    trail, points = power_of_points(
        image.astype(np.float32), np.ones(SHAPE, bool), fit_of(Segment(*ends))
    )
    assert trail == pytest.approx(float((image**2).sum()), rel=0.02)
    assert points < 0.9 * trail


def test_the_level_beside_a_trail_leaves_its_own_light_out() -> None:
    # Sky of 0.3 but for a band of 5 widths and a pixel on either side of the trail: 7.25 px.
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    segment = Segment(40.0, 45.0, 90.0, 45.0)
    nearest = np.hypot(row - 45.0, column - np.clip(column, 40.0, 90.0))
    z = np.where(nearest <= 7.2, 50.0, 0.3).astype(np.float32)
    usable = np.ones(SHAPE, bool)
    assert level_beside(z, usable, fit_of(segment)) == pytest.approx(0.3)
    own = np.where(nearest <= 7.2, 0.0, 1.0)
    own[nearest > 8.3] = 0.0
    usable = own.astype(bool)
    assert usable.sum() < 200
    assert level_beside(z, usable, fit_of(segment)) == 0.0  # too few to tell


# Evidence


@pytest.mark.parametrize(("hidden", "clear", "factor"), [
    (0.1, math.nan, 1.0), (0.1, math.inf, 1.0), (0.1, -math.inf, 0.02), (0.6, math.nan, 0.02),
    (0.6, 0.9, 0.02), (0.1, 0.2, 0.0), (0.1, 0.7, 1.0), (0.1, 0.425, 0.5),
])  # fmt: skip
def test_masks_speak_against_a_line_by_what_is_beside_them_and_away(
    hidden: float, clear: float, factor: float
) -> None:
    assert beside_masks(hidden, clear) == pytest.approx(factor)


def frame() -> Frame:
    return Frame(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool))


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_an_end_is_at_the_edge_within_two_widths_and_a_pixel(side: str) -> None:
    ny, nx = SHAPE
    reach = 2.0 * SIGMA_PX + 1.0
    for away, at_edge in ((reach - 0.1, True), (reach + 0.1, False)):
        # The edge of an image is half a pixel outside its outermost centres.
        segment = {
            "left": Segment(away - 0.5, 40.0, 60.0, 45.0),
            "right": Segment(60.0, 40.0, nx - 0.5 - away, 45.0),
            "bottom": Segment(60.0, away - 0.5, 70.0, 45.0),
            "top": Segment(60.0, 40.0, 70.0, ny - 0.5 - away),
        }[side]
        flags = line_flags(image_of(plane(0, 0, 0)), frame(), fit_of(segment))
        flag = StreakFlag.EDGE_0 if side in ("left", "bottom") else StreakFlag.EDGE_1
        assert flags == (flag if at_edge else StreakFlag(0))


def test_an_end_that_runs_into_a_mask_is_masked() -> None:
    image = image_of(plane(0, 0, 0))
    dark = np.ones(SHAPE, bool)
    dark[:, 91:] = False
    hidden = replace(image, seen=dark)
    line = fit_of(Segment(60.0, 40.0, 90.0, 45.0))
    assert line_flags(hidden, frame(), line) == StreakFlag.MASKED_1
    turned = fit_of(Segment(90.0, 45.0, 60.0, 40.0))
    assert line_flags(hidden, frame(), turned) == StreakFlag.MASKED_0
    far = fit_of(Segment(50.0, 40.0, 80.0, 45.0))
    assert line_flags(hidden, frame(), far) == StreakFlag(0)


def test_a_line_wider_than_the_psf_and_than_its_error_is_wide() -> None:
    line = fit_of(Segment(60.0, 40.0, 90.0, 45.0))
    image = image_of(plane(0, 0, 0))
    for ratio, error, wide in ((1.5, 0.1, True), (1.3, 0.01, False), (1.5, 0.3, False)):
        fit = replace(line, sigma_px=ratio * SIGMA_PX, sigma_err=error)
        assert bool(line_flags(image, frame(), fit) & StreakFlag.WIDE) == wide


def test_the_contrast_of_an_end_is_the_fall_from_inside_to_beyond_it() -> None:
    # The image rises along x: three widths, 3.75 px, are taken to the nearest pixel.
    sigma_px = 4.0 / 3.0
    line = fit_of(Segment(40.0, 40.0, 80.0, 40.0), sigma_px=sigma_px)
    image = image_of(plane(0.0, 1.0, 0.0), sigma_px=sigma_px)
    found = final_evidence(Evidence(), line, image)
    assert found.end_contrast_0 == pytest.approx((44.0 - 36.0) / 60.0)
    assert found.end_contrast_1 == pytest.approx((76.0 - 84.0) / 60.0)
    short = fit_of(Segment(58.0, 40.0, 62.0, 40.0), sigma_px=sigma_px)
    found = final_evidence(Evidence(), short, image)
    # Inside a short line no farther than its middle.
    assert found.end_contrast_0 == pytest.approx((60.0 - 54.0) / 60.0)
    assert found.end_contrast_1 == pytest.approx((60.0 - 66.0) / 60.0)


@pytest.mark.parametrize(
    ("theta_deg", "axis_deg"), [(0, 0), (20, 20), (70, 20), (90, 0), (120, 30), (170, 10)]
)
def test_the_angle_to_the_nearest_axis_is_told(theta_deg: float, axis_deg: float) -> None:
    theta = math.radians(theta_deg)
    line = Segment(60.0, 40.0, 60.0 + 20 * math.cos(theta), 40.0 + 20 * math.sin(theta))
    found = final_evidence(Evidence(), fit_of(line), image_of(plane(1, 0, 0)))
    assert found.axis_deg == pytest.approx(axis_deg, abs=1e-6)


def test_one_side_brighter_than_the_other_is_told_in_its_noise() -> None:
    # A sky that rises by 1 a pixel across: the sides differ by 2 x 3.2 widths; the noise of the
    # mean of 31 samples, four of which are one, on two sides.
    line = fit_of(Segment(40.0, 40.0, 70.0, 40.0))
    found = final_evidence(Evidence(), line, image_of(plane(0.0, 0.0, 1.0)))
    expected = 2 * 3.2 * SIGMA_PX / math.sqrt(2.0 * 4.0 / 31.0)
    assert abs(found.asymmetry_sigmas) == pytest.approx(expected, rel=0.01)
    up = final_evidence(Evidence(), line, image_of(plane(90.0, 0.0, -1.0))).asymmetry_sigmas
    assert up == pytest.approx(-found.asymmetry_sigmas)


@pytest.mark.parametrize("theta_deg", [-35.0, 15.0, 40.0])
@pytest.mark.parametrize("step_px", [-2.0, 1.5])
@pytest.mark.parametrize("end", [0, 1])
def test_an_end_moves_across_its_trail_and_stays_on_the_edge(
    theta_deg: float, step_px: float, end: int
) -> None:
    nx = SHAPE[1]
    slope = math.tan(math.radians(theta_deg))
    whole = Segment(-0.5, 45.0 - slope * 32.0, 63.5, 45.0 + slope * 32.0)
    if end == 1:
        whole = Segment(nx - 64.5, whole.y0, nx - 0.5, whole.y1)
    moved = _aside(whole, end, step_px, SHAPE)
    ends = [(moved.x0, moved.y0), (moved.x1, moved.y1)]
    (x, y), (x_kept, y_kept) = ends[end], ends[1 - end]
    kept = [(whole.x0, whole.y0), (whole.x1, whole.y1)][1 - end]
    assert (x_kept, y_kept) == pytest.approx(kept, abs=1e-6)
    assert x == pytest.approx(-0.5 if end == 0 else nx - 0.5, abs=1e-6)
    theta = math.radians(theta_deg)
    across = (y - whole.y0) * math.cos(theta) - (x - whole.x0) * math.sin(theta)
    # Drawn on to the edge it moves a little farther, a few per cent of the step.
    assert abs(across) == pytest.approx(abs(step_px), rel=0.1)
    other = _aside(whole, end, -step_px, SHAPE)
    y_other = other.y0 if end == 0 else other.y1
    y_old = whole.y0 if end == 0 else whole.y1
    assert (y - y_old) * (y_other - y_old) < 0


def test_what_a_trail_explains_is_the_square_of_its_snr_and_nothing_of_a_dark_one() -> None:
    ends = (20.0, 30.0, 60.0, 50.0)
    for level in (0.5, 3.0):
        bright = Filtered(plane(level, 0, 0), seen(), 1.0, 1.4)
        snr = level * math.hypot(40.0, 20.0) / noise_of_a_line(math.hypot(40.0, 20.0), 1.4)
        assert _power(Segment(*ends), bright, math.inf) == pytest.approx(snr**2, rel=0.02)
    assert _power(Segment(*ends), Filtered(plane(-1, 0, 0), seen(), 1.0, 1.4), math.inf) == 0.0
