"""What speaks against a line being one streak of light, each as a factor between 0 and 1.

The product of the factors, times the matched-filter S/N, is a streak's ``score``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.detection.compact import shortest_shoulder
from streaks.detection.sampling import peak_and_shoulder, sample_track
from streaks.detection.search import Filtered
from streaks.geometry import Segment
from streaks.trail import TrailFit

__all__ = [
    "Profile",
    "along_a_mask",
    "beside_masks",
    "crowding",
    "dashed",
    "fades",
    "not_a_row_of_points",
    "point_length",
    "pointlike",
    "quality",
    "quality_of_fit",
    "steady_share",
    "sureness",
    "track_profile",
    "worth",
]

#: S/N at which a fit tells a point from a short trail, and how many such make a rule.
_BRIGHT, _MIN_COMPACT = 15.0, 8
#: S/N beyond which only the shape tells.
_ENOUGH_SNR = 50.0
#: Tracks longer than this that have nothing but masks beside them are no streaks, px.
_LONG_BESIDE_MASKS_PX = 60
#: Light beside masks reaches so far along a line that crosses it.
_RIM_PX = 8
#: What runs along a mask is light of the star behind it, nearly always.
_SPIKE_FACTOR = 0.02


@dataclass(frozen=True, eq=False)
class Profile:
    """The filtered image along a track and beside it, one sample a pixel.

    Parameters
    ----------
    along : (n,)
        Point-source S/N on the track; NaN where hidden.
    beside : (n, 2)
        The same on both sides, outside the trail's own light.
    hidden_beside : (n, 2)
        Where a mask or the edge of the image begins within a few PSF widths of the track.
    """

    along: NDArray[np.float64]
    beside: NDArray[np.float64]
    hidden_beside: NDArray[np.bool_]


def track_profile(filtered: Filtered, segment: Segment, sigma_px: float) -> Profile:
    """Samples along a track, ends included, and on both sides of it.

    Parameters
    ----------
    filtered
        The image.
    segment
        The track.
    sigma_px
        Width of its light across.
    """
    width = max(sigma_px, 0.6)
    return Profile(*sample_track(filtered.snr, filtered.cover, segment, width))


def beside_masks(profile: Profile, snr: float) -> float:
    """Against bleeds, spikes and rims: what runs along a mask, or is lit near masks only.

    `profile` is one as narrow as the PSF, `snr` that of the fit.
    """
    return _SPIKE_FACTOR if along_a_mask(profile) else _lit_where_clear(profile, snr)


def along_a_mask(profile: Profile, share: float = 0.5) -> bool:
    """Whether a mask runs under or beside most of the track: a bleed, a spike, a chip's edge."""
    return bool(_hidden_share(profile.along, profile.hidden_beside) > share)


def _lit_where_clear(profile: Profile, snr: float) -> float:
    """Against light that is only there beside masks: rims and bleeds of bright stars."""
    near = np.isnan(profile.along) | profile.hidden_beside.any(axis=1)
    if near.mean() < 0.1:
        return 1.0
    reach = np.ones(2 * _RIM_PX + 1)
    clear = (np.convolve(near, reach, mode="same") < 0.5) if len(near) > len(reach) else ~near
    clear &= np.isfinite(profile.along)
    seen = profile.along[np.isfinite(profile.along)]
    if clear.sum() < 5 or not seen.mean() > 0:
        # A short streak may lie wholly beside a mask; what never leaves masks for long is theirs.
        return 1.0 if len(near) < _LONG_BESIDE_MASKS_PX else _SPIKE_FACTOR
    # Samples a pixel apart are correlated over about four.
    noise = 2.0 / math.sqrt(float(clear.sum()))
    # What the fit found may lie beside the track, on both sides of a bleed's mask.
    fitted = 0.7 * 1.7 * snr / math.sqrt(len(profile.along))
    light = max(float(seen.mean()), fitted)
    return _step((float(profile.along[clear].mean()) + noise) / light, 0.25, 0.6)


