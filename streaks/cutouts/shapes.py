"""The shape of the source in the middle of a stamp: one elliptical Gaussian, with its errors.

A stream has a thousand stamps a second, most of them plain points. One Gaussian of any width,
length and direction is fitted to each (0.1 ms). Compared with the same fit to the stamp's PSF it
tells the length of a trail and its error: second moments of a uniform trail are those of the PSF
plus length**2 / 12 along it. What is surely shorter than the PSF is wide needs no classifier.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Shapes", "measure_shapes", "psf_moments"]

_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
#: How far from the middle the source may lie, px.
_REACH_PX = 6
#: Half of the side of what is fitted to, px.
_HALF_PX = 24
#: Where no PSF is known: sigma to begin with, px.
_START_SIGMA_PX = 1.1
#: Pixels count out to this many sigma of the PSF, at least and at most so many px.
_OUT_TO, _LEAST_OUT_PX = 3.5, 6
#: What comes out longer than this many sigma of the PSF is fitted again with all pixels.
_LONG_SIGMA = 2.0
_STEPS = 20
#: Steps end where they gain less than this share.
_GAIN = 1e-4
#: No PSF is a Gaussian: so much of the model's brightness is taken for its error; more where the
#: pixels' own variance, with the light's noise in it, is not told.
_MODEL_ERROR, _MODEL_ERROR_UNTOLD = 0.05, 0.10
#: Second moments that a fit may have, px**2.
_LEAST_MOMENT, _MOST_MOMENT = 0.12, 400.0
#: The PSF of a stamp is known to this share of its second moments.
_PSF_KNOWN = 0.16
#: Results of one fit.
_N_FITTED = 15
#: A stamp with fewer pixels is not fitted.
_LEAST_PIXELS = 25

#: Longer than this share of the FWHM is a trail (as `streaks.cutouts.elongation` has it); where no
#: PSF is known the share that an elongated PSF (axes of 1.3 to 1) would have.
_SHORTEST, _SHORTEST_UNKNOWN = 0.9, 1.25
#: So many sigma make a bound, and elongation of fewer is none, unless it is of so many FWHM.
_SURE, _NO_SIGN, _NO_SIGN_WIDTHS = 1.7, 2.0, 2.0
#: A fainter source is not told, S/N.
_LEAST_SNR = 4.0
#: Residuals of a plain point, chi-square a pixel.
_MOST_CHI2 = 2.0
#: Second moments of a plain point, as shares of the PSF's.
_NARROW, _WIDE = 0.6, 1.8
#: A Gaussian fitted to a uniform trail is longer than its second moments say. Lengths by the fit
#: and true ones, in sigma of the PSF: least squares of a Gaussian to a box blurred by one.
_FITTED = np.array([0.0, 0.502, 1.012, 2.088, 3.252, 4.483, 7.019, 9.563, 14.606, 19.61, 29.567,
                    49.412, 99.024])  # fmt: skip
_TRUE = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 40.0, 80.0])
#: FWHM of a plain point where no PSF is known, px.
_USUAL_FWHM_PX = (1.4, 4.8)


@dataclass(frozen=True, eq=False)
class Shapes:
    """Of the source nearest to the middle of each of n stamps; NaN where nothing fits.

    Parameters
    ----------
    snr : (n,)
        Of the source, by the fit.
    fwhm_px : (n,)
        Of the PSF where it is known, else of the source across.
    elongation, elongation_err : (n,)
        Ratio of the longer axis to the shorter, and its 1-sigma error.
    length_px, length_err_px : (n,)
        Of a uniform trail that such a Gaussian fits best, and its 1-sigma error: the PSF's second
        moments are taken off. 0 with the error as a bound where it is no longer than the PSF.
    theta_deg : (n,)
        Direction of the longer axis, from +x towards +y, in [0, 180).
    chi2 : (n,)
        Chi-square a pixel of what the fit leaves.
    is_point : (n,) bool
        Of the PSF's width, nothing else beside it, and no trail: surely shorter, or without a sign
        of length that noise does not make.
    """

    snr: NDArray[np.float64]
    fwhm_px: NDArray[np.float64]
    elongation: NDArray[np.float64]
    elongation_err: NDArray[np.float64]
    length_px: NDArray[np.float64]
    length_err_px: NDArray[np.float64]
    theta_deg: NDArray[np.float64]
    chi2: NDArray[np.float64]
    is_point: NDArray[np.bool_]


def measure_shapes(
    stamps: Sequence[NDArray[np.float32] | None],
    *,
    variances: Sequence[NDArray[np.float32] | None] | None = None,
    psfs: Sequence[NDArray[np.float64] | None] | None = None,
) -> Shapes:
    """Fit an elliptical Gaussian to the middle of each stamp.

    Parameters
    ----------
    stamps
        n images of any size, the source positive; NaN where there is no data. None is no stamp.
    variances
        Of their pixels, where the survey tells; else the noise is that of the stamp itself.
    psfs : n of (3,), px**2
        Second moments xx, yy, xy of each PSF (`psf_moments`); None where it is not known.

    Returns
    -------
    Shapes
    """
    n = len(stamps)
    variances = [None] * n if variances is None else variances
    psfs = [None] * n if psfs is None else psfs
    fits = np.full((n, _N_FITTED), np.nan)
    psf = np.full((n, 3), np.nan)
    none = np.zeros((0, 0), np.float32)
    for i, stamp in enumerate(stamps):
        if stamp is None or min(stamp.shape) < 5:
            continue
        known = psfs[i]
        if known is not None:
            psf[i] = known
        sigma = _START_SIGMA_PX if known is None else math.sqrt(max(known[0] + known[1], 0.3) / 2)
        variance = variances[i]
        fits[i] = _fit_one(
            np.ascontiguousarray(stamp, dtype=np.float32),
            none if variance is None or variance.shape != stamp.shape
            else np.ascontiguousarray(variance, dtype=np.float32),
            sigma,
        )  # fmt: skip
    return _judged(fits, psf)


def psf_moments(image: NDArray[Any]) -> NDArray[np.float64] | None:
    """Second moments of a PSF, by the fit that stamps are measured with.

    Parameters
    ----------
    image : (ny, nx)
        The PSF, its peak near the middle.

    Returns
    -------
    (3,) float64 or None
        xx, yy, xy in px**2; None where it is no picture of a PSF.
    """
    if image.ndim != 2 or not 5 <= min(image.shape) <= max(image.shape) <= 512:
        return None
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
    peak = values.max()
    if not peak > 0:
        return None
    scaled = (values / peak * 1e3).astype(np.float32)
    fit = _fit_one(scaled, np.ones_like(scaled), 2.0)
    return None if not np.isfinite(fit[3:6]).all() else fit[3:6].copy()


def _judged(fits: NDArray[np.float64], psf: NDArray[np.float64]) -> Shapes:
    """What the fits tell, n at a time."""
    snr, sxx, syy, sxy = fits[:, 0], fits[:, 3], fits[:, 4], fits[:, 5]
    cov = fits[:, 6:12]
    with np.errstate(invalid="ignore", divide="ignore"):
        long, short, angle = _axes(sxx, syy, sxy)
        var_long, var_short, both = _axis_errors(angle, cov)
        ratio = np.sqrt(long / short)
        ratio_err = 0.5 * ratio * np.sqrt(np.maximum(
            var_long / long**2 + var_short / short**2 - 2.0 * both / (long * short), 0.0
        ))  # fmt: skip
        known = np.asarray(np.isfinite(psf).all(axis=1))
        base = np.where(known[:, None], psf, np.stack([short, short, np.zeros_like(short)], axis=1))
        size = 0.5 * (base[:, 0] + base[:, 1])
        beyond, _, turned = _axes(sxx - base[:, 0], syy - base[:, 1], sxy - base[:, 2])
        var_beyond, _, _ = _axis_errors(turned, cov)
        if_unknown = np.maximum(var_long + var_short - 2.0 * both, 0.0)
        err = np.sqrt(np.where(known, var_beyond, if_unknown))
        give = np.where(known, _PSF_KNOWN * size, 0.0)
        by_fit = np.sqrt(12.0 * np.maximum(beyond, 0.0))
        sigma = np.sqrt(size)
        length = _true_length(by_fit, sigma)
        bound = _true_length(np.sqrt(12.0 * np.maximum(beyond + _SURE * err + give, 0.0)), sigma)
        length_err = np.where(
            length > 0,
            np.minimum(6.0 * np.hypot(err, give) / by_fit * (length / by_fit), bound),
            bound,
        )
        fwhm = _FWHM_PER_SIGMA * np.sqrt(size)
        usual = np.where(
            known,
            (short + 2.0 * np.sqrt(var_short) > _NARROW * size)
            & (long - 2.0 * np.sqrt(var_long) < _WIDE * size),
            (fwhm > _USUAL_FWHM_PX[0]) & (fwhm < _USUAL_FWHM_PX[1]),
        )
        point = (snr >= _LEAST_SNR) & (fits[:, 12] < _MOST_CHI2) & usual
        short_of = np.where(known, _SHORTEST, _SHORTEST_UNKNOWN) * fwhm
        sign = np.where(known, beyond / err, (ratio - 1.0) / ratio_err)
        # What a longer look would not call a trail either: too short, or by noise.
        point &= (bound < short_of) | ((sign < _NO_SIGN) & (length < _NO_SIGN_WIDTHS * fwhm))
    theta = np.mod(np.degrees(np.where(known & (beyond > 0), turned, angle)), 180.0)
    return Shapes(
        snr, fwhm, ratio, ratio_err, length, length_err, theta, fits[:, 12], point.astype(bool)
    )


def _true_length(by_fit: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of uniform trails from those of the Gaussians fitted to them, px."""
    last = _TRUE[-1] / _FITTED[-1]
    share = by_fit / sigma
    found = np.where(share > _FITTED[-1], share * last, np.interp(share, _FITTED, _TRUE))
    return np.asarray(found * sigma)


