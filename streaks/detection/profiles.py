"""The filtered image along a track and on both sides of it, and what the profile tells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.detection.search import Filtered
from streaks.geometry import Segment

__all__ = [
    "Profile",
    "clear_share",
    "dashed",
    "fades",
    "peak_and_shoulder",
    "sample",
    "steady_share",
    "track_profile",
]

#: Distance aside at which the sky is sampled, and beyond which masks do not matter, in widths of
#: the trail: at 3.2 the light of a Gaussian is spent.
_ASIDE, _FAR_ASIDE = 3.2, 5.0
#: A track is at least this wide, px: a narrower PSF is not sampled.
_LEAST_WIDTH_PX = 0.6
#: Samples a pixel along a short line whose peak is looked for.
_PEAK_STEPS = 4.0
_TINY = 1e-6
#: What `_track` tells of a profile: the last four fields of `Profile`.
_NUMBERS = 4
#: Correlation length of samples a pixel apart, in samples: the noise of a mean of n is 2/sqrt(n).
_CORRELATED = 4.0
#: Tracks of fewer samples tell nothing of how evenly they are lit.
_FEW_SAMPLES = 8
#: Share of the samples of a track that is not its brightest quarter.
_LOWER_SHARE = 0.75
#: In noise of unit variance the lower three quarters lie this far below the mean (Gaussian).
_LOWER_SHARE_BIAS = 0.424
_LEAST_LIGHT = 1e-3
#: Pieces in which a long track has to be lit, samples of each at least, S/N of a lit piece, and
#: its share of the brightest one.
_PIECES, _LIT_SIGMAS, _LIT_OF_BRIGHTEST = 8, 3.0, 0.05
#: One dark sample among all those beside a track is noise down to about this.
_DARK_SIGMAS = 4.0
#: Quantile beside the track that stands for its dark lobe: as long as the bright one, in a dipole.
_DARK_QUANTILE = 0.04
#: A side that is dark all along weighs more than one dark place.
_TROUGH_WEIGHT = 1.5
#: Light of a mask's rim reaches so far along a line that crosses it, px.
_RIM_PX = 8
#: A track with less than this share beside masks is asked no further.
_FEW_BESIDE_MASKS = 0.1
#: Samples clear of masks that tell of the light there.
_LEAST_CLEAR = 5
#: The mean sample of a trail of S/N 1 and length 1 px is 0.7 x 1.7; from simulated trails.
_SAMPLE_PER_SNR = 0.7 * 1.7
#: Flashes are cut at this many times the median, plus as many sigma.
_FLASH_CAP = 3.0
#: Samples that the light of a spike must have, to tell which of its ends is fainter.
_LEAST_FADING = 9
#: Outer third against inner third: below this many sigma it is dark; fainter by this share, it
#: fades.
_OUTER_SIGMAS, _FADING_SHARE = 4.0, 0.3
#: Dashes: samples at least, running mean of, S/N of its upper quartile at least (five samples of
#: correlated unit noise scatter by 0.8, and dark must differ from lit by five of these).
_LEAST_DASHED, _SMOOTHED, _LIT_DASH = 24, 5, 6.0
_UPPER_QUARTILE = 0.75
#: Dark is below this share of lit; samples at the ends that do not count; share that is dark.
_DARK_OF_LIT, _ENDS_LEFT_OUT, _DARK_SHARE = 0.25, 3, 0.1


@dataclass(frozen=True, eq=False)
class Profile:
    """The filtered image along a track and beside it, one sample a pixel.

    Parameters
    ----------
    along : (n,)
        Point-source S/N on the track; NaN where hidden.
    beside : (2, n)
        The same on both sides, outside the trail's own light.
    hidden_beside : (2, n)
        Where a mask or the edge of the image begins within a few PSF widths of the track.
    even_share, lit_share, lobe_depth, hidden_share
        As in `streaks.detection.records.Evidence`; the first two are NaN for short tracks.
    """

    along: NDArray[np.float64]
    beside: NDArray[np.float64]
    hidden_beside: NDArray[np.bool_]
    even_share: float
    lit_share: float
    lobe_depth: float
    hidden_share: float


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

    Returns
    -------
    Profile
    """
    along, beside, hidden, numbers = _track(
        filtered.snr, filtered.cover, segment.x0, segment.y0, segment.x1, segment.y1,
        max(sigma_px, _LEAST_WIDTH_PX),
    )  # fmt: skip
    return Profile(along, beside, hidden, *numbers.tolist())


