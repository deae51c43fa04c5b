"""The loops of the trail fit, compiled: over pixels, and over steps of the fit."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks import geometry

__all__ = [
    "MIN_LENGTH_PX",
    "REACH_SIGMA",
    "correlated",
    "covariance_of",
    "errors_of",
    "evaluate",
    "fit_near",
    "gather",
    "levenberg",
    "measured",
    "shares_inside",
    "width_prior",
]

#: The same as for segments one by one, compiled.
shares_inside = njit(cache=True, nogil=True, error_model="numpy")(geometry.shares_inside)


#: Below this a trail is a point, and its direction means nothing.
MIN_LENGTH_PX = 0.05
#: Residuals beyond this many sigma are somebody else's light; their weight falls off.
_HUBER = 4.0
#: A fit has arrived where a step changes a good chi-square by less than this.
_LITTLE = 0.003
#: Where a trail's surface brightness is below the noise, its end is a step in noise, found to a
#: few times the length over which chi-square changes by one (Yao 1987, Ann. Stat. 15, 1321); the
#: curvature of chi-square at the end knows nothing of it. The factor is from simulated trails.
_END_SPREAD = 3.0
#: What both ends' spread adds to the variance of the length. More than 2: the middle of a peaked
#: distribution widens by more than the root of two where two of it add up.
_BOTH_ENDS = 2.8
#: S/N at which errors across are 1.4 times those of the linear fit, from simulated trails.
_FAINT_SNR = 4.0
#: Pixels within this many sigma of the track belong to the fit.
REACH_SIGMA = 4.0
#: Starting places of longer trails are good to half a pixel.
_LONG_PX = 64.0
#: A prior on the width across keeps faint trails from trading width for flux, share of the PSF's.
_WIDTH_PRIOR = 0.15
#: The PSF of a frame is known to about this share: what the prior adds to errors.
_PSF_KNOWN = 0.05


@njit(cache=True, nogil=True)
def gather(z, usable, x0, y0, x1, y1, reach):  # type: ignore[no-untyped-def]
    """Usable pixels within a reach of a segment, walking its longer axis.

    Parameters
    ----------
    z : (ny, nx)
        Image to read the values from.
    usable : (ny, nx) bool
        False where a pixel must be left out.
    x0, y0, x1, y1
        Ends of the segment, in either order, 0-based px.
    reach
        How far from the segment's line pixels are taken, px. They are also taken this far beyond
        each end, along the longer axis.

    Returns
    -------
    x, y, values : (n,) float
        Places and values of the pixels; n is 0 where none is usable.
    """
    ny, nx = z.shape
    steep = abs(y1 - y0) > abs(x1 - x0)
    if steep:
        x0, y0, x1, y1 = y0, x0, y1, x1
        nu, nv = ny, nx
    else:
        nu, nv = nx, ny
    if x1 < x0:
        x0, y0, x1, y1 = x1, y1, x0, y0
    slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
    stretch = math.sqrt(1.0 + slope * slope)
    u_low = max(0, math.ceil(x0 - reach))
    u_high = min(nu - 1, math.floor(x1 + reach))
    n_max = max(0, u_high - u_low + 1) * (2 * math.ceil(reach * stretch) + 1)
    xs, ys, values = np.empty(n_max), np.empty(n_max), np.empty(n_max)
    n = 0
    for u in range(u_low, u_high + 1):
        v_line = y0 + slope * (u - x0)
        v_low = max(0, math.ceil(v_line - reach * stretch))
        v_high = min(nv - 1, math.floor(v_line + reach * stretch))
        for v in range(v_low, v_high + 1):
            row, column = (u, v) if steep else (v, u)
            if usable[row, column]:
                xs[n], ys[n], values[n] = column, row, z[row, column]
                n += 1
    return xs[:n], ys[:n], values[:n]


@njit(cache=True, fastmath=True, inline="always")
def _gauss(a):  # type: ignore[no-untyped-def]
    """``exp(-a**2 / 2)``, good to 5e-6 of itself at 9 sigma and far better near 0.

    Without a branch or a call, so that a processor works on several pixels at once: the 256th
    part of the exponent by its series, then squared eight times.
    """
    q = min(0.5 * a * a, 40.0) * (-1.0 / 256.0)
    e = 1.0 + q * (1.0 + q * (0.5 + q * (1.0 / 6.0 + q * (1.0 / 24.0 + q * (1.0 / 120.0)))))
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e


@njit(cache=True, fastmath=True, inline="always")
def _erf(a, gauss):  # type: ignore[no-untyped-def]
    """``erf(a / sqrt(2))`` from ``exp(-a**2 / 2)``, good to 1.5e-7 (Abramowitz & Stegun 7.1.26)."""
    t = 1.0 / (1.0 + 0.3275911 * math.sqrt(0.5) * abs(a))
    series = t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))
    value = 1.0 - t * (0.254829592 + t * (-0.284496736 + series)) * gauss
    return value if a > 0.0 else -value


@njit(cache=True, fastmath=True, error_model="numpy", nogil=True)
def evaluate(p, x, y, model, jacobian):  # type: ignore[no-untyped-def]
    """Model (n,) and its derivatives (6, n) by xm, ym, theta, length, flux, sigma.

    Parameters
    ----------
    p : (6,)
        Midpoint x and y (px), direction (rad), length (px, above 0), flux (units of the noise),
        width sigma (px, above 0).
    x, y : (n,)
        Where to evaluate, 0-based px.
    model : (n,)
        Gets the trail's value at each place, per square pixel.
    jacobian : (6, n)
        Gets the derivatives by the six of `p`, in their order and units.

    References
    ----------
    Vereš et al. 2012, PASP 124, 1197, eq. 3.
    """
    c, s = math.cos(p[2]), math.sin(p[2])
    xm, ym, length, flux, sigma = p[0], p[1], p[3], p[4], p[5]
    density = 1.0 / math.sqrt(2.0 * math.pi)
    per_sigma, per_length = 1.0 / sigma, 1.0 / length
    half = 0.5 * length * per_sigma
    by_xm, by_ym, by_theta = jacobian[0], jacobian[1], jacobian[2]
    by_length, by_flux, by_sigma = jacobian[3], jacobian[4], jacobian[5]
    for i in range(x.size):
        dx, dy = x[i] - xm, y[i] - ym
        # In units of sigma: place along and across the track, distance from both ends.
        u, v = (dx * c + dy * s) * per_sigma, (dy * c - dx * s) * per_sigma
        a, b = u + half, u - half
        ga, gb = _gauss(a), _gauss(b)
        fa, fb = density * ga, density * gb
        across = density * per_sigma * _gauss(v)
        unit = across * 0.5 * (_erf(a, ga) - _erf(b, gb)) * per_length
        by_u = across * (fa - fb) * per_sigma * per_length
        by_v = -v * per_sigma * unit
        model[i] = flux * unit
        by_xm[i] = flux * (-c * by_u + s * by_v)
        by_ym[i] = flux * (-s * by_u - c * by_v)
        by_theta[i] = flux * (v * by_u - u * by_v) * sigma
        by_length[i] = flux * per_length * (across * (fa + fb) * 0.5 * per_sigma - unit)
        by_flux[i] = unit
        by_sigma[i] = (
            flux * per_sigma * (unit * (v * v - 1.0) - across * (a * fa - b * fb) * per_length)
        )


@njit(cache=True, nogil=True)
def _correlated(values, x, y, correlation, radius):  # type: ignore[no-untyped-def]
    k, n = values.shape
    turned = _extent(y) > _extent(x)
    along, across = (y, x) if turned else (x, y)
    place, start, first = _places(along, across)
    # Pixel by pixel: the numbers of one lie together.
    of_pixel, out, blurred = np.empty((n, k)), np.zeros((n, k)), np.empty((k, n))
    for j in range(k):
        for i in range(n):
            of_pixel[i, j] = values[j, i]
    for i in range(n):
        for du in range(-radius, radius + 1):
            u = along[i] - first + du
            if u < 0 or u >= len(start) - 1:
                continue
            for dv in range(-radius, radius + 1):
                dy, dx = (du, dv) if turned else (dv, du)
                share = correlation[radius + dy, radius + dx]
                at = across[i] + dv - start[u, 1]
                if share == 0.0 or at < 0 or at >= start[u + 1, 0] - start[u, 0]:
                    continue
                other = place[start[u, 0] + at]
                if other >= 0:
                    for j in range(k):
                        out[i, j] += share * of_pixel[other, j]
    for j in range(k):
        for i in range(n):
            blurred[j, i] = out[i, j]
    return blurred


@njit(cache=True, nogil=True)
def _extent(places):  # type: ignore[no-untyped-def]
    low = high = places[0]
    for place in places:
        low, high = min(low, place), max(high, place)
    return high - low


def correlated(
    values: NDArray[np.float64],
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    correlation: NDArray[np.float64],
    radius: int,
) -> NDArray[np.float64]:
    """Rows of values (k, n) at pixels x, y after the correlation of noise between those pixels.

    Parameters
    ----------
    values : (k, n)
        k numbers of each pixel.
    x, y : (n,) int
        Places of the pixels, 0-based; at least one. Pixels that are not among them count as 0.
    correlation : (2 radius + 1, 2 radius + 1)
        Of noise between pixels ``(dy, dx)`` apart; its centre is 1.
    radius
        Largest lag of the correlation, px.

    Returns
    -------
    (k, n)
        For each pixel the sum of the values about it, each times its correlation.
    """
    return np.asarray(_correlated(values, x, y, correlation, radius))


@njit(cache=True, nogil=True)
def _places(along, across):  # type: ignore[no-untyped-def]
    """Where each pixel stands in a list, by its place along and across: as a ragged table.

    The table, where each of its rows begins and at which place across, and the first place along.
    """
    n, first, last = len(along), along[0], along[0]
    for i in range(n):
        first, last = min(first, along[i]), max(last, along[i])
    rows = last - first + 1
    low, high = np.empty(rows, np.int64), np.empty(rows, np.int64)
    for u in range(rows):
        low[u], high[u] = 2**62, -(2**62)
    for i in range(n):
        u = along[i] - first
        low[u], high[u] = min(low[u], across[i]), max(high[u], across[i])
    start = np.zeros((rows + 1, 2), np.int64)
    for u in range(rows):
        start[u, 1] = low[u]
        start[u + 1, 0] = start[u, 0] + max(high[u] - low[u] + 1, 0)
    place = np.empty(start[rows, 0], np.int64)
    for i in range(len(place)):
        place[i] = -1
    for i in range(n):
        u = along[i] - first
        place[start[u, 0] + across[i] - low[u]] = i
    return place, start, first


@njit(cache=True, fastmath=True, error_model="numpy", nogil=True)
def _cost(values, model, sigma, prior_sigma, prior_weight):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(values.size):
        # The model itself is good to a few per cent: bright trails must not be torn apart by
        # the PSF's wings.
        r = abs(values[i] - model[i]) / math.sqrt(1.0 + 0.0025 * model[i] * model[i])
        total += r * r if r < _HUBER else _HUBER * (2.0 * r - _HUBER)
    return total + prior_weight * (sigma - prior_sigma) ** 2


@njit(cache=True, fastmath=True, error_model="numpy", nogil=True)
def _normal_equations(values, model, jacobian, residual, weighted, hessian, gradient):  # type: ignore[no-untyped-def]
    """Hessian (6, 6) and gradient (6,), with weights that fall off for outliers.

    Sums one by one: for so few pixels a library's product of matrices takes thrice the time.
    """
    for i in range(values.size):
        softened = 1.0 / (1.0 + 0.0025 * model[i] * model[i])
        residual[i] = values[i] - model[i]
        scaled = abs(residual[i]) * math.sqrt(softened)
        w = softened if scaled < _HUBER else softened * _HUBER / scaled
        for j in range(6):
            weighted[j, i] = w * jacobian[j, i]
    for j in range(6):
        row = weighted[j]
        gradient[j] = _sum_of_products(row, residual)
        for k in range(j + 1):
            hessian[j, k] = hessian[k, j] = _sum_of_products(row, jacobian[k])


@njit(cache=True, fastmath=True, nogil=True)
def _sum_of_products(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def _factored(matrix, damping, least, factor):  # type: ignore[no-untyped-def]
    """Cholesky factor of a damped symmetric matrix (6, 6); False where it is not positive."""
    for i in range(6):
        for j in range(i + 1):
            rest = matrix[i, j]
            if i == j:
                rest = rest * (1.0 + damping) + least
            for k in range(j):
                rest -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = rest / factor[j, j]
            elif rest > 0.0:
                factor[i, i] = math.sqrt(rest)
            else:
                return False
    return True


@njit(cache=True, nogil=True)
def _back(factor, right, out):  # type: ignore[no-untyped-def]
    """Solution of the equations of a Cholesky factor."""
    for i in range(6):
        rest = right[i]
        for k in range(i):
            rest -= factor[i, k] * out[k]
        out[i] = rest / factor[i, i]
    for i in range(5, -1, -1):
        rest = out[i]
        for k in range(i + 1, 6):
            rest -= factor[k, i] * out[k]
        out[i] = rest / factor[i, i]


@njit(cache=True, nogil=True)
def _solved(hessian, damping, gradient, step):  # type: ignore[no-untyped-def]
    """Step of the damped normal equations; False where they have none."""
    factor = np.empty((6, 6))
    if not _factored(hessian, damping, 1e-9, factor):
        return False
    _back(factor, gradient, step)
    return True


@njit(cache=True, nogil=True)
def covariance_of(gram, noise, jacobian, model, prior_weight, prior_noise, source):  # type: ignore[no-untyped-def]
    """Of the six parameters, (6, 6), from the fit's normal equations and what noise adds to them.

    With a prior on the width and the variance that a unit of the trail's own light adds. All NaN
    where the equations have no solution.

    Parameters
    ----------
    gram : (6, 6)
        Products of the rows of the Jacobian, summed over pixels: what pixels know of parameters.
    noise : (6, 6)
        The same with the noise's covariance between the two; `gram` itself for white noise.
    jacobian : (6, n)
        From `evaluate`.
    model : (n,)
        From `evaluate`.
    prior_weight
        One over the variance of the prior on the width, px**-2.
    prior_noise
        Variance that a wrong prior adds to the gradient of the width, px**-2.
    source
        Variance that a unit of the trail's own light adds; 0 for none.

    Returns
    -------
    (6, 6)
        In the order and units of `evaluate`'s parameters.
    """
    information, middle = np.empty((6, 6)), np.empty((6, 6))
    for j in range(6):
        for k in range(6):
            information[j, k], middle[j, k] = gram[j, k], noise[j, k]
    information[5, 5] += prior_weight
    middle[5, 5] += prior_noise
    if source > 0.0:
        weighted = np.empty(model.size)
        for j in range(6):
            for i in range(model.size):
                weighted[i] = source * max(model[i], 0.0) * jacobian[j, i]
            for k in range(6):
                middle[j, k] += _sum_of_products(weighted, jacobian[k])
    factor, inverse, unit = np.empty((6, 6)), np.empty((6, 6)), np.empty(6)
    # Of a trail as short as a point two parameters are nearly one.
    solved = _factored(information, 0.0, 0.0, factor) or _factored(information, 1e-9, 0.0, factor)
    for j in range(6):
        for k in range(6):
            unit[k] = 1.0 if k == j else 0.0
        if solved:
            _back(factor, unit, inverse[j])
    # inverse . middle . inverse, both symmetric.
    covariance, half = np.empty((6, 6)), np.empty(6)
    for j in range(6):
        for k in range(6):
            half[k] = _sum_of_products(inverse[j], middle[k])
        for k in range(6):
            covariance[j, k] = _sum_of_products(half, inverse[k]) if solved else np.nan
    return covariance


@njit(cache=True, nogil=True)
def errors_of(p, covariance, snr):  # type: ignore[no-untyped-def]
    """Errors of flux, width, an end along, the midpoint across, length and direction (degrees).

    Parameters
    ----------
    p : (6,)
        Parameters, as in `evaluate`.
    covariance : (6, 6)
        Theirs, from `covariance_of`.
    snr
        S/N of the trail; below about 4 errors across grow by more than 1.4, and those of the ends
        with its inverse square.

    Returns
    -------
    (6,)
        1-sigma errors of flux (units of the noise), width, an end along the track, the midpoint
        across it, the length (all px) and the direction (deg).
    """
    c, s = math.cos(p[2]), math.sin(p[2])
    v = covariance
    # The curvature of chi-square at its minimum promises faint trails more than they keep.
    faint = math.sqrt(1.0 + (_FAINT_SNR / max(snr, 1.0)) ** 2)
    jump = _END_SPREAD * p[3] / max(snr, 1.0) ** 2
    # Ends are symmetric: one number serves both. Masks break this only weakly.
    along = c * c * v[0, 0] + s * s * v[1, 1] + 0.25 * v[3, 3]
    along += 2.0 * c * s * v[0, 1] + c * v[0, 3] + s * v[1, 3]
    across = s * s * v[0, 0] + c * c * v[1, 1] - 2.0 * c * s * v[0, 1]
    out = np.empty(6)
    out[0] = math.sqrt(max(v[4, 4], 0.0))
    out[1] = math.sqrt(max(v[5, 5], 0.0))
    out[2] = math.sqrt(max(along, 0.0) + jump**2)
    out[3] = faint * math.sqrt(max(across, 0.0))
    out[4] = math.sqrt(max(v[3, 3], 0.0) + _BOTH_ENDS * jump**2)
    out[5] = faint * math.degrees(math.sqrt(max(v[2, 2], 0.0)))
    return out


@njit(cache=True, nogil=True)
def measured(p, x, y, values, prior_weight, prior_noise, source, noise_factor):  # type: ignore[no-untyped-def]
    """What pixels tell of a fitted trail: S/N, mean squared residual and `errors_of`.

    NaN where the equations have no solution.

    Parameters
    ----------
    p : (6,)
        Fitted parameters, as in `evaluate`.
    x, y : (n,)
        Pixels of the fit, 0-based; at least one.
    values : (n,)
        Theirs, over the noise.
    prior_weight, prior_noise
        Of the prior on the width, as in `covariance_of`.
    source
        Variance that a unit of the trail's own light adds; 0 for none.
    noise_factor
        Variance of the PSF-filtered noise over that of white noise, 1 for white.

    Returns
    -------
    (8,)
        S/N; mean squared residual of the pixels brighter than 2 % of the brightest of the model;
        then the six numbers of `errors_of`.
    """
    n = x.size
    model, jacobian = np.empty(n), np.empty((6, n))
    evaluate(p, x, y, model, jacobian)
    gram, noise = np.empty((6, 6)), np.empty((6, 6))
    for j in range(6):
        for k in range(6):
            gram[j, k] = _sum_of_products(jacobian[j], jacobian[k])
            noise[j, k] = noise_factor * gram[j, k]
    covariance = covariance_of(gram, noise, jacobian, model, prior_weight, prior_noise, source)
    power, signal = _sum_of_products(model, model), _sum_of_products(values, model)
    highest = model[0]
    for i in range(1, n):
        highest = max(highest, model[i])
    squares, inner = 0.0, 0
    for i in range(n):
        if highest <= 0.0 or model[i] > 0.02 * highest:
            squares += (values[i] - model[i]) ** 2
            inner += 1
    out = np.empty(8)
    out[0] = signal / math.sqrt(power * noise_factor) if power > 0.0 else 0.0
    out[1] = squares / inner if inner > 0 else np.nan
    errors = errors_of(p, covariance, out[0])
    for j in range(6):
        out[2 + j] = errors[j]
    return out


@njit(cache=True, nogil=True)
def levenberg(p0, x, y, values, prior_sigma, prior_weight):  # type: ignore[no-untyped-def]
    """Damped Gauss-Newton with weights that fall off for outliers: parameters, whether finite.

    Parameters
    ----------
    p0 : (6,)
        Where to start, as in `evaluate`; its flux is not used, for the best one is solved for.
    x, y : (n,)
        Pixels, 0-based.
    values : (n,)
        Theirs, over the noise.
    prior_sigma
        Expected width, px. The fitted one stays within 0.2 to 6 times this.
    prior_weight
        One over the variance of that expectation, px**-2.

    Returns
    -------
    p : (6,)
        The fit; not to be used where `good` is False.
    good : bool
        False where a parameter is not finite, or the starting trail has no light on the pixels.
    """
    n = x.size
    model, jacobian = np.empty(n), np.empty((6, n))
    trial_model, trial_jacobian = np.empty(n), np.empty((6, n))
    p, trial = np.empty(6), np.empty(6)
    for j in range(6):
        p[j] = p0[j]
    p[4] = 1.0
    evaluate(p, x, y, model, jacobian)
    # BLAS: a fit of a point runs along a valley without a floor, and where it stops there hangs
    # on the last bit of where it starts.
    power = np.dot(jacobian[4], jacobian[4])
    if power <= 0.0:
        return p, False
    p[4] = np.dot(jacobian[4], values) / power
    evaluate(p, x, y, model, jacobian)
    cost = _cost(values, model, p[5], prior_sigma, prior_weight)
    damping = 1e-3
    weighted, residual, step = np.empty((6, n)), np.empty(n), np.empty(6)
    hessian, gradient = np.empty((6, 6)), np.empty(6)
    for _ in range(25):
        # What is worth a step: of a good fit a 20th of a sigma. Clutter is never fitted well.
        little = _LITTLE * max(cost / n, 1.0) ** 2
        _normal_equations(values, model, jacobian, residual, weighted, hessian, gradient)
        gradient[5] -= prior_weight * (p[5] - prior_sigma)
        hessian[5, 5] += prior_weight
        improved = False
        for _ in range(8):
            if not _solved(hessian, damping, gradient, step):
                damping = min(damping * 6.0, 1e8)
                continue
            promised = 0.0
            for j in range(6):
                promised += step[j] * (gradient[j] + damping * hessian[j, j] * step[j])
            if promised < little:
                break
            for j in range(6):
                trial[j] = p[j] + step[j]
            trial[3] = max(trial[3], MIN_LENGTH_PX)
            trial[5] = min(max(trial[5], 0.2 * prior_sigma), 6.0 * prior_sigma)
            evaluate(trial, x, y, trial_model, trial_jacobian)
            trial_cost = _cost(values, trial_model, trial[5], prior_sigma, prior_weight)
            if trial_cost < cost:
                improved = True
                break
            damping = min(damping * 6.0, 1e8)
        if not improved:
            break
        gain = cost - trial_cost
        p, trial, cost = trial, p, trial_cost
        model, trial_model = trial_model, model
        jacobian, trial_jacobian = trial_jacobian, jacobian
        # Nielsen 1999, IMM-REP-1999-05: as far down as the step kept its promise.
        damping = max(damping * max(1.0 / 6.0, 1.0 - (2.0 * gain / promised - 1.0) ** 3), 1e-9)
        if gain < little:
            break
    good = True
    for j in range(6):
        if not math.isfinite(p[j]):
            good = False
    return p, good


@njit(cache=True, nogil=True)
def width_prior(sigma_px):  # type: ignore[no-untyped-def]
    """Weight of the width's prior, and the variance that a wrong prior adds to its gradient.

    Parameters
    ----------
    sigma_px
        Width of the PSF.

    Returns
    -------
    weight, noise
        px**-2 both, as `covariance_of` takes them.
    """
    weight = 1.0 / (_WIDTH_PRIOR * sigma_px) ** 2
    return weight, (_PSF_KNOWN * sigma_px * weight) ** 2


@njit(cache=True, nogil=True)
def _fit_pixels(z, usable, ends, length, sigma_px):  # type: ignore[no-untyped-def]
    """Parameters, whether there are any, and x, y, values of the pixels they stand on."""
    x0, y0, x1, y1 = ends
    # A start may be off by a pixel or two; that of a long trail is not.
    room = 2.0 if length < _LONG_PX else 0.5
    x, y, values = gather(z, usable, x0, y0, x1, y1, REACH_SIGMA * sigma_px + room)
    p = np.full(6, np.nan)
    if len(values) < 8:
        return p, False, x, y, values
    p[0], p[1], p[2] = 0.5 * (x0 + x1), 0.5 * (y0 + y1), math.atan2(y1 - y0, x1 - x0)
    p[3], p[4], p[5] = max(length, 1.0), 0.0, sigma_px
    p, good = levenberg(p, x, y, values, sigma_px, width_prior(sigma_px)[0])
    return p, good, x, y, values


@njit(cache=True, nogil=True)
def _ends_of(p):  # type: ignore[no-untyped-def]
    half_x, half_y = 0.5 * p[3] * math.cos(p[2]), 0.5 * p[3] * math.sin(p[2])
    return p[0] - half_x, p[1] - half_y, p[0] + half_x, p[1] + half_y


@njit(cache=True, nogil=True)
def _cut_to_image(p, ny, nx):  # type: ignore[no-untyped-def]
    """The same trail as far as it lies on the image: where it ends outside, nothing tells."""
    reach_x, reach_y = abs(0.5 * p[3] * math.cos(p[2])), abs(0.5 * p[3] * math.sin(p[2]))
    if reach_x < p[0] < nx - 1 - reach_x and reach_y < p[1] < ny - 1 - reach_y:
        return
    x0, y0, x1, y1 = _ends_of(p)
    dx, dy = x1 - x0, y1 - y0
    first, last = shares_inside(x0, y0, x1, y1, -0.5, -0.5, nx - 0.5, ny - 0.5)
    length = (last - first) * p[3]
    if first > last or length > p[3] - 1e-6:
        return
    middle = 0.5 * (first + last)
    p[0], p[1] = x0 + middle * dx, y0 + middle * dy
    p[4] *= length / p[3]
    p[3] = max(length, MIN_LENGTH_PX)


@njit(cache=True, nogil=True)
def fit_near(z, usable, x0, y0, x1, y1, length, sigma_px, source, noise_factor):  # type: ignore[no-untyped-def]
    """A trail fitted from a start on: its parameters, what is `measured` of it, its pixels.

    Parameters
    ----------
    z : (ny, nx)
        Image over its noise.
    usable : (ny, nx) bool
        False where a pixel must be left out.
    x0, y0, x1, y1
        Ends of the start, in either order, 0-based px.
    length
        Their distance, px.
    sigma_px
        Width of the PSF.
    source
        Variance that a unit of the trail's own light adds; 0 for none.
    noise_factor
        Variance of the PSF-filtered noise over that of white noise, 1 for white.

    Returns
    -------
    p : (6,)
        As in `evaluate`, cut to the image. Not to be used where `good` is False.
    numbers : (8,)
        Of `measured`.
    n_pixels : int
        Usable pixels of the fit.
    good : bool
        False where the fit ran away, or there is too little to fit to.
    """
    ends = (x0, y0, x1, y1)
    p, good, x, y, values = _fit_pixels(z, usable, ends, length, sigma_px)
    # Behind a mask a trail may turn out to go on beyond the pixels that were looked at.
    if good and p[3] > length + 2.0 * REACH_SIGMA * sigma_px:
        farther = _ends_of(p)
        way = math.hypot(farther[2] - farther[0], farther[3] - farther[1])
        p, good, x, y, values = _fit_pixels(z, usable, farther, way, sigma_px)
    away = math.hypot(p[0] - 0.5 * (x0 + x1), p[1] - 0.5 * (y0 + y1))
    numbers, n = np.full(8, np.nan), len(values)
    if (
        not good
        or away > 0.75 * length + 6.0 * sigma_px
        or p[3] > 2.5 * length + 12.0 * sigma_px
        or p[5] <= 0
    ):
        return p, numbers, n, False
    _cut_to_image(p, z.shape[0], z.shape[1])
    weight, noise = width_prior(sigma_px)
    numbers = measured(p, x, y, values, weight, noise, source, noise_factor)
    return p, numbers, n, not math.isnan(numbers[2])
