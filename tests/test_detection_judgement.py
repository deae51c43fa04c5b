"""What speaks for and against a line: single factors, on numbers whose meaning is plain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection.evidence import blended
from streaks.detection.pieces import group_pieces, unexplained
from streaks.detection.profiles import (
    Profile,
    clear_share,
    dashed,
    fades,
    fades_from,
    steady_share,
    track_profile,
)
from streaks.detection.quality import (
    PointLength,
    along_a_mask,
    beside_masks,
    evidence_of_fit,
    factors_of_fit,
    factors_of_profile,
    not_a_row_of_points,
    point_length,
    seeming_length,
    smooth_step,
    sureness,
)
from streaks.detection.records import Factors, SetAside
from streaks.detection.search import Filtered
from streaks.detection.spikes import MaskedStars, masked_core, star_behind
from streaks.geometry import Segment
from streaks.trail import TrailFit, fit_trail

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SIGMA_PX = 1.1
SHAPE = (120, 201)


def fit_of(
    length_px: float = 30.0,
    *,
    snr: float = 20.0,
    sigma_px: float = SIGMA_PX,
    length_err: float = 1.0,
    chi2: float = 1.0,
    n_pixels: int = 300,
) -> TrailFit:
    return TrailFit(
        segment=Segment(50.0, 40.0, 50.0 + length_px, 40.0), flux=100.0, flux_err=5.0,
        sigma_px=sigma_px, sigma_err=0.02, along_err=0.5, across_err=0.1, length_err=length_err,
        theta_err_deg=0.5, snr=snr, chi2=chi2, n_pixels=n_pixels, converged=True,
    )  # fmt: skip


def factors(fit: TrailFit, point_px: float = 1.3) -> Factors:
    return factors_of_fit(
        fit, evidence_of_fit(fit, sigma_px=SIGMA_PX, points=PointLength(point_px))
    )


def lit_track(
    light: NDArray[np.float64],
    sides: tuple[float, float] = (0.0, 0.0),
    hidden: NDArray[np.bool_] | None = None,
    side_hidden: NDArray[np.bool_] | None = None,
) -> Profile:
    """Profile along row 40 of an image with this light on it, from x = 50 on."""
    snr, cover = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    n = len(light)
    snr[38:43, 50 : 50 + n] = light
    snr[43:47, 50 : 50 + n], snr[34:38, 50 : 50 + n] = sides
    if hidden is not None:
        cover[36:45, 50 : 50 + n][:, hidden] = 0.0
    if side_hidden is not None:
        cover[42:, 50 : 50 + n][:, side_hidden] = 0.0
    image = Filtered(snr, cover, 1.0, SIGMA_PX)
    return track_profile(image, Segment(50.0, 40.0, 50.0 + n - 1, 40.0), SIGMA_PX)


# The fit


def test_nothing_in_a_good_fit_speaks_against_it() -> None:
    assert factors(fit_of()).product == 1.0


def test_a_length_that_a_point_seems_to_have_is_a_point() -> None:
    short = fit_of(3.0, length_err=0.2, snr=60.0)
    assert factors(short, point_px=3.1).point == 0.0
    assert factors(short, point_px=1.5).point == 1.0
    # In more noise a point seems longer; where no bright ones tell, the PSF may be wider.
    assert factors(fit_of(3.0, length_err=0.2, snr=8.0), point_px=0.0).point == 0.0
    assert factors(fit_of(3.0, length_err=0.2, snr=60.0), point_px=math.nan).point == 1.0
    assert seeming_length(1e9, SIGMA_PX, PointLength()) == pytest.approx(1.2 * SIGMA_PX)


@pytest.mark.parametrize("fwhm_px", [1.38, 2.5, 5.0])
@pytest.mark.parametrize("snr", [10.0, 20.0, 50.0])
def test_one_point_in_ten_seems_longer_than_noise_lends_it(fwhm_px: float, snr: float) -> None:
    # Points drawn over pixels by 7 x 7 places each; the width as seen has the pixel's own in it.
    rng = np.random.default_rng(round(100 * fwhm_px + snr))
    half = 4 * math.ceil(fwhm_px)
    within = math.sqrt((fwhm_px / 2.3548) ** 2 - 1 / 12)
    fine = (np.arange(7 * (2 * half + 1)) - 3) / 7 - half
    lengths = []
    for _ in range(120):
        x, y = rng.uniform(-0.5, 0.5, 2)
        across, along = (np.exp(-0.5 * ((fine - at) / within) ** 2) for at in (x, y))
        point = np.outer(along, across).reshape(2 * half + 1, 7, 2 * half + 1, 7).mean(axis=(1, 3))
        z = rng.normal(size=point.shape) + snr * point / math.sqrt((point**2).sum())
        start = Segment(half + x - 0.7, half + y, half + x + 0.7, half + y)
        fit = fit_trail(
            z.astype(np.float32), np.ones(z.shape, bool), start, sigma_px=fwhm_px / 2.3548
        )
        lengths.append(fit.segment.length_px)
    limit = seeming_length(snr, fwhm_px / 2.3548, PointLength(0.0))
    assert np.mean(np.array(lengths) > limit) < 0.17
    assert np.mean(np.array(lengths) > 0.5 * limit) > 0.35


def test_a_length_that_is_not_measured_may_be_a_point() -> None:
    assert factors(fit_of(3.5, length_err=3.0)).point == 0.0
    assert factors(fit_of(3.5, length_err=1.0)).point > 0.95
    # However badly its ends are known: 60 px is no point.
    assert factors(fit_of(60.0, length_err=50.0)).point == 1.0


def test_half_the_width_of_the_psf_is_a_cosmic_ray() -> None:
    assert factors(fit_of(sigma_px=0.5 * SIGMA_PX)).sharp == 0.0
    # Seeing changes over a frame by a tenth.
    assert factors(fit_of(sigma_px=0.9 * SIGMA_PX)).sharp == 1.0
    assert factors(fit_of(sigma_px=0.5 * SIGMA_PX)).worst is SetAside.SHARP


def test_twice_the_width_of_the_psf_is_a_blob_unless_it_is_very_long() -> None:
    assert factors(fit_of(20.0, sigma_px=2.0 * SIGMA_PX)).wide == 0.0
    assert factors(fit_of(20.0, sigma_px=1.3 * SIGMA_PX)).wide == 1.0
    # A satellite out of focus.
    assert factors(fit_of(300.0, sigma_px=2.0 * SIGMA_PX)).wide == 1.0


def test_residuals_as_large_as_the_light_are_clutter() -> None:
    # S/N 20 over 300 px: the model's mean square is about 2.7.
    assert factors(fit_of(chi2=1.5)).ill_fitted == 1.0
    assert factors(fit_of(chi2=5.0)).ill_fitted == 0.0
    # The same residuals under much more light, as the wings of a PSF that is no Gaussian leave.
    assert factors(fit_of(chi2=5.0, snr=100.0)).ill_fitted == 1.0
    # A flashing satellite may leave residuals as large as its light, but not ten times it.
    assert factors(fit_of(400.0, chi2=5.0)).ill_fitted == 1.0
    assert factors(fit_of(400.0, chi2=40.0)).ill_fitted == 0.0


def test_what_speaks_most_is_named() -> None:
    assert Factors(uneven=0.3, mask=0.02).worst is SetAside.MASK
    assert Factors(dipole=0.1, point=0.5).worst is SetAside.DIPOLE
    assert Factors(uneven=0.95).worst is SetAside.FAINT


@pytest.mark.parametrize("name", ["point", "sharp", "wide", "ill_fitted", "uneven", "dipole",
                                  "mask", "points", "spike", "unfitted"])  # fmt: skip
def test_every_factor_counts_in_the_product(name: str) -> None:
    assert Factors(**{name: 0.25}).product == 0.25


def test_points_of_an_image_say_how_long_a_point_looks() -> None:
    # Bad tracking: every star is 4 px long.
    stars = [fit_of(4.0 + 0.1 * k, snr=30.0) for k in range(-5, 6)]
    assert 4.0 < seeming_length(30.0, SIGMA_PX, point_length(stars, SIGMA_PX)) < 6.0
    # Short trails among them do not count.
    trails = [fit_of(5.0, snr=40.0)] * 11
    assert point_length([fit_of(0.5, snr=40.0)] * 11 + trails, SIGMA_PX).length_px == 0.0
    # Too few, or too faint, to make a rule.
    assert math.isnan(point_length(stars[:7], SIGMA_PX).length_px)
    assert math.isnan(point_length([fit_of(4.0, snr=10.0)] * 20, SIGMA_PX).length_px)
    # Streaks are none of them.
    assert math.isnan(point_length([fit_of(40.0, snr=30.0)] * 20, SIGMA_PX).length_px)


def test_the_score_is_snr_times_quality_and_grows_slowly_beyond_50() -> None:
    assert sureness(20.0, 0.5) == 10.0
    assert sureness(50.0, 1.0) == pytest.approx(50.0)
    # e times as bright: as much again as 50.
    assert sureness(50.0 * math.e, 1.0) == pytest.approx(100.0)


def test_a_smooth_step_is_half_in_its_middle() -> None:
    assert [smooth_step(x, (1.0, 3.0)) for x in (0.0, 1.0, 2.0, 3.0, 9.0)] == [0, 0, 0.5, 1, 1]
    assert smooth_step(1.5, (1.0, 3.0)) == pytest.approx(3 / 16 - 2 / 64)


# The profile


def test_an_even_track_is_lit_and_a_chain_of_stars_is_not() -> None:
    even = lit_track(np.full(40, 5.0))
    assert even.even_share > 0.9
    assert factors_of_profile(fit_of(), even)[0] == 1.0
    stars = np.zeros(40)
    stars[[5, 6, 33, 34]] = 40.0
    chain = lit_track(stars)
    assert chain.even_share < 0.15
    assert factors_of_profile(fit_of(), chain)[0] == 0.0


def test_a_long_trail_that_flashes_is_lit_throughout() -> None:
    n = 128
    flashes = np.where(np.arange(n) % 16 < 3, 40.0, 0.0)
    assert lit_track(flashes).lit_share == 1.0
    two = np.zeros(n)
    two[:32] = 10.0
    assert lit_track(two).lit_share == 0.25
    assert math.isnan(lit_track(np.full(40, 5.0)).lit_share)


@pytest.mark.parametrize("dark_side", [0, 1])
def test_a_dark_lobe_on_either_side_is_a_dipole(dark_side: int) -> None:
    sides = (-20.0, 0.0) if dark_side == 0 else (0.0, -20.0)
    dipole = lit_track(np.full(30, 20.0), sides)
    assert dipole.lobe_depth > 0.6
    assert factors_of_profile(fit_of(), dipole)[1] == 0.0
    bright = lit_track(np.full(30, 20.0), (20.0, 20.0))
    assert factors_of_profile(fit_of(), bright)[1] == 1.0


def test_one_dark_sample_is_noise() -> None:
    # -3.5 sigma somewhere among 60 samples.
    track = lit_track(np.full(30, 8.0))
    assert lit_track(np.full(30, 8.0), (-3.5, 0.0)).lobe_depth < 0.7
    assert track.lobe_depth == 0.0


def test_a_mask_along_most_of_one_side_makes_a_track_a_spike() -> None:
    along = np.ones(60, bool)
    third = np.arange(60) < 20
    assert lit_track(np.full(60, 9.0), side_hidden=along).hidden_share == 1.0
    assert not along_a_mask(lit_track(np.full(60, 9.0), side_hidden=third).hidden_share)
    assert along_a_mask(lit_track(np.full(60, 9.0), side_hidden=along).hidden_share)


def test_light_near_masks_only_is_theirs() -> None:
    near = np.arange(80) < 30
    rim = np.where(np.arange(80) < 38, 12.0, 0.0)
    dark_when_clear = clear_share(lit_track(rim, side_hidden=near), 12.0)
    assert beside_masks(0.4, dark_when_clear) < 0.3
    lit_when_clear = clear_share(lit_track(np.full(80, 6.0), side_hidden=near), 30.0)
    assert beside_masks(0.4, lit_when_clear) == 1.0
    assert math.isnan(clear_share(lit_track(np.full(80, 6.0)), 30.0))
    assert beside_masks(0.0, math.nan) == 1.0


def test_a_short_streak_may_lie_beside_a_mask_and_a_long_one_may_not() -> None:
    assert clear_share(lit_track(np.full(30, 6.0), side_hidden=np.ones(30, bool)), 15.0) == math.inf
    whole = np.ones(90, bool)
    assert clear_share(lit_track(np.full(90, 6.0), side_hidden=whole), 15.0) == -math.inf
    assert beside_masks(0.4, math.inf) == 1.0
    assert beside_masks(0.4, -math.inf) < 0.1
    assert beside_masks(0.9, math.nan) < 0.1


def test_a_star_on_a_trail_adds_little_to_its_sureness() -> None:
    light = np.full(60, 5.0)
    assert steady_share(lit_track(light)) == 1.0
    light[20:23] = 300.0
    # 57 samples of 5 and 3 cut at 18 (three medians and three sigma), of 1185 in all.
    assert steady_share(lit_track(light)) == pytest.approx((57 * 5 + 3 * 18) / 1185, rel=0.02)


def test_a_track_that_goes_out_and_on_again_is_dashed() -> None:
    on = np.where(np.arange(90) % 30 < 18, 15.0, 0.0)
    assert dashed(lit_track(on))
    assert not dashed(lit_track(np.full(90, 15.0)))
    # Dark at one end alone is a wrong end, no dash.
    assert not dashed(lit_track(np.where(np.arange(90) < 60, 15.0, 0.0)))
    assert not dashed(lit_track(0.2 * on))


# Spikes


def falling(n: int = 45) -> NDArray[np.float64]:
    return np.linspace(40.0, 4.0, n)


def test_a_spike_fades_away_from_its_star() -> None:
    spike = lit_track(falling())
    assert fades(spike, from_first_end=True)
    # Brighter the farther from the star: no spike of that star.
    assert not fades(spike, from_first_end=False)
    assert not fades(lit_track(np.full(45, 20.0)), from_first_end=True)


def test_the_other_way_round_a_spike_fades_from_its_last_end() -> None:
    spike = lit_track(falling()[::-1])
    assert fades(spike, from_first_end=False)
    assert not fades(spike, from_first_end=True)


def star_at(x: float, y: float, radius: float = 8.0) -> MaskedStars:
    return MaskedStars(np.array([x]), np.array([y]), np.array([radius]))


@pytest.mark.parametrize("theta_deg", [0.0, 33.0, 90.0, 150.0])
def test_the_star_is_told_at_the_end_where_it_lies(theta_deg: float) -> None:
    line = Segment.from_midpoint(100.0, 100.0, 40.0, theta_deg)
    ux, uy = math.cos(math.radians(theta_deg)), math.sin(math.radians(theta_deg))
    if (line.x1 - line.x0) * ux + (line.y1 - line.y0) * uy < 0:
        ux, uy = -ux, -uy
    back = Segment(line.x1, line.y1, line.x0, line.y0)
    before = star_at(100.0 - 32 * ux, 100.0 - 32 * uy)
    after = star_at(100.0 + 32 * ux, 100.0 + 32 * uy)
    assert (star_behind(line, before), star_behind(line, after)) == (0, 1)
    assert (star_behind(back, before), star_behind(back, after)) == (1, 0)
    assert star_behind(line, star_at(100.0, 100.0)) == 2


def test_a_star_aside_or_far_away_makes_no_spike() -> None:
    line = Segment(80.0, 100.0, 120.0, 100.0)
    assert star_behind(line, star_at(72.0, 112.0)) == -1
    assert star_behind(line, star_at(10.0, 100.0)) == -1
    assert star_behind(line, MaskedStars(np.zeros(0), np.zeros(0), np.zeros(0))) == -1


def test_a_trail_that_passes_far_over_a_star_is_no_spike() -> None:
    assert star_behind(Segment(0.0, 100.0, 200.0, 100.0), star_at(100.0, 100.0)) == -1


def test_three_sigma_of_chi_square_do_not_make_points_of_a_trail() -> None:
    assert not_a_row_of_points(400.0, 405.0, 1.0) == 1.0
    assert not_a_row_of_points(400.0, 440.0, 1.0) == 0.0
    # Correlated noise: differences of chi-square are larger by its factor.
    assert not_a_row_of_points(400.0, 440.0, 5.0) == 1.0


# Pieces


def random_pieces(rng: np.random.Generator, n: int, side: float) -> list[Segment]:
    x, y = rng.uniform(0.0, side, (2, n))
    length, theta = rng.uniform(15.0, 40.0, n), rng.uniform(0.0, 180.0, n)
    return [Segment.from_midpoint(*row) for row in zip(x, y, length, theta, strict=True)]


def test_pieces_thrown_at_random_are_seldom_joined() -> None:
    """An alignment that chance makes in more than one image of fifty is not believed."""
    rng = np.random.default_rng(7)
    usable = np.ones((600, 600), bool)
    joined = 0
    for _ in range(25):
        pieces = random_pieces(rng, 60, 600.0)
        joined += 60 - len(group_pieces(pieces, [1.0] * 60, sigma_px=SIGMA_PX, usable=usable))
    # One in fifty pairs each: half a pair is expected at most, and 4 are three sigma more.
    assert joined <= 4


def test_the_same_alignment_is_believed_among_few_pieces_and_not_among_many() -> None:
    usable = np.ones((600, 600), bool)
    pair = [Segment(100.0, 300.0, 125.0, 300.0), Segment(140.0, 300.6, 165.0, 301.0)]
    few = group_pieces(pair, [1.0, 1.0], sigma_px=SIGMA_PX, usable=usable)
    assert few == [[0, 1]]
    rng = np.random.default_rng(3)
    # Others far from them, all at right angles: only their number matters.
    others = [
        Segment(x, y, x + 2.0, y + 25.0)
        for x, y in zip(rng.uniform(0, 590, 250), rng.uniform(350, 560, 250), strict=True)
    ]
    many = group_pieces([*pair, *others], [1.0] * 252, sigma_px=SIGMA_PX, usable=usable)
    assert [0] in many
    assert [1] in many


def test_a_fit_in_the_wings_of_a_brighter_one_is_explained_by_it() -> None:
    bright, beside = Segment(50, 50, 100, 50), Segment(60, 53, 80, 53)
    widths = np.full(2, 1.0)
    assert unexplained([bright, beside], widths, np.array([100.0, 8.0])).tolist() == [0]
    # Of two alike, each is its own.
    assert unexplained([bright, beside], widths, np.array([20.0, 15.0])).tolist() == [0, 1]
    far = Segment(60, 56.0, 80, 56.0)
    assert unexplained([bright, far], widths, np.array([100.0, 8.0])).tolist() == [0, 1]


# Blends


@pytest.mark.parametrize(
    ("other", "blend"),
    [
        ((60.0, 30.0, 80.0, 90.0), True),  # crosses
        ((105.0, 50.0, 150.0, 52.0), False),  # goes on 5 px behind the end
        ((102.0, 50.0, 150.0, 52.0), True),  # touches the end
        ((20.0, 53.0, 90.0, 53.0), True),  # 3 px beside it
        ((20.0, 56.0, 90.0, 56.0), False),
        ((120.0, 20.0, 120.0, 90.0), False),  # its line is crossed, it is not
    ],
)
def test_streaks_that_cross_or_touch_are_blended(
    other: tuple[float, float, float, float], blend: bool
) -> None:
    ends = np.array([(20.0, 50.0, 100.0, 50.0), other])
    assert blended(ends, np.full(2, 1.0)).tolist() == [blend, blend]
    turned = ends[:, [2, 3, 0, 1]]
    assert blended(turned, np.full(2, 1.0)).tolist() == [blend, blend]


def test_a_lone_streak_is_not_blended() -> None:
    assert blended(np.array([(20.0, 50.0, 100.0, 50.0)]), np.ones(1)).tolist() == [False]
    assert blended(np.zeros((0, 4)), np.zeros(0)).tolist() == []


def core_on_a_bleed(radius_px: float, wide_px: int = 3) -> NDArray[np.bool_]:
    """Usable pixels with a saturated core at (100, 60) and its bleed along the column."""
    y, x = np.mgrid[:120, :201]
    hidden = np.hypot(x - 100, y - 60) <= radius_px
    hidden |= np.abs(x - 100) <= wide_px // 2
    return ~hidden


@pytest.mark.parametrize(("theta_deg", "first_end_px"), [(45.0, 8.0), (160.0, 15.0), (10.0, -20.0)])
def test_a_small_saturated_core_is_found_on_the_line_that_points_at_it(
    theta_deg: float, first_end_px: float
) -> None:
    c, s = math.cos(math.radians(theta_deg)), math.sin(math.radians(theta_deg))
    near, far = first_end_px, first_end_px + 50.0
    line = Segment(100 + near * c, 60 + near * s, 100 + far * c, 60 + far * s)
    core = masked_core(line, core_on_a_bleed(4.0))
    assert core is not None
    assert core.along_px == pytest.approx(-first_end_px, abs=1.0)
    assert core.radius_px == pytest.approx(4.5, abs=0.7)


def test_a_bleed_alone_a_core_aside_and_one_far_away_are_none() -> None:
    line = Segment(106.0, 66.0, 141.0, 101.0)
    assert masked_core(line, core_on_a_bleed(0.0, wide_px=5)) is None
    aside = Segment(110.0, 60.0, 145.0, 95.0)
    assert masked_core(aside, core_on_a_bleed(4.0)) is None
    away = Segment(140.0, 100.0, 150.0, 110.0)
    assert masked_core(away, core_on_a_bleed(4.0)) is None


def profile_of(along: NDArray[np.float64]) -> Profile:
    none = np.zeros((2, len(along)))
    return Profile(along, none, none.astype(bool), math.nan, math.nan, 0.0, 0.0)


def test_arms_fade_to_both_sides_of_their_star_and_trails_do_not() -> None:
    arm = 20.0 * np.exp(-np.arange(60) / 20.0)
    both = np.concatenate([arm[::-1], arm])
    assert fades_from(profile_of(both), 60.0, 4.0)
    assert fades_from(profile_of(arm), -5.0, 4.0)
    assert not fades_from(profile_of(arm[::-1]), -5.0, 4.0)
    assert not fades_from(profile_of(np.full(120, 10.0)), 60.0, 4.0)
    assert not fades_from(profile_of(np.concatenate([arm[::-1], np.full(60, 20.0)])), 60.0, 4.0)
    assert not fades_from(profile_of(np.full(5, 10.0)), -5.0, 4.0)