def peak_and_shoulder(
    snr: NDArray[np.float32], cover: NDArray[np.float32], segment: Segment, distance_px: float
) -> tuple[float, float]:
    """Largest value along a segment, and the mean of those at a distance from it on both sides.

    Parameters
    ----------
    snr, cover : (ny, nx) float32
        Of `streaks.detection.search.Filtered`.
    segment
        A short line.
    distance_px
        From the place of the largest value, along the line.

    Returns
    -------
    peak, shoulder
        NaN where hidden or outside.
    """
    peak, shoulder = _peak_and_shoulder(
        snr, cover, segment.x0, segment.y0, segment.x1, segment.y1, distance_px
    )
    return float(peak), float(shoulder)


def clear_share(profile: Profile, snr: float) -> float:
    """Light of a track away from masks, in units of that of the whole track.

    Parameters
    ----------
    profile
        As narrow as the PSF.
    snr
        Of the fit: what it found may lie beside the track, on both sides of a bleed's mask.

    Returns
    -------
    float
        NaN where the track is not beside masks; inf where a short one lies wholly beside them, so
        that nothing tells; -inf where a long one does, or holds no light.
    """
    near = np.isnan(profile.along) | profile.hidden_beside.any(axis=0)
    if near.mean() < _FEW_BESIDE_MASKS:
        return math.nan
    reach = np.ones(2 * _RIM_PX + 1)
    clear = (np.convolve(near, reach, mode="same") < 0.5) if len(near) > len(reach) else ~near
    clear &= np.isfinite(profile.along)
    seen = profile.along[np.isfinite(profile.along)]
    if clear.sum() < _LEAST_CLEAR or not seen.mean() > 0:
        # A short streak may lie wholly beside a mask; what never leaves masks for long is theirs.
        return math.inf if len(near) < _LONG_BESIDE_MASKS_PX else -math.inf
    noise = math.sqrt(_CORRELATED / float(clear.sum()))
    light = max(float(seen.mean()), _SAMPLE_PER_SNR * snr / math.sqrt(len(profile.along)))
    return (float(profile.along[clear].mean()) + noise) / light


#: Tracks longer than this that have nothing but masks beside them are no streaks, px.
_LONG_BESIDE_MASKS_PX = 60


def steady_share(profile: Profile) -> float:
    """Share of a track's light that is left when flashes, or stars on it, are cut down.

    Parameters
    ----------
    profile
        Of the track.

    Returns
    -------
    float
        0 to 1.
    """
    along = profile.along[np.isfinite(profile.along)]
    total = float(along.sum())
    if len(along) < _FEW_SAMPLES or not total > 0:
        return 1.0
    cap = _FLASH_CAP * max(float(np.median(along)), 0.0) + _FLASH_CAP
    return max(float(np.minimum(along, cap).sum()) / total, 0.0)


def fades(profile: Profile, from_first_end: bool) -> bool:
    """Whether light falls off from one end to the other, as a spike's does from its star.

    True unless the outer third is measured to be nearly as bright as the inner one.

    Parameters
    ----------
    profile
        Of the track.
    from_first_end
        The star lies at the first end.

    Returns
    -------
    bool
    """
    along = profile.along if from_first_end else profile.along[::-1]
    along = along[np.isfinite(along)]
    return len(along) < _LEAST_FADING or _falls_off(along)


def _falls_off(along: NDArray[np.float64]) -> bool:
    """Whether the last third is not measured to be nearly as bright as the first."""
    thirds = np.array_split(along[1:-1], 3)
    inner, outer = float(thirds[0].mean()), float(thirds[2].mean())
    noise = math.sqrt(_CORRELATED / len(thirds[0]))
    return outer < _OUTER_SIGMAS * noise or inner - outer > _FADING_SHARE * outer + noise


def fades_from(profile: Profile, along_px: float, radius_px: float) -> bool:
    """Whether light falls off from a place on a track, or before its ends, to both sides.

    Parameters
    ----------
    profile
        Of the track, a sample a pixel.
    along_px
        The place, from the first end.
    radius_px
        So much around it does not count.

    Returns
    -------
    bool
        Sides too short to tell do not count; False where neither tells.
    """
    before = profile.along[: max(0, math.floor(along_px - radius_px))][::-1]
    after = profile.along[max(0, math.ceil(along_px + radius_px)) :]
    sides = [side[np.isfinite(side)] for side in (before, after)]
    told = [_falls_off(side) for side in sides if len(side) >= _LEAST_FADING]
    return bool(told) and all(told)


