"""The trailed point source: its model, and its fit with errors.

A point source of Gaussian PSF that moves uniformly during the exposure leaves (Vereš et al. 2012,
PASP 124, 1197, eq. 3)

    f(u, v) = flux / L * G(v) * (erf((u + L/2) / (sqrt(2) s)) - erf((u - L/2) / (sqrt(2) s))) / 2

with u along and v across the track from its midpoint, G a normal density of width s.
All arrays here are standardised: noise of unit variance, no background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment
from streaks.special import erf
from streaks.trail._kernels import (
    MIN_LENGTH_PX,
    REACH_SIGMA,
    correlated,
    covariance_of,
    errors_of,
    evaluate,
    fit_near,
    gather,
    width_prior,
)

__all__ = [
    "FWHM_PER_SIGMA",
    "REACH_SIGMA",
    "TrailFit",
    "fit_trail",
    "line_noise",
    "pixels_near",
    "trail_model",
    "trail_template",
    "with_correlated_noise",
]

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

#: Fields of `TrailFit` in the order of `errors_of`.
_ERRORS = ("flux_err", "sigma_err", "along_err", "across_err", "length_err", "theta_err_deg")


@dataclass(frozen=True)
class TrailFit:
    """A fitted trail.

    Parameters
    ----------
    segment
        Ends where the source was at shutter open and close, smaller x first.
    flux, flux_err
        Sum of the trail in units of the image's noise.
    sigma_px, sigma_err
        Gaussian width across.
    along_err, across_err, length_err, theta_err_deg
        1-sigma errors: of an end along the track, of the midpoint across, of the length, of the
        direction.
    snr
        Matched-filter signal-to-noise of the fitted trail.
    chi2
        Mean squared residual of the pixels of the fit.
    n_pixels
        Usable pixels of the fit.
    converged
        False where the fit ran away; the segment is then the starting one.
    """

    segment: Segment
    flux: float
    flux_err: float
    sigma_px: float
    sigma_err: float
    along_err: float
    across_err: float
    length_err: float
    theta_err_deg: float
    snr: float
    chi2: float
    n_pixels: int
    converged: bool


def line_noise(length_px: Any, sigma_px: float) -> Any:
    """Noise of the integral of PSF-filtered white noise along a line of some length.

    The filtered image has unit variance and correlation ``exp(-d**2 / (4 s**2))``; its integral
    over a length L then has variance ``2 int_0^L (L - t) exp(-t**2 / (4 s**2)) dt``. A line's sum
    over this is the matched filter's S/N for the trail.

    Parameters
    ----------
    length_px : (...)
        Lengths of lines, px.
    sigma_px
        Width of the Gaussian PSF, above 0.

    Returns
    -------
    (...)
        Standard deviation of the integral, in sigma of the filtered image times px; 1e-6 at least.
    """
    s = sigma_px
    if isinstance(length_px, float):  # a thousand times a frame: NumPy is slow to begin
        widths = length_px / (2.0 * s)
        at_once = length_px * s * math.sqrt(math.pi) * math.erf(widths)
        return math.sqrt(max(2.0 * (at_once + 2.0 * s * s * math.expm1(-widths * widths)), 1e-12))
    length = np.asarray(length_px, dtype=float)
    t = length / (2.0 * s)
    variance = 2.0 * (length * s * math.sqrt(math.pi) * erf(t) - 2.0 * s * s * -np.expm1(-t * t))
    return np.sqrt(np.maximum(variance, 1e-12))


def trail_model(
    shape: tuple[int, int], segment: Segment, flux: float, sigma_px: float
) -> NDArray[np.float64]:
    """Image of one trail, (ny, nx), at pixel centres.

    Parameters
    ----------
    shape : (ny, nx)
        Of the image.
    segment
        Ends in 0-based pixels; they may lie outside the image, and that light is then missing.
    flux
        Sum of the whole trail, in any unit.
    sigma_px
        Width of the Gaussian PSF, above 0.

    Returns
    -------
    (ny, nx)
        In the unit of `flux`, per pixel. Values at pixel centres, not averaged over pixels.

    References
    ----------
    Vereš et al. 2012, PASP 124, 1197, eq. 3.
    """
    y, x = np.mgrid[: shape[0], : shape[1]]
    values = trail_template(x.ravel().astype(float), y.ravel().astype(float), segment, sigma_px)
    return flux * values.reshape(shape)


def fit_trail(
    z: NDArray[np.float32],
    usable: NDArray[np.bool_],
    start: Segment,
    *,
    sigma_px: float,
    noise_factor: float = 1.0,
    source_variance: float = 0.0,
) -> TrailFit:
    """Least-squares fit of a trail to a standardised image.

    Parameters
    ----------
    z : (ny, nx) float32
        Image over its noise.
    usable : (ny, nx) bool
    start
        Where to begin.
    sigma_px
        Width of the PSF.
    noise_factor
        Variance of the PSF-filtered noise over that of white noise; errors grow with its root.
    source_variance
        Variance that one unit of the trail's own light adds (``1 / (gain * sigma)`` for a
        standardised image); 0 where unknown.

    Returns
    -------
    TrailFit
        The ends are cut to the image, smaller x first. Where ``converged`` is False (fewer than 8
        usable pixels, a fit that ran away) the segment is `start`, the width `sigma_px`, and flux,
        S/N and all errors are NaN.

    References
    ----------
    Vereš et al. 2012, PASP 124, 1197, eq. 3.
    """
    # Plain floats: for each other kind of number the loops would be compiled anew.
    ends = (float(start.x0), float(start.y0), float(start.x1), float(start.y1))
    more = (float(start.length_px), float(sigma_px), float(source_variance), float(noise_factor))
    p, numbers, n_pixels, good = fit_near(z, usable, *ends, *more)
    if not good:
        return _failed(start, sigma_px, n_pixels)
    snr, chi2, *errors = numbers.tolist()
    return TrailFit(
        segment=_segment_of(p).ordered(),
        flux=float(p[4]),
        sigma_px=float(p[5]),
        snr=snr,
        chi2=chi2,
        n_pixels=n_pixels,
        converged=True,
        **dict(zip(_ERRORS, errors, strict=True)),
    )


def with_correlated_noise(
    fit: TrailFit,
    usable: NDArray[np.bool_],
    correlation: NDArray[np.float64],
    *,
    sigma_px: float,
    source_variance: float = 0.0,
    z: NDArray[np.float32] | None = None,
) -> TrailFit:
    """The same fit with the errors that noise of this correlation leaves.

    One factor for all parameters is right for the flux; where a trail ends and lies across follows
    from differences of pixels, on which positively correlated noise weighs less.

    Parameters
    ----------
    fit
        As it came from `fit_trail`, or with its ends moved since.
    usable : (ny, nx) bool
    correlation : (2 r + 1, 2 r + 1)
        Of pixel noise, centre 1.
    sigma_px
        Width of the PSF.
    source_variance
        As in `fit_trail`.
    z : (ny, nx) float32 or None
        Any image of this kind: only where its pixels are is asked for, not what they hold.

    Returns
    -------
    TrailFit
        With other errors only; `fit` itself where it did not converge, where the correlation is
        white, or where there are too few pixels (8) to tell.
    """
    radius = correlation.shape[0] // 2
    if not fit.converged or np.count_nonzero(correlation) <= 1:
        return fit
    seg = fit.segment
    image = np.zeros(usable.shape, np.float32) if z is None else z
    x, y, _ = pixels_near(image, usable, seg, REACH_SIGMA * fit.sigma_px)
    if len(x) < 8:
        return fit
    theta = math.atan2(seg.y1 - seg.y0, seg.x1 - seg.x0)
    length = max(seg.length_px, MIN_LENGTH_PX)
    p = np.array([*seg.midpoint, theta, length, fit.flux, fit.sigma_px])
    model, jacobian = np.empty(len(x)), np.empty((6, len(x)))
    evaluate(p, x, y, model, jacobian)
    blurred = correlated(jacobian, x.astype(np.int64), y.astype(np.int64), correlation, radius)
    covariance = covariance_of(
        jacobian @ jacobian.T, jacobian @ blurred.T, jacobian, model, *width_prior(sigma_px),
        source_variance,
    )  # fmt: skip
    if math.isnan(covariance[0, 0]):
        return fit
    errors = errors_of(p, covariance, fit.snr).tolist()
    return replace(fit, **dict(zip(_ERRORS, errors, strict=True)))


def _segment_of(p: NDArray[np.float64]) -> Segment:
    half_x, half_y = 0.5 * p[3] * math.cos(p[2]), 0.5 * p[3] * math.sin(p[2])
    return Segment(p[0] - half_x, p[1] - half_y, p[0] + half_x, p[1] + half_y)


def _failed(start: Segment, sigma_px: float, n_pixels: int) -> TrailFit:
    nan = math.nan
    return TrailFit(start, nan, nan, sigma_px, nan, nan, nan, nan, nan, nan, nan, n_pixels, False)


def trail_template(
    x: NDArray[np.float64], y: NDArray[np.float64], segment: Segment, sigma_px: float
) -> NDArray[np.float64]:
    """A trail of unit flux at given places, each (n,).

    Parameters
    ----------
    x, y : (n,)
        Where to evaluate, 0-based px.
    segment
        Ends in 0-based pixels; a length below 0.05 px counts as that.
    sigma_px
        Width of the Gaussian PSF, above 0.

    Returns
    -------
    (n,)
        Per square pixel: it sums to 1 over a whole image.

    References
    ----------
    Vereš et al. 2012, PASP 124, 1197, eq. 3.
    """
    xm, ym = segment.midpoint
    theta = math.atan2(segment.y1 - segment.y0, segment.x1 - segment.x0)
    values, jacobian = np.empty(len(x)), np.empty((6, len(x)))
    p = np.array([xm, ym, theta, max(segment.length_px, MIN_LENGTH_PX), 1.0, sigma_px])
    evaluate(p, x, y, values, jacobian)
    return values


def pixels_near(
    image: NDArray[Any], usable: NDArray[np.bool_], segment: Segment, reach_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """x, y and values of the usable pixels within a reach of a segment, each (n,).

    Parameters
    ----------
    image : (ny, nx)
        Where the values are read.
    usable : (ny, nx) bool
        False where a pixel must be left out.
    segment
        Ends in 0-based pixels, in either order.
    reach_px
        Distance from the segment's line, and beyond its ends along the longer axis, px.

    Returns
    -------
    x, y, values : (n,)
        Places in 0-based pixels, and what the image holds there. n is 0 where nothing is usable.
    """
    x, y, values = gather(image, usable, segment.x0, segment.y0, segment.x1, segment.y1, reach_px)
    return x, y, values