def steady_share(profile: Profile) -> float:
    """Share of a track's light that is left when flashes, or stars on it, are cut down."""
    along = profile.along[np.isfinite(profile.along)]
    total = float(along.sum())
    if len(along) < 8 or not total > 0:
        return 1.0
    cap = 3.0 * max(float(np.median(along)), 0.0) + 3.0
    return max(float(np.minimum(along, cap).sum()) / total, 0.0)


def sureness(snr: float, good: float) -> float:
    """The score: S/N times quality. Far beyond any threshold more light proves little more."""
    if not snr > _ENOUGH_SNR:
        return snr * good
    return _ENOUGH_SNR * (1.0 + math.log(snr / _ENOUGH_SNR)) * good


def point_length(fits: Sequence[TrailFit], sigma_px: float) -> float:
    """Length that this image's point sources seem to have, px.

    Bad tracking, a PSF wider than the header says, or coma make every star a short trail. Where
    enough bright compact sources agree, what is no longer than they is no streak. Without them,
    a PSF 10 % wider than thought makes a point look 1.2 sigma long.

    Parameters
    ----------
    fits
        Of all lines of the image.
    sigma_px
        Width of the PSF.
    """
    compact = [
        f.segment.length_px
        for f in fits
        if f.converged and f.snr > _BRIGHT and f.segment.length_px < 5.0 * sigma_px
    ]
    least = 1.2 * sigma_px
    if len(compact) < _MIN_COMPACT:
        return least
    middle = float(np.median(compact))
    spread = 1.4826 * float(np.median(np.abs(np.asarray(compact) - middle)))
    return max(least, middle + 2.0 * spread)


def quality(fit: TrailFit, profile: Profile, *, sigma_px: float, point_px: float) -> float:
    """How much a fitted line looks like one streak, 0 to 1.

    `point_px` is the length that a point source seems to have, from `point_length`.
    """
    return (
        quality_of_fit(fit, sigma_px=sigma_px, point_px=point_px)
        * max(_evenly_lit(profile.along), _slender(fit) * _lit_throughout(profile.along))
        * _without_negative_lobes(profile.along, profile.beside)
    )


def quality_of_fit(fit: TrailFit, *, sigma_px: float, point_px: float) -> float:
    """What the fit alone tells of `quality`: it is no more than this."""
    return _extended(fit, point_px) * _as_wide_as_the_psf(fit, sigma_px) * _well_fitted(fit)


def not_a_row_of_points(trail: float, points: float, noise_factor: float) -> float:
    """Against a few stars in a row: 0 where points explain the light better than a trail."""
    excess = (points - trail) / noise_factor
    # Two or three points have as many free numbers as a trail, so 3 sigma are 9; and a trail
    # that varies by a tenth of its light is still a trail.
    return 1.0 - _step(excess, 6.0 + 0.01 * trail, 14.0 + 0.03 * trail)


def crowding(filtered: Filtered) -> float:
    """How much wider the bright side of an image's noise is than the dark one; 1 if it is not.

    In a difference both sides are alike. In an image full of faint stars the bright side is
    wider, and lines through chance alignments stand out more often than noise allows.
    """
    # Every seventh pixel of a survey's image knows these quantiles to 0.3 %.
    step = max(1, min(7, int(math.sqrt(filtered.snr.size / 20_000))))
    grid = np.s_[::step, ::step]
    sample = filtered.snr[grid][filtered.cover[grid] > 0.5]
    if sample.size < 200:
        return 1.0
    low, middle, high = np.quantile(sample, [0.1, 0.5, 0.9])
    return float(max((high - middle) / max(middle - low, 1e-3), 1.0))