def dashed(profile: Profile) -> bool:
    """Whether the light along a track goes out and on again.

    Parameters
    ----------
    profile
        Of the track.

    Returns
    -------
    bool
    """
    along = profile.along[np.isfinite(profile.along)]
    if len(along) < _LEAST_DASHED:
        return False
    smooth = np.convolve(along, np.full(_SMOOTHED, 1.0 / _SMOOTHED), mode="valid")
    lit = _quantile(np.sort(smooth), _UPPER_QUARTILE)
    if lit < _LIT_DASH:
        return False
    dark = smooth < _DARK_OF_LIT * lit
    steps = np.flatnonzero(np.diff(dark.astype(int)))
    inner = dark[_ENDS_LEFT_OUT:-_ENDS_LEFT_OUT]
    return bool(inner.mean() > _DARK_SHARE and len(steps) >= 2)


def _quantile(ranked: NDArray[np.float64], q: float) -> float:
    """Linear quantile of numbers in rising order."""
    place = q * (len(ranked) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return float(ranked[low] + (place - low) * (ranked[high] - ranked[low]))


@njit(cache=True, nogil=True)
def sample(snr, cover, x0, y0, x1, y1, n):  # type: ignore[no-untyped-def]
    """Bilinear samples at n even steps from end to end, ends included.

    Parameters
    ----------
    snr, cover : (ny, nx)
        Filtered image, and the share of the PSF that is seen.
    x0, y0, x1, y1
        Ends, 0-based px.
    n
        At least 2.

    Returns
    -------
    (n,) float64
        NaN outside the image and where most of the PSF is hidden.
    """
    ny, nx = snr.shape
    out = np.empty(n)
    for i in range(n):
        t = i / (n - 1)
        x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        ix, iy = math.floor(x), math.floor(y)
        if ix < -1 or iy < -1 or ix > nx - 1 or iy > ny - 1:
            out[i] = np.nan
            continue
        fx, fy = x - ix, y - iy
        # Half a pixel outside the outermost centres is still the image.
        left, right = max(ix, 0), min(ix + 1, nx - 1)
        low, high = max(iy, 0), min(iy + 1, ny - 1)
        if cover[iy + 1 if fy > 0.5 and iy + 1 < ny else low, right if fx > 0.5 else left] <= 0.5:
            out[i] = np.nan
            continue
        out[i] = (snr[low, left] * (1 - fx) + snr[low, right] * fx) * (1 - fy) + (
            snr[high, left] * (1 - fx) + snr[high, right] * fx
        ) * fy
    return out


# Compiled, for they look at some 500 tracks a frame: NumPy takes ten times as long.


@njit(cache=True, nogil=True)
def _peak_and_shoulder(snr, cover, x0, y0, x1, y1, distance):  # type: ignore[no-untyped-def]
    length = max(math.hypot(x1 - x0, y1 - y0), _TINY)
    n = max(3, int(_PEAK_STEPS * length) + 1)
    values = sample(snr, cover, x0, y0, x1, y1, n)
    peak, t = -np.inf, 0.5
    for i in range(n):
        if values[i] > peak:
            peak, t = values[i], i / (n - 1)
    x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
    dx, dy = (x1 - x0) / length * distance, (y1 - y0) / length * distance
    ends = sample(snr, cover, x - dx, y - dy, x + dx, y + dy, 2)
    return peak, 0.5 * (ends[0] + ends[1])


@njit(cache=True, nogil=True)
def _track(snr, cover, x0, y0, x1, y1, width):  # type: ignore[no-untyped-def]
    """Samples on a track and beside it, what is hidden, and the four numbers of `Profile`."""
    length = max(math.hypot(x1 - x0, y1 - y0), _TINY)
    n = max(3, math.floor(length + 0.5) + 1)
    nx, ny = (y0 - y1) / length * width, (x1 - x0) / length * width
    along = sample(snr, cover, x0, y0, x1, y1, n)
    beside, hidden = np.empty((2, n)), np.empty((2, n), np.bool_)
    # A bare 0 would be a type of its own, and what it is given to be compiled twice.
    zero = np.int64(0)
    dark, n_dark = np.empty(2 * n), zero
    counts = np.zeros(3, np.int64)
    deepest = np.inf
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        u, v = sign * _ASIDE * nx, sign * _ASIDE * ny
        near = sample(snr, cover, x0 + u, y0 + v, x1 + u, y1 + v, n)
        u, v = sign * _FAR_ASIDE * nx, sign * _FAR_ASIDE * ny
        far = sample(snr, cover, x0 + u, y0 + v, x1 + u, y1 + v, n)
        total = 0.0
        for i in range(n):
            beside[side, i] = near[i]
            hidden[side, i] = np.isnan(near[i]) or np.isnan(far[i])
            counts[side] += hidden[side, i]
            if not np.isnan(near[i]):
                total += near[i]
                dark[n_dark] = near[i]
                n_dark += 1
        deepest = min(deepest, total / n)
    lit, n_lit = np.empty(n), zero
    for i in range(n):
        if np.isnan(along[i]):
            counts[2] += 1
        else:
            lit[n_lit] = along[i]
            n_lit += 1
    numbers = np.empty(_NUMBERS)
    numbers[1] = _lit_share(lit, n_lit)
    numbers[0] = _even_share(lit, n_lit)
    numbers[2] = 0.0
    if n_lit > 0 and n_dark > 0:
        _sort(lit, zero, n_lit)
        _sort(dark, zero, n_dark)
        peak = _at_quantile(lit, n_lit, _UPPER_QUARTILE)
        lobe = max(-_at_quantile(dark, n_dark, _DARK_QUANTILE) - _DARK_SIGMAS, 0.0)
        noise = _DARK_SIGMAS / math.sqrt(max(n / _CORRELATED, 1.0))
        trough = max(-deepest - noise, 0.0)
        numbers[2] = max(lobe, _TROUGH_WEIGHT * trough) / max(peak, 1.0)
    numbers[3] = max(counts[0], max(counts[1], counts[2])) / n
    return along, beside, hidden, numbers


@njit(cache=True, nogil=True)
def _even_share(lit, n):  # type: ignore[no-untyped-def]
    """Light outside the brightest quarter of a track, in units of the mean; ends left out.

    The ends of a trail are at half its brightness. The samples between them are sorted.
    """
    if n < _FEW_SAMPLES:
        return np.nan
    _sort(lit, np.int64(1), n - 1)
    lower = max(1, int(_LOWER_SHARE * (n - 2)))
    total, rest = 0.0, 0.0
    for i in range(n - 2):
        total += lit[1 + i]
        if i < lower:
            rest += lit[1 + i]
    return (rest / lower + _LOWER_SHARE_BIAS) / max(total / (n - 2), _LEAST_LIGHT)


@njit(cache=True, nogil=True)
def _lit_share(lit, n):  # type: ignore[no-untyped-def]
    """Share of eight equal pieces of a long track that are lit."""
    if n < _PIECES * _PIECES:
        return np.nan
    pieces, brightest = np.zeros(_PIECES), -np.inf
    for k in range(_PIECES):
        first, last = k * n // _PIECES, (k + 1) * n // _PIECES
        for i in range(first, last):
            pieces[k] += lit[i]
        pieces[k] /= last - first
        brightest = max(brightest, pieces[k])
    noise = math.sqrt(_CORRELATED / (n / _PIECES))
    least, count = max(_LIT_SIGMAS * noise, _LIT_OF_BRIGHTEST * brightest), 0
    for k in range(_PIECES):
        if pieces[k] > least:
            count += 1
    return count / _PIECES


@njit(cache=True, nogil=True)
def _at_quantile(ranked, n, q):  # type: ignore[no-untyped-def]
    """Linear quantile of the first n numbers, in rising order."""
    place = q * (n - 1)
    low = int(place)
    high = min(low + 1, n - 1)
    return ranked[low] + (place - low) * (ranked[high] - ranked[low])


@njit(cache=True, nogil=True)
def _sort(values, first, last):  # type: ignore[no-untyped-def]
    """A stretch of an array into rising order, in place, by Shell's method.

    NumPy's sort in a kernel takes two seconds to compile.
    """
    gap = 1
    while gap < (last - first) // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(first + gap, last):
            value, at = values[i], i
            while at >= first + gap and values[at - gap] > value:
                values[at] = values[at - gap]
                at -= gap
            values[at] = value
        gap //= 3
