"""What speaks against a line being one streak of light, each as a factor between 0 and 1.

The product of the factors, times the matched-filter S/N, is a streak's ``score``. Where no other
source is named, limits of the factors are from simulated frames of other seeds than any test's:
the highest completeness at one false detection a frame (docs/detection.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streaks.detection.point_sources import shortest_shoulder
from streaks.detection.profiles import Profile, peak_and_shoulder
from streaks.detection.records import Evidence, Factors
from streaks.detection.search import Filtered
from streaks.geometry import Segment
from streaks.trail import FWHM_PER_SIGMA, TrailFit

__all__ = [
    "PointLength",
    "along_a_mask",
    "beside_masks",
    "chance_of_rows",
    "crowding",
    "evidence_of_fit",
    "factors_of_fit",
    "factors_of_profile",
    "not_a_row_of_points",
    "point_length",
    "pointlike",
    "resolved_length",
    "seeming_length",
    "smooth_step",
    "sureness",
    "worth",
]

#: S/N at which a fit tells a point from a short trail: the higher one, where there are so many
#: points that are brighter, for noise makes faint ones look longer. Points are shorter than this,
#: in widths of the PSF.
_POINT_SNRS, _MIN_POINTS, _POINT_WIDTHS = (30.0, 15.0), 8, 5.0
#: Without such points: a PSF 10 % wider than thought makes a point look this long, in PSF sigma.
_BLIND_POINT_WIDTHS = 1.2
#: S/N, and length in FWHM that a trail can be told from a point at; measured lengths scatter, so
#: a tenth less will do.
_RESOLVED = ((8.0, 15.0, 20.0, 30.0), (2.25, 1.35, 1.12, 0.9))
#: Squared length that noise lends a point, times S/N, over the variance of the PSF and of a pixel:
#: what a quarter of points stay below, and nine in ten and more; from points of S/N 8 to 60 at
#: FWHM 1.2 to 2.5 px.
_NOISE_OF_QUARTER, _NOISE_OF_MOST = 22.0, 88.0
#: Squares of lengths fall off as exponentials: by so much, per factor of e, the longest of many
#: points is longer than the longest of so few.
_MORE_OF_MANY, _USUAL_POINTS = 0.3, 50
#: Where points are so long, in PSF sigma, by tracking or optics, they differ over the image by
#: this share of their length.
_LONG_POINTS, _SHAPES_DIFFER = (1.5, 2.5), 0.4
_PIXEL_VARIANCE = 1.0 / 12.0
#: What points have beyond noise: of squares of lengths the quartile, and by so many times more as
#: it is above the lowest twentieth.
_POINT_QUANTILES, _POINT_SCATTERS = (0.05, 0.25), 1.0
#: No image has more bright short trails than this; and where points are many, what is longer than
#: nearly all of them is a point of an odd shape.
_MOST_TRAILS, _MANY_POINTS = 20, 40
#: Of an image full of stars nearly all that is short is a star.
_MOST_AMONG_STARS = 3
#: S/N beyond which only the shape tells.
_ENOUGH_SNR = 50.0
#: What runs along a mask is light of the star behind it, nearly always.
_ALONG_MASK_FACTOR = 0.02
#: Share of a track that is beside masks: a fit may move a long line off the mask that it began
#: beside, where that is not all of it.
_ALONG, _ALONG_LONG, _LONG_PX = 0.5, 0.8, 50.0
#: Light away from masks over that of the whole track: below the first it is all the masks'.
_CLEAR = (0.25, 0.6)
#: Light outside the brightest quarter over the mean: 1 for a trail, near 0 for two or three stars.
_EVEN = (0.15, 0.5)
#: Share of a long track's pieces that are lit.
_LIT = (0.4, 0.8)
#: Depth of the dark lobe over the height of the bright one.
_LOBE = (0.2, 0.6)
#: Length over its error, and over that of a point.
_LENGTH_SIGMAS, _LENGTH_RATIO = (1.5, 3.0), (0.9, 1.3)
#: Longer than this no point is, in widths of the trail and in lengths of a point.
_NO_POINT_WIDTHS, _NO_POINT_LENGTHS = 15.0, 3.0
#: A header's FWHM and the PSF's change over a frame are worth about a tenth...
_NARROWEST, _PSF_SCATTER = 0.9, 0.05
#: ...and by so many errors must a line be narrower yet.
_NARROW_SIGMAS = (1.5, 3.5)
#: Width over the PSF's: seeing never does that.
_WIDE = (1.4, 1.9)
#: Length over width of what is a trail across the sky and nothing else.
_SLENDER = (30.0, 100.0)
_LEAST_SIGMA_PX = 1e-3
#: Mean squared residual that noise and a PSF that is no Gaussian leave.
_GOOD_CHI2 = 1.6
#: A trail's S/N squared is about half of what its model's squares sum to over its pixels.
_POWER_PER_SNR2 = 2.0
_LEAST_POWER = 0.5
#: Residuals in units of the trail's power; satellites that flash, tumble and are out of focus fit
#: no uniform Gaussian trail, but more light is in the trail than in what it misses.
_RESIDUAL, _RESIDUAL_SLENDER = (0.15, 0.5), (2.0, 6.0)
#: Excess of chi-square of points over a trail: two or three points have as many free numbers as a
#: trail, so 3 sigma are 9; and a trail that varies by a tenth of its light is still a trail.
_POINTS_EXCESS, _POINTS_SHARE = (6.0, 14.0), (0.01, 0.03)
#: Points a pixel, up to which that holds: in survey differences there are half as many. Three
#: points in a row are by chance as frequent as the cube of their density, and twice the logarithm
#: of this is in units of chi-square.
_USUAL_DENSITY, _ROW_CHANCE = 6e-5, 6.0
#: Crowding: pixels that are asked, quantiles, share of the PSF that must be seen.
_CROWDING_PIXELS, _CROWDING_STEP, _LEAST_PIXELS = 20_000, 7, 200
_CROWDING_QUANTILES, _SEEN = (0.1, 0.5, 0.9), 0.5
_LEAST_SPREAD = 1e-3
#: A line is asked whether it is a point up to this length in widths of the PSF, above this S/N,
#: at this distance from its peak in widths; the mean of two samples five sigma apart has a noise
#: of 0.75, and 2.5 times this are believed.
_SHORT_WIDTHS, _POINT_PEAK, _SHOULDER_WIDTHS = 20.0, 8.0, 2.4
_SHOULDER_NOISE = 2.5 * 0.75


def smooth_step(value: float, limits: tuple[float, float]) -> float:
    """0 below the first limit, 1 above the second, smooth between (3 t**2 - 2 t**3).

    Parameters
    ----------
    value
        Any number.
    limits
        In rising order.

    Returns
    -------
    float
        0 to 1.
    """
    low, high = limits
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


# Before the fit


def pointlike(
    filtered: Filtered, segment: Segment, *, sigma_px: float, min_length_px: float
) -> bool:
    """Whether a short line is a bright point, by how steeply its light falls off along it.

    The filtered image of a point falls to ``exp(-d**2 / (4 s**2))`` at a distance d, that of the
    shortest trail looked for to more; what lies below even that, and not by noise, is no trail.

    Parameters
    ----------
    filtered
        The image.
    segment
        The line.
    sigma_px
        Width of the PSF.
    min_length_px
        Length of the shortest trail looked for.

    Returns
    -------
    bool
    """
    if segment.length_px > _SHORT_WIDTHS * sigma_px:
        return False
    peak, shoulder = peak_and_shoulder(
        filtered.snr, filtered.cover, segment, _SHOULDER_WIDTHS * sigma_px
    )
    if not peak > _POINT_PEAK:
        return False
    return shoulder < shortest_shoulder(sigma_px, min_length_px) * peak - _SHOULDER_NOISE


def worth(profile: Profile, segment: Segment) -> Factors:
    """The factors of a line that its profile tells before it is fitted, as kind as they may be.

    Parameters
    ----------
    profile
        Of the track.
    segment
        The line.

    Returns
    -------
    Factors
        Their product times the S/N is the most that the line's score can become.
    """
    share = _ALONG if segment.length_px < _LONG_PX else _ALONG_LONG
    return Factors(
        uneven=max(_evenly_lit(profile), _lit_throughout(profile)),
        dipole=_without_dark_lobe(profile),
        mask=_ALONG_MASK_FACTOR if profile.hidden_share > share else 1.0,
    )


# After the fit


@dataclass(frozen=True)
class PointLength:
    """How long the point sources of an image are.

    Parameters
    ----------
    length_px
        Beyond what noise lends them; NaN where too few tell.
    count
        How many compact sources were fitted.
    density
        Compact sources a pixel, those that were not fitted among them; 0 where they are few.
    """

    length_px: float = math.nan
    count: int = 0
    density: float = 0.0


def evidence_of_fit(fit: TrailFit, *, sigma_px: float, points: PointLength) -> Evidence:
    """What the fit alone tells.

    Parameters
    ----------
    fit
        A converged one.
    sigma_px
        Width of the PSF.
    points
        How long point sources are, from `point_length`.

    Returns
    -------
    Evidence
        Lengths, widths and residuals; NaN where a number has no meaning.
    """
    length, ratio = fit.segment.length_px, fit.sigma_px / sigma_px
    known = math.isfinite(fit.chi2) and fit.n_pixels > 0
    power = fit.snr**2 / max(fit.n_pixels, 1) * _POWER_PER_SNR2
    residual = max(fit.chi2 - _GOOD_CHI2, 0.0) / max(power, _LEAST_POWER)
    return Evidence(
        length_ratio=length / seeming_length(fit.snr, sigma_px, points),
        length_sigmas=length / fit.length_err if fit.length_err > 0 else math.nan,
        width_ratio=ratio,
        narrow_sigmas=(_NARROWEST - ratio) / math.hypot(_PSF_SCATTER, fit.sigma_err / sigma_px),
        residual_share=residual if known else math.nan,
    )


def factors_of_fit(fit: TrailFit, evidence: Evidence) -> Factors:
    """Against points, cosmic rays, smooth blobs and clutter, by the fit alone.

    Parameters
    ----------
    fit
        A converged one.
    evidence
        Its `evidence_of_fit`.

    Returns
    -------
    Factors
    """
    length, slender = fit.segment.length_px, _slender(fit)
    ratio, sigmas = evidence.length_ratio, evidence.length_sigmas
    point = 1.0
    # What is much longer than any PSF is no point, however little is known of its ends.
    if math.isfinite(sigmas) and not (
        length > _NO_POINT_WIDTHS * fit.sigma_px or ratio > _NO_POINT_LENGTHS
    ):
        point = smooth_step(sigmas, _LENGTH_SIGMAS) * smooth_step(ratio, _LENGTH_RATIO)
    residual = evidence.residual_share
    ill_fitted = 1.0
    if math.isfinite(residual):
        ill_fitted = (1.0 - smooth_step(residual, _RESIDUAL) * (1.0 - slender)) * (
            1.0 - smooth_step(residual, _RESIDUAL_SLENDER)
        )
    return Factors(
        point=point,
        sharp=1.0 - smooth_step(evidence.narrow_sigmas, _NARROW_SIGMAS),
        # Satellites out of focus are wide too, but very much longer than wide.
        wide=1.0 - smooth_step(evidence.width_ratio, _WIDE) * (1.0 - slender),
        ill_fitted=ill_fitted,
    )


def factors_of_profile(fit: TrailFit, profile: Profile) -> tuple[float, float]:
    """Against chains of points and against dipoles: the factors ``uneven`` and ``dipole``.

    Parameters
    ----------
    fit
        A converged one.
    profile
        Of its track.

    Returns
    -------
    uneven, dipole : float
        1 nothing, 0 everything.
    """
    uneven = max(_evenly_lit(profile), _slender(fit) * _lit_throughout(profile))
    return uneven, _without_dark_lobe(profile)


def beside_masks(hidden_share: float, clear_share: float) -> float:
    """Against bleeds, spikes and rims: what runs along a mask, or is lit near masks only.

    Parameters
    ----------
    hidden_share
        Of a profile as narrow as the PSF.
    clear_share
        Of `streaks.detection.profiles.clear_share`.

    Returns
    -------
    float
        1 where nothing speaks against it, near 0 where it runs along a mask.
    """
    if along_a_mask(hidden_share):
        return _ALONG_MASK_FACTOR
    if math.isnan(clear_share) or clear_share == math.inf:
        return 1.0
    return _ALONG_MASK_FACTOR if clear_share == -math.inf else smooth_step(clear_share, _CLEAR)


def along_a_mask(hidden_share: float) -> bool:
    """Whether a mask runs under or beside most of a track: a bleed, a spike, a chip's edge.

    Parameters
    ----------
    hidden_share
        Of a profile as narrow as the PSF.

    Returns
    -------
    bool
    """
    return hidden_share > _ALONG


def chance_of_rows(density: float) -> float:
    """How much better a trail must be than a row of points, where there are many, in chi-square.

    Parameters
    ----------
    density
        Point sources a pixel.

    Returns
    -------
    float
        0 where they are no more than a survey's difference has.
    """
    return _ROW_CHANCE * math.log(max(density / _USUAL_DENSITY, 1.0))


def not_a_row_of_points(
    trail: float, points: float, noise_factor: float, chance: float = 0.0
) -> float:
    """Against a few stars in a row: 0 where points explain the light better than a trail.

    Parameters
    ----------
    trail, points
        Of `streaks.detection.photometry.power_of_points`.
    noise_factor
        Variance of filtered noise over that of white noise.
    chance
        From `chance_of_rows`.

    Returns
    -------
    float
        0 to 1.
    """
    (low, high), (low_share, high_share) = _POINTS_EXCESS, _POINTS_SHARE
    # Where two stars lie so close by chance, unevenness is no trail's.
    uneven = trail / (1.0 + chance)
    limits = low + low_share * uneven, high + high_share * uneven
    return 1.0 - smooth_step((points - trail) / noise_factor + chance, limits)


def sureness(snr: float, good: float) -> float:
    """The score: S/N times quality. Far beyond any threshold more light proves little more.

    Parameters
    ----------
    snr
        Of the trail, without flashes.
    good
        Product of the factors.

    Returns
    -------
    float
    """
    if not snr > _ENOUGH_SNR:
        return snr * good
    return _ENOUGH_SNR * (1.0 + math.log(snr / _ENOUGH_SNR)) * good


# What all lines of an image tell together


def point_length(
    fits: Sequence[TrailFit], sigma_px: float, *, others: int = 0, usable_px: int = 0
) -> PointLength:
    """Length that this image's point sources have beyond what noise lends them.

    Bad tracking, a PSF wider than the header says, or coma make every star a short trail. Where
    enough bright compact sources agree, what is no longer than they is no streak.

    Parameters
    ----------
    fits
        Of all lines of the image.
    sigma_px
        Width of the PSF.
    others
        Compact sources that were not fitted.
    usable_px
        Pixels that they are on; 0 where nobody counted, as if they were few.

    Returns
    -------
    PointLength
        Its length is 0 where they are as short as noise lets them be; NaN where too few tell.
    """
    short = [f for f in fits if f.converged and f.segment.length_px < _POINT_WIDTHS * sigma_px]
    n = len(short) + others
    # A few in a small image are no star field.
    density = n / usable_px if usable_px and n >= _MANY_POINTS else 0.0
    for snr in _POINT_SNRS:
        bright = [f for f in short if f.snr > snr]
        if len(bright) >= _MIN_POINTS:
            break
    else:
        return PointLength(math.nan, len(short), density)
    squares = [
        f.segment.length_px**2 - _noise_square(f.snr, sigma_px, _NOISE_OF_QUARTER) for f in bright
    ]
    # Of few up to half may be short trails: the quartile is then the middle of the points.
    lowest, quarter = _POINT_QUANTILES
    most = _MOST_TRAILS * min(1.0, _MANY_POINTS / len(squares))
    if density > _USUAL_DENSITY:
        most = min(most, _MOST_AMONG_STARS)
    share = max(quarter, 1.0 - most / len(squares))
    low, high = np.quantile(squares, (lowest, share))
    scatter = _POINT_SCATTERS * (high - low) if share == quarter else 0.0
    return PointLength(math.sqrt(max(high + scatter, 0.0)), len(short), density)


def seeming_length(snr: float, sigma_px: float, points: PointLength) -> float:
    """Length that hardly one point source of an image seems to have, px.

    Noise lends a point the square of a length, in proportion to noise over signal; the most among
    many points grows with the logarithm of their number. Without bright points in the image, a
    PSF 10 % wider than thought makes a point look 1.2 sigma long.

    Parameters
    ----------
    snr
        Matched-filter S/N of the source.
    sigma_px
        Width of the PSF.
    points
        From `point_length`.

    Returns
    -------
    float
    """
    many = math.log(max(points.count / _USUAL_POINTS, 1.0))
    noise = _noise_square(snr, sigma_px, _NOISE_OF_MOST)
    if math.isnan(points.length_px):
        return max(_BLIND_POINT_WIDTHS * sigma_px, math.sqrt(noise))
    differing = 1.0 + _SHAPES_DIFFER * smooth_step(points.length_px / sigma_px, _LONG_POINTS)
    own = (differing * points.length_px) ** 2
    return math.sqrt((own + noise) * (1.0 + _MORE_OF_MANY * many))


def _noise_square(snr: float, sigma_px: float, share: float) -> float:
    return share * (sigma_px**2 + _PIXEL_VARIANCE) / max(snr, 1.0)


def resolved_length(snr: float, sigma_px: float) -> float:
    """Length at which a trail of some S/N can be told from a point, px.

    Elongation adds about 4 sigma to the likelihood there (docs/detection.md).

    Parameters
    ----------
    snr
        Matched-filter S/N of the trail.
    sigma_px
        Width of the PSF.

    Returns
    -------
    float
    """
    return float(np.interp(snr, *_RESOLVED)) * FWHM_PER_SIGMA * sigma_px


def crowding(filtered: Filtered) -> float:
    """How much wider the bright side of an image's noise is than the dark one; 1 if it is not.

    In a difference both sides are alike. In an image full of faint stars the bright side is
    wider, and lines through chance alignments stand out more often than noise allows.

    Parameters
    ----------
    filtered
        The image.

    Returns
    -------
    float
        At least 1.
    """
    # Every seventh pixel of a survey's image knows these quantiles to 0.3 %.
    step = max(1, min(_CROWDING_STEP, int(math.sqrt(filtered.snr.size / _CROWDING_PIXELS))))
    grid = np.s_[::step, ::step]
    sample = filtered.snr[grid][filtered.cover[grid] > _SEEN]
    if sample.size < _LEAST_PIXELS:
        return 1.0
    # In rising order quantiles are found at once, and NumPy sorts sooner than it looks for them.
    low, middle, high = np.quantile(np.sort(sample), _CROWDING_QUANTILES)
    return float(max((high - middle) / max(middle - low, _LEAST_SPREAD), 1.0))


# Single factors


def _evenly_lit(profile: Profile) -> float:
    """Against chains of points; 1 where the track is too short to tell."""
    share = profile.even_share
    return 1.0 if math.isnan(share) else smooth_step(share, _EVEN)


def _lit_throughout(profile: Profile) -> float:
    """For long trails that flash: light in most pieces, not only in a few stars."""
    share = profile.lit_share
    return 0.0 if math.isnan(share) else smooth_step(share, _LIT)


def _without_dark_lobe(profile: Profile) -> float:
    """Against dipoles: a dark side as deep as the bright one is high."""
    return 1.0 - smooth_step(profile.lobe_depth, _LOBE)


def _slender(fit: TrailFit) -> float:
    """1 for what is very much longer than wide, as only trails across the sky are."""
    return smooth_step(fit.segment.length_px / max(fit.sigma_px, _LEAST_SIGMA_PX), _SLENDER)