def pointlike(
    filtered: Filtered, segment: Segment, *, sigma_px: float, min_length_px: float
) -> bool:
    """Whether a short line is a bright point, by how steeply its light falls off along it.

    The filtered image of a point falls to ``exp(-d**2 / (4 s**2))`` at a distance d, that of the
    shortest trail looked for to more; what lies below even that, and not by noise, is no trail.
    """
    length = segment.length_px
    if length > 20.0 * sigma_px:
        return False
    peak, shoulder = peak_and_shoulder(filtered.snr, filtered.cover, segment, 2.4 * sigma_px)
    if not peak > 8.0:
        return False
    # The mean of two samples five sigma apart has a noise of 0.75.
    return shoulder < shortest_shoulder(sigma_px, min_length_px) * peak - 2.5 * 0.75


def worth(profile: Profile, segment: Segment, line_snr: float) -> float:
    """The most that a line's score can become, by its profile before it is fitted."""
    lit = max(_evenly_lit(profile.along), _lit_throughout(profile.along))
    lit *= _without_negative_lobes(profile.along, profile.beside)
    # A fit may move a long line off the mask that it began beside, where that is not all of it.
    masked = along_a_mask(profile, share=0.5 if segment.length_px < 50.0 else 0.8)
    return float(line_snr * lit * (_SPIKE_FACTOR if masked else 1.0))


def fades(profile: Profile, from_first_end: bool) -> bool:
    """Whether light falls off from one end to the other, as a spike's does from its star.

    True unless the outer third is measured to be nearly as bright as the inner one.
    """
    along = profile.along if from_first_end else profile.along[::-1]
    along = along[np.isfinite(along)]
    if len(along) < 9:
        return True
    thirds = np.array_split(along[1:-1], 3)
    inner, outer = float(thirds[0].mean()), float(thirds[2].mean())
    # Samples a pixel apart are correlated over about four.
    noise = 2.0 / math.sqrt(len(thirds[0]))
    return outer < 4.0 * noise or inner - outer > 0.3 * outer + noise


def dashed(profile: Profile) -> bool:
    """Whether the light along a track goes out and on again."""
    along = profile.along[np.isfinite(profile.along)]
    if len(along) < 24:
        return False
    smooth = np.convolve(along, np.full(5, 0.2), mode="valid")
    lit = _quantile(smooth, 0.75)
    # Five samples of unit noise, correlated: 0.8 sigma; dark must differ from lit by five.
    if lit < 6.0:
        return False
    dark = smooth < 0.25 * lit
    steps = np.flatnonzero(np.diff(dark.astype(int)))
    return bool(dark[3:-3].mean() > 0.1 and len(steps) >= 2)


def _extended(fit: TrailFit, point_px: float) -> float:
    """Against point sources: a length that is both measured and more than a point's."""
    length = fit.segment.length_px
    # What is much longer than any PSF is no point, however little is known of its ends.
    if not fit.length_err > 0 or length > max(15.0 * fit.sigma_px, 3.0 * point_px):
        return 1.0
    return _step(length / fit.length_err, 1.5, 3.0) * _step(length / point_px, 1.0, 1.6)


def _as_wide_as_the_psf(fit: TrailFit, sigma_px: float) -> float:
    """Against cosmic rays, which the PSF has not blurred, and against smooth blobs."""
    ratio = fit.sigma_px / sigma_px
    # A header's FWHM and the PSF's change over a frame are worth about a tenth.
    missing = (0.9 - ratio) / math.hypot(0.05, fit.sigma_err / sigma_px)
    # Out-of-focus satellites are wide too, but very much longer than wide.
    wide = _step(ratio, 1.4, 1.9) * (1.0 - _slender(fit))
    return (1.0 - _step(missing, 1.5, 3.5)) * (1.0 - wide)


def _slender(fit: TrailFit) -> float:
    """1 for what is very much longer than wide, as only trails across the sky are."""
    return _step(fit.segment.length_px / max(fit.sigma_px, 1e-3), 30.0, 100.0)


