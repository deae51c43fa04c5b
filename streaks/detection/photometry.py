"""What light lies under a fitted trail: its flux, the sky beside it, and whether it is points."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.noise import NoiseMap
from streaks.trail import REACH_SIGMA, PsfShape, TrailFit, pixels_near, trail_template

__all__ = ["level_beside", "power_of_points", "sky_beside", "trail_flux"]

#: Sky beside a trail: how far from it, px, beyond so many of its widths and a pixel, and pixels
#: that a median needs to tell 0.01 sigma from none.
_SKY_PX, _SKY_WIDTHS, _SKY_GAP_PX, _SKY_PIXELS = 40.0, 5.0, 1.0, 200
#: Error of a median over that of the mean, for Gaussian noise.
_MEDIAN_ERROR = math.sqrt(0.5 * math.pi)
#: Pixels round a trail that its flux counts, beyond `REACH_SIGMA` widths of it, px.
_FLUX_MARGIN_PX = 2.0
#: Pixels that a comparison of trail and points needs.
_LEAST_PIXELS = 8
#: Places a width along the track where points are tried, and how many at least.
_PLACES_PER_SIGMA, _LEAST_PLACES = 4.0, 5
#: Points whose shapes overlap by more than this are one point and its derivative: no two sources.
_DISTINCT = 0.3
#: Condition of the equations of several points, beyond which some of them are one.
_MOST_CONDITION = 30.0
_TINY = 1e-12


def sky_beside(
    z: NDArray[np.float32], usable: NDArray[np.bool_], fit: TrailFit, *, reach_px: float = _SKY_PX
) -> tuple[float, float]:
    """Median of a standardised image beside a trail, outside its own light, and its error.

    A background map takes a little of every streak for sky (0.01 sigma a pixel), which for long
    faint trails is a per cent of their light.

    Parameters
    ----------
    z : (ny, nx) float32
        Standardised image.
    usable : (ny, nx) bool
    fit
        The trail.
    reach_px
        How far from it.

    Returns
    -------
    level, level_err
        In units of the noise; the error is that in white noise. Both are 0 where too little sky
        is seen.
    """
    seg = fit.segment
    x, y, values = pixels_near(z, usable, seg, reach_px)
    # Its own light is left out.
    least = _SKY_WIDTHS * fit.sigma_px + _SKY_GAP_PX
    sky = _away(x, y, values, seg.x0, seg.y0, seg.x1, seg.y1, least)
    if len(sky) <= _SKY_PIXELS:
        return 0.0, 0.0
    return _median(sky), _MEDIAN_ERROR / math.sqrt(len(sky))


def _median(values: NDArray[np.float32]) -> float:
    """Median of numbers without a NaN, in a third of the time of NumPy's own."""
    n = len(values)
    halves = np.partition(values, n // 2)
    middle = halves[n // 2]
    return float(middle if n % 2 else np.float32(0.5) * (halves[: n // 2].max() + middle))


def level_beside(z: NDArray[np.float32], usable: NDArray[np.bool_], fit: TrailFit) -> float:
    """The level of `sky_beside` alone.

    Parameters
    ----------
    z, usable, fit
        As there.

    Returns
    -------
    float
        In units of the noise.
    """
    return sky_beside(z, usable, fit)[0]


@njit(cache=True, nogil=True)
def _away(x, y, values, x0, y0, x1, y1, least):  # type: ignore[no-untyped-def]
    """Values of the pixels farther from a segment than the least."""
    dx, dy = x1 - x0, y1 - y0
    squared = max(dx * dx + dy * dy, _TINY)
    out, n = np.empty(len(x), np.float32), 0
    for i in range(len(x)):
        t = min(max(((x[i] - x0) * dx + (y[i] - y0) * dy) / squared, 0.0), 1.0)
        u, v = x[i] - x0 - t * dx, y[i] - y0 - t * dy
        if u * u + v * v > least * least:
            out[n] = values[i]
            n += 1
    return out[:n]


def trail_flux(
    counts: NDArray[np.float32],
    noise: NoiseMap,
    usable: NDArray[np.bool_],
    fit: TrailFit,
    *,
    level: float = 0.0,
    noise_factor: float = 1.0,
    gain: float = math.nan,
    negative: bool = False,
    psf: PsfShape | None = None,
) -> tuple[float, float]:
    """Flux of a fitted trail in counts and its error, its shape kept.

    Weighted least squares of the amplitude alone: exact where the noise varies along the track.
    The error takes the fit's own relative error of flux, with its covariance with length and
    width, where that is larger.

    Parameters
    ----------
    counts : (ny, nx)
        The image as it is.
    noise
        Its background and noise.
    usable : (ny, nx) bool
        False where there is no data.
    fit
        From `fit_trail`.
    level
        Sky that is left, in units of sigma.
    noise_factor
        Variance of PSF-filtered noise over that of white noise.
    gain
        Electrons a count, for the trail's own photon noise; NaN where unknown.
    negative
        The trail is dark, and was fitted in the image turned over.
    psf
        Shape of the PSF; None for the Gaussian of the fit, which misses the light of wings.

    Returns
    -------
    flux, flux_err
        Negative for a dark trail; NaN when no usable pixel lies under the trail.
    """
    reach = REACH_SIGMA * fit.sigma_px + _FLUX_MARGIN_PX
    x, y, values = pixels_near(counts, usable, fit.segment, reach)
    if len(x) == 0:
        return math.nan, math.nan
    background, sigma = noise.at(x.astype(np.int64), y.astype(np.int64))
    # A dark trail makes noise seem larger where it lies (`estimate_noise`): the sky's is the least.
    sky = level * (float(sigma.min()) if negative else sigma)
    values = (background - values if negative else values - background) - sky
    weight = 1.0 / sigma.astype(float) ** 2
    if psf is None:
        shape = trail_template(x, y, fit.segment, fit.sigma_px)
    else:
        shape = psf.trail(x, y, fit.segment)
    information = float((shape * shape * weight).sum())
    if not information > 0:
        return math.nan, math.nan
    flux = float((shape * values * weight).sum()) / information
    variance = noise_factor / information
    if gain > 0:
        photons = np.maximum(flux * shape, 0.0) / gain
        variance += float((shape**2 * weight**2 * photons).sum()) / information**2
    relative = fit.flux_err / fit.flux if fit.converged and fit.flux > 0 else 0.0
    error = max(math.sqrt(variance), abs(flux) * relative)
    return -flux if negative else flux, error


def power_of_points(
    z: NDArray[np.float32], usable: NDArray[np.bool_], fit: TrailFit, *, most: int = 3
) -> tuple[float, float]:
    """How much of the chi-square a trail explains, and how much a few points in a row do.

    Parameters
    ----------
    z, usable
        As in `fit_trail`.
    fit
        A converged fit.
    most
        Points at most; their places along the track and their light are free, light >= 0.

    Returns
    -------
    trail, points
        Falls in chi-square against an empty image.
    """
    seg, s = fit.segment, fit.sigma_px
    x, y, values = pixels_near(z, usable, seg, REACH_SIGMA * s)
    if len(x) < _LEAST_PIXELS:
        return 0.0, 0.0
    theta = math.atan2(seg.y1 - seg.y0, seg.x1 - seg.x0)
    xm, ym = seg.midpoint
    u = (x - xm) * math.cos(theta) + (y - ym) * math.sin(theta)
    v = (y - ym) * math.cos(theta) - (x - xm) * math.sin(theta)
    half = 0.5 * seg.length_px + s
    n_places = max(_LEAST_PLACES, math.ceil(_PLACES_PER_SIGMA * half / s))
    places = np.linspace(-half, half, n_places)
    templates = np.exp(-0.5 * ((u[None, :] - places[:, None]) ** 2 + v[None, :] ** 2) / s**2)
    model = trail_template(x, y, seg, s)
    norm = float(model @ model)
    trail = float(model @ values) ** 2 / norm if norm > 0 else 0.0
    return trail, _best_points(templates, values, most)


def _best_points(templates: NDArray[np.float64], values: NDArray[np.float64], most: int) -> float:
    """Fall in chi-square of the best pair of points, and of further ones added greedily."""
    gram, signal = templates @ templates.T, templates @ values
    power = np.diag(gram)
    determinant = power[:, None] * power[None, :] - gram**2
    apart = determinant > _DISTINCT * power[:, None] * power[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (power[None, :] * signal[:, None] - gram * signal[None, :]) / determinant
        second = (power[:, None] * signal[None, :] - gram * signal[:, None]) / determinant
        fall = first * signal[:, None] + second * signal[None, :]
    fall[~((first > 0) & (second > 0) & apart)] = 0
    i, j = np.unravel_index(int(fall.argmax()), fall.shape)
    best, chosen = float(fall[i, j]), [int(i), int(j)]
    for _ in range(most - 2):
        falls = _falls_with_another(gram, signal, chosen)
        k = int(falls.argmax())
        if not falls[k] > best:
            break
        best = float(falls[k])
        chosen.append(k)
    return best


def _falls_with_another(
    gram: NDArray[np.float64], signal: NDArray[np.float64], chosen: list[int]
) -> NDArray[np.float64]:
    """Fall in chi-square of some points and one more, for each that this may be; -inf for none."""
    others = np.setdiff1d(np.arange(len(signal)), chosen)
    picked = np.column_stack([np.tile(chosen, (len(others), 1)), others])
    falls = np.full(len(signal), -np.inf)
    together = gram[picked[:, :, None], picked[:, None, :]]
    # All at once: a call of a library for each costs more than its work.
    apart = ~(np.linalg.cond(together) > _MOST_CONDITION)
    picked, others = picked[apart], others[apart]
    light = np.linalg.solve(together[apart], signal[picked][..., None])[..., 0]
    bright = light.min(axis=1) > 0
    falls[others[bright]] = (light * signal[picked]).sum(axis=1)[bright]
    return falls