def _axes(
    sxx: NDArray[np.float64], syy: NDArray[np.float64], sxy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Larger and smaller eigenvalue of second moments, and the direction of the larger, rad."""
    mean, half = 0.5 * (sxx + syy), np.hypot(0.5 * (sxx - syy), sxy)
    return mean + half, mean - half, 0.5 * np.arctan2(2.0 * sxy, sxx - syy)


def _axis_errors(
    angle: NDArray[np.float64], cov: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Variances of both eigenvalues, and their covariance.

    ``cov`` has the covariances of (xx, yy, xy): 00, 11, 22, 01, 02, 12.
    """
    c, s = np.cos(angle), np.sin(angle)
    first = np.stack([c * c, s * s, 2.0 * c * s], axis=1)
    second = np.stack([s * s, c * c, -2.0 * c * s], axis=1)
    matrix = np.empty((len(cov), 3, 3))
    for k, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
        matrix[:, i, j] = matrix[:, j, i] = cov[:, k]
    one = np.einsum("ni,nij,nj->n", first, matrix, first)
    two = np.einsum("ni,nij,nj->n", second, matrix, second)
    return one, two, np.einsum("ni,nij,nj->n", first, matrix, second)


def _fit_one(
    image: NDArray[np.float32], variance: NDArray[np.float32], sigma: float
) -> NDArray[np.float64]:
    """What `_fit_from` finds, above the median of the image; NaN where too little is there."""
    finite = np.isfinite(image)
    values = (image if finite.all() else image[finite]).ravel().astype(np.float64)
    if len(values) < _LEAST_PIXELS:
        return np.full(_N_FITTED, np.nan)
    # NumPy's partition takes a sixth of the time of a compiled median.
    level = _median(values)
    noise = 1.4826 * _median(np.abs(values - level))
    return np.asarray(_fit_from(image, variance, level, noise, sigma))


def _median(values: NDArray[np.float64]) -> float:
    middle = len(values) // 2
    ordered = np.partition(values, middle)
    if len(values) % 2:
        return float(ordered[middle])
    return 0.5 * float(ordered[:middle].max() + ordered[middle])


@numba.njit(cache=True, nogil=True)
def _fit_from(image, variance, level, noise, sigma):  # type: ignore[no-untyped-def]
    """S/N, x, y, xx, yy, xy, six covariances of these three, chi-square a pixel, flux, noise."""
    out = np.full(_N_FITTED, np.nan)
    ny, nx = image.shape
    has_variance = variance.shape[0] == ny and variance.shape[1] == nx
    if has_variance and noise < 1e-3:
        level = 0.0  # a model of a PSF: dark all round
    if not noise > 0 and not has_variance:
        return out
    # The brightest place near the middle, over 3 x 3 px.
    best, x0, y0 = -np.inf, -1.0, -1.0
    for iy in range(max(1, ny // 2 - _REACH_PX), min(ny - 1, ny // 2 + _REACH_PX + 1)):
        for ix in range(max(1, nx // 2 - _REACH_PX), min(nx - 1, nx // 2 + _REACH_PX + 1)):
            total, some = 0.0, 0
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    v = image[iy + dy, ix + dx]
                    if np.isfinite(v):
                        total += v - level
                        some += 1
            if some >= 5 and total / some > best:
                best, x0, y0 = total / some, float(ix), float(iy)
    if not best > 0:
        return out
    p = np.array([best, x0, y0, sigma * sigma, sigma * sigma, 0.0])
    hessian = np.zeros((6, 6))
    reach = min(_HALF_PX, max(_LEAST_OUT_PX, int(_OUT_TO * sigma) + 1))
    peak = best
    cost, chi2 = _descend(image, variance, level, noise, peak, p, hessian, reach)
    if not np.isfinite(cost):
        return out
    long = 0.5 * (p[3] + p[4]) + math.hypot(0.5 * (p[3] - p[4]), p[5])
    if reach < _HALF_PX and long > (_LONG_SIGMA * sigma) ** 2:
        cost, chi2 = _descend(image, variance, level, noise, peak, p, hessian, _HALF_PX)
    if not np.isfinite(cost):
        return out
    for i in range(6):
        hessian[i, i] = hessian[i, i] * (1.0 + 1e-9) + 1e-20
    cov = np.linalg.inv(hessian)
    # Where the model leaves more than noise, the errors are larger than noise says.
    factor = max(1.0, chi2)
    if not cov[0, 0] > 0:
        return out
    out[0] = p[0] / math.sqrt(cov[0, 0])
    out[1:6] = p[1:6]
    out[6] = cov[3, 3] * factor
    out[7] = cov[4, 4] * factor
    out[8] = cov[5, 5] * factor
    out[9] = cov[3, 4] * factor
    out[10] = cov[3, 5] * factor
    out[11] = cov[4, 5] * factor
    out[12] = chi2
    out[13] = 2.0 * math.pi * p[0] * math.sqrt(max(p[3] * p[4] - p[5] * p[5], 0.0))
    out[14] = noise
    return out


@numba.njit(cache=True, nogil=True)
def _descend(image, variance, level, noise, peak, p, kept, reach):  # type: ignore[no-untyped-def]
    """Levenberg-Marquardt from p, which is changed, as is the matrix; cost and chi-square a px."""
    damping, cost, chi2 = 1e-3, np.inf, np.nan
    x0, y0 = p[1], p[2]
    trial, hessian = p.copy(), np.zeros((6, 6))
    gradient, kept_gradient = np.zeros(6), np.zeros(6)
    for _ in range(_STEPS):
        sxx, syy, sxy = trial[3], trial[4], trial[5]
        valid = (
            sxx * syy - sxy * sxy > _LEAST_MOMENT * _LEAST_MOMENT
            and sxx > _LEAST_MOMENT and syy > _LEAST_MOMENT
            and sxx < _MOST_MOMENT and syy < _MOST_MOMENT
            and abs(trial[1] - x0) <= 4.0 and abs(trial[2] - y0) <= 4.0 and trial[0] > 0
        )  # fmt: skip
        new_cost, new_chi2 = np.inf, np.nan
        if valid:
            new_cost, new_chi2 = _evaluate(
                image, variance, level, noise, peak, trial, hessian, gradient, x0, y0, reach
            )
        if new_cost < cost:
            gained = cost - new_cost
            p[:] = trial
            kept[:] = hessian
            kept_gradient[:] = gradient
            cost, chi2 = new_cost, new_chi2
            damping = max(damping * 0.1, 1e-7)
            if gained < _GAIN * new_cost:
                break
        else:
            damping *= 10.0
            if damping > 1e6:
                break
        damped = kept.copy()
        for i in range(6):
            damped[i, i] = damped[i, i] * (1.0 + damping) + 1e-20
        trial = p + np.linalg.solve(damped, kept_gradient)
    return cost, chi2


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _evaluate(  # type: ignore[no-untyped-def]
    image, variance, level, noise, peak, p, hessian, gradient, x0, y0, reach
):
    """Cost a pixel of a model, chi-square a pixel of its core; matrix and gradient are filled."""
    ny, nx = image.shape
    a, cx, cy, sxx, syy, sxy = p
    det = sxx * syy - sxy * sxy
    qxx, qyy, qxy = syy / det, sxx / det, -sxy / det
    has_variance = variance.shape[0] == ny and variance.shape[1] == nx
    cost, n_used, core, n_core = 0.0, 0, 0.0, 0
    h = np.zeros((6, 6))
    grad = np.zeros(6)
    slope = np.zeros(6)
    plain = noise * noise
    share = _MODEL_ERROR if has_variance else _MODEL_ERROR_UNTOLD
    model_error = (share * peak) ** 2
    for iy in range(max(0, int(y0) - reach), min(ny, int(y0) + reach + 1)):
        for ix in range(max(0, int(x0) - reach), min(nx, int(x0) + reach + 1)):
            v = image[iy, ix]
            var = plain
            if has_variance:
                var = variance[iy, ix]
            if not (np.isfinite(v) and var > 0 and np.isfinite(var)):
                continue
            dx, dy = ix - cx, iy - cy
            u, w = qxx * dx + qxy * dy, qxy * dx + qyy * dy
            r2 = u * dx + w * dy
            rest = v - level
            n_used += 1
            if r2 > 20.0:  # 5e-5 of the peak
                cost += rest * rest / var
                continue
            g = math.exp(-0.5 * r2)
            m = a * g
            weight = 1.0 / (var + model_error * g)
            rest -= m
            gain = rest * rest * weight
            cost += gain
            if r2 < 9.0:
                core += gain
                n_core += 1
            slope[0] = g
            slope[1] = m * u
            slope[2] = m * w
            slope[3] = 0.5 * m * u * u
            slope[4] = 0.5 * m * w * w
            slope[5] = m * u * w
            for i in range(6):
                weighted = slope[i] * weight
                grad[i] += weighted * rest
                for j in range(i + 1):
                    h[i, j] += weighted * slope[j]
    if n_used < 12 or n_core < 4:
        return np.inf, np.nan
    for i in range(6):
        gradient[i] = grad[i]
        for j in range(i + 1):
            hessian[i, j] = hessian[j, i] = h[i, j]
    return cost / n_used, core / n_core