def _well_fitted(fit: TrailFit) -> float:
    """Against clutter: residuals that are a large share of what is fitted."""
    if not math.isfinite(fit.chi2) or fit.n_pixels == 0:
        return 1.0
    excess = max(fit.chi2 - 1.6, 0.0)
    # Mean square of the model over the pixels of the fit.
    power = fit.snr**2 / max(fit.n_pixels, 1) * 2.0
    share = excess / max(power, 0.5)
    # Satellites flash, tumble and are out of focus: no uniform Gaussian trail fits them well, but
    # more light is in the trail than in what it misses.
    return (1.0 - _step(share, 0.15, 0.5) * (1.0 - _slender(fit))) * (1.0 - _step(share, 2.0, 6.0))


# Compiled, for they look at some 500 tracks a frame: each takes NumPy ten times as long.


@njit(cache=True, nogil=True)
def _step(value, low, high):  # type: ignore[no-untyped-def]
    """0 below low, 1 above high, smooth between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True, nogil=True)
def _quantile(values, q):  # type: ignore[no-untyped-def]
    """Linear quantile of numbers of which none is NaN."""
    ranked = np.sort(values)
    place = q * (len(ranked) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (place - low) * (ranked[high] - ranked[low])


@njit(cache=True, nogil=True)
def _hidden_share(along, hidden_beside):  # type: ignore[no-untyped-def]
    """Largest share that is hidden: of the track, of one side or of the other."""
    counts = np.zeros(3)
    for i in range(len(along)):
        counts[0] += np.isnan(along[i])
        counts[1] += hidden_beside[i, 0]
        counts[2] += hidden_beside[i, 1]
    return counts.max() / len(along)


@njit(cache=True, nogil=True)
def _evenly_lit(along):  # type: ignore[no-untyped-def]
    """Against chains of points: light outside the brightest quarter of the track."""
    values = along[np.isfinite(along)]
    # Ends of a trail are at half its brightness.
    if len(values) < 8:
        return 1.0
    ranked = np.sort(values[1:-1])
    mean = ranked.mean()
    rest = ranked[: max(1, int(0.75 * len(ranked)))].mean()
    # In noise of unit variance the lower three quarters lie 0.424 sigma below the mean.
    return _step((rest + 0.424) / max(mean, 1e-3), 0.15, 0.5)


@njit(cache=True, nogil=True)
def _lit_throughout(along):  # type: ignore[no-untyped-def]
    """For long trails that flash: light in most of eight pieces, not only in a few stars."""
    values = along[np.isfinite(along)]
    n = len(values)
    if n < 8 * 8:
        return 0.0
    pieces = np.empty(8)
    for k in range(8):
        pieces[k] = values[k * n // 8 : (k + 1) * n // 8].mean()
    # Samples a pixel apart are correlated over about four.
    noise = 2.0 / math.sqrt(n / 8)
    lit = pieces > max(3.0 * noise, 0.05 * pieces.max())
    return _step(lit.sum() / 8, 0.4, 0.8)


@njit(cache=True, nogil=True)
def _without_negative_lobes(along, beside):  # type: ignore[no-untyped-def]
    """Against dipoles: a dark side as deep as the bright one is high."""
    lit = along[np.isfinite(along)]
    sides = beside.ravel()
    seen = sides[np.isfinite(sides)]
    if len(lit) == 0 or len(seen) == 0:
        return 1.0
    peak = _quantile(lit, 0.75)
    # The dark side of a dipole is as long as its bright one; a long trail passes many dipoles.
    darkest = _quantile(seen, 0.04)
    side = min(np.nansum(beside[:, 0]), np.nansum(beside[:, 1])) / len(along)
    # One dark pixel among n samples is noise down to about 4 sigma.
    lobe = max(-darkest - 4.0, 0.0)
    trough = max(-side - 4.0 / math.sqrt(max(len(along) / 4.0, 1.0)), 0.0)
    return 1.0 - _step(max(lobe, 1.5 * trough) / max(peak, 1.0), 0.2, 0.6)
