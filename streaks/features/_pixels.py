"""Numba kernels: what all pixels tell together (noise, brightness, blocks).

All work on one cutout: ``image`` in units of its robust sigma with 0 in masked pixels, ``good``
the pixels that count. Each group of features is written to a slice of ``out``.
"""

# Numba has no types: what it decorates is called with what the annotations say.
# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["block_features", "is_blank", "noise_features", "smooth"]

#: Sums may be taken in any order, which lets the compiler add several at once; infinities and NaN
#: keep their meaning.
_ANY_ORDER = {"reassoc", "contract", "arcp", "nsz"}

#: Clip where a few bright pixels would speak for the whole.
_FAINT = 3.0
#: Pixels whose neighbours tell how sharp they are.
_STRONG = 4.0
#: Side of the blocks of `block_features`.
_BLOCK = 8


@njit(cache=True)
def is_blank(image: Any) -> bool:
    """Whether all pixels are 0.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.

    Returns
    -------
    bool
        True also where all pixels are masked. A NaN makes it False.
    """
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if image[y, x] != 0.0:
                return False
    return True


@njit(cache=True, fastmath=_ANY_ORDER)
def smooth(image: Any, good: Any) -> Any:
    """Convolved with a Gaussian of sigma 1.1 px (FWHM 2.6) and divided by its own noise.

    The noise of the smoothed image is measured by clipping: what correlation does to it is
    not known beforehand.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    good : (ny, nx) bool
        Pixels whose noise is measured.

    Returns
    -------
    (ny, nx)
        In sigmas of the smoothed noise; beyond the border the image counts as 0.
    """
    ny, nx = image.shape
    weight = np.empty(4)
    for k in range(4):
        weight[k] = np.exp(-0.5 * (k / 1.1) ** 2)
    # Borders of zeros, so that no step asks where the image ends.
    line, rows = np.zeros(nx + 6), np.zeros((ny + 6, nx))
    for y in range(ny):
        for x in range(nx):
            line[x + 3] = image[y, x]
        for x in range(nx):
            rows[y + 3, x] = (
                weight[0] * line[x + 3]
                + weight[1] * (line[x + 2] + line[x + 4])
                + weight[2] * (line[x + 1] + line[x + 5])
                + weight[3] * (line[x] + line[x + 6])
            )
    smoothed = np.empty((ny, nx))
    for y in range(ny):
        for x in range(nx):
            smoothed[y, x] = (
                weight[0] * rows[y + 3, x]
                + weight[1] * (rows[y + 2, x] + rows[y + 4, x])
                + weight[2] * (rows[y + 1, x] + rows[y + 5, x])
                + weight[3] * (rows[y, x] + rows[y + 6, x])
            )
    sigma = clipped_sigma(smoothed, good)
    for y in range(ny):
        for x in range(nx):
            smoothed[y, x] /= sigma
    return smoothed


@njit(cache=True, fastmath=_ANY_ORDER)
def clipped_sigma(image: Any, good: Any) -> float:
    """Standard deviation after three clips at 3 sigma; 1 where there is no spread."""
    ny, nx = image.shape
    limit, sigma = np.inf, 1.0
    for _ in range(4):
        n, total, squares = 0, 0.0, 0.0
        for y in range(ny):
            for x in range(nx):
                counts = good[y, x] & (abs(image[y, x]) < limit)
                value = image[y, x] if counts else 0.0
                n += counts
                total += value
                squares += value * value
        if n < 2:
            break
        sigma = np.sqrt(max(squares / n - (total / n) ** 2, 0.0))
        limit = 3.0 * sigma
    return sigma if sigma > 1e-9 else 1.0


@njit(cache=True, fastmath=_ANY_ORDER)
def noise_features(image: Any, smoothed: Any, good: Any, out: Any) -> None:
    """Masked and flat share, counts of bright and dark pixels, moments, correlations.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    smoothed : (ny, nx)
        From `smooth`.
    good : (ny, nx) bool
        Pixels that count.
    out : (22,)
        Gets the numbers of the group "noise" of `FEATURE_NAMES`, ``mask_share`` first.
    """
    ny, nx = image.shape
    n_good = _count(good)
    n = max(n_good, 1)
    n_centre, n_centre_good = _near_centre(good)
    flat = _flat_pixels(image, good)
    out[0] = 1.0 - n_good / (ny * nx)
    out[1] = (n_centre - n_centre_good) / n_centre
    out[2] = _count(flat) / n
    out[3] = _near_centre(flat)[1] / n_centre
    _count_bright(image, smoothed, good, out[4:10])
    square, cube, fourth = 0.0, 0.0, 0.0
    for y in range(ny):
        for x in range(nx):
            clipped = min(max(image[y, x], -2 * _FAINT), 2 * _FAINT)
            power = clipped * clipped
            square += power
            cube += power * clipped
            fourth += power * power
    variance = max(square / n, 1e-9)
    out[10] = variance
    out[11] = cube / n / variance**1.5
    out[12] = fourth / n / variance**2
    _correlations(image, out[13:22])


@njit(cache=True, fastmath=_ANY_ORDER)
def _count(marked: Any) -> int:
    """How many pixels are marked."""
    ny, nx = marked.shape
    n = 0.0
    for y in range(ny):
        for x in range(nx):
            n += marked[y, x]
    return int(n)


@njit(cache=True)
def _near_centre(marked: Any) -> tuple[int, int]:
    """How many pixels lie within 12 px of the centre, and how many of these are marked."""
    ny, nx = marked.shape
    centre_y, centre_x = (ny - 1) / 2, (nx - 1) / 2
    n, n_marked = 0, 0
    for y in range(max(int(centre_y) - 12, 0), min(int(centre_y) + 14, ny)):
        for x in range(max(int(centre_x) - 12, 0), min(int(centre_x) + 14, nx)):
            near = (y - centre_y) ** 2 + (x - centre_x) ** 2 < 144.0
            n += near
            n_marked += near & marked[y, x]
    return n, n_marked


@njit(cache=True)
def _count_bright(image: Any, smoothed: Any, good: Any, out: Any) -> None:
    """Logarithms of how many pixels are beyond +-4 (smoothed), 6 and 15 sigma."""
    ny, nx = image.shape
    # Counted in the type of the pixels, which the compiler can do eight at a time.
    high, higher, highest, low, lower, lowest = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(ny):
        for x in range(nx):
            value = smoothed[y, x] if good[y, x] else 0.0
            high += 1.0 if value > 4.0 else 0.0
            low += 1.0 if value < -4.0 else 0.0
        for x in range(nx):
            value = image[y, x]
            higher += 1.0 if value > 6.0 else 0.0
            highest += 1.0 if value > 15.0 else 0.0
            lower += 1.0 if value < -6.0 else 0.0
            lowest += 1.0 if value < -15.0 else 0.0
    out[0], out[1], out[2] = np.log1p(high), np.log1p(higher), np.log1p(highest)
    out[3], out[4], out[5] = np.log1p(low), np.log1p(lower), np.log1p(lowest)


@njit(cache=True)
def _flat_pixels(image: Any, good: Any) -> Any:
    """Where neighbours agree to a small part of the noise: filled-in pixels that no mask names."""
    ny, nx = image.shape
    flat = np.zeros((ny, nx), np.bool_)
    low, high = np.zeros(nx), np.zeros(nx)
    for y in range(1, ny - 1):
        for x in range(nx):
            low[x] = min(min(image[y - 1, x], image[y, x]), image[y + 1, x])
            high[x] = max(max(image[y - 1, x], image[y, x]), image[y + 1, x])
        for x in range(1, nx - 1):
            lowest = min(min(low[x - 1], low[x]), low[x + 1])
            highest = max(max(high[x - 1], high[x]), high[x + 1])
            flat[y, x] = good[y, x] & (highest - lowest < 0.4)
    return flat


@njit(cache=True)
def _correlations(image: Any, out: Any) -> None:
    """Of neighbours at lags 1 to 3: of all (clipped), and of bright and dark pixels.

    Of the two axes the smaller and the larger, so that a quarter turn changes nothing.
    """
    faint, faint_sq = _faint_products(image)
    bright, bright_sq = _strong_products(image)
    for lag in range(2):
        out[2 * lag] = min(faint[lag, 0], faint[lag, 1]) / faint_sq
        out[2 * lag + 1] = max(faint[lag, 0], faint[lag, 1]) / faint_sq
        out[2 * lag + 4] = min(bright[lag, 0], bright[lag, 1]) / bright_sq
        out[2 * lag + 5] = max(bright[lag, 0], bright[lag, 1]) / bright_sq
    out[8] = max(bright[2, 0], bright[2, 1]) / bright_sq


@njit(cache=True, fastmath=_ANY_ORDER)
def _faint_products(image: Any) -> tuple[Any, float]:
    """Summed products of all pixels, clipped, with those 1 and 2 px along x and y; the squares."""
    ny, nx = image.shape
    # Two more rows and columns of zeros, so that no step asks where the image ends.
    low = np.zeros((ny + 2, nx + 2))
    for y in range(ny):
        for x in range(nx):
            low[y, x] = min(max(image[y, x], -_FAINT), _FAINT)
    square, right_1, right_2, below_1, below_2 = 1e-6, 0.0, 0.0, 0.0, 0.0
    for y in range(ny):
        for x in range(nx):
            value = low[y, x]
            square += value * value
            right_1 += value * low[y, x + 1]
            right_2 += value * low[y, x + 2]
            below_1 += value * low[y + 1, x]
            below_2 += value * low[y + 2, x]
    products = np.zeros((2, 2))
    products[0, 0], products[0, 1] = right_1, below_1
    products[1, 0], products[1, 1] = right_2, below_2
    return products, square


@njit(cache=True, fastmath=_ANY_ORDER)
def _any_beyond(row: Any, limit: float) -> bool:
    """Whether a row of pixels has one beyond the limit on either side: most have none."""
    n = 0.0
    for x in range(len(row)):
        n += 1.0 if abs(row[x]) > limit else 0.0
    return n > 0.0


@njit(cache=True)
def _strong_products(image: Any) -> tuple[Any, float]:
    """Products of strong pixels with all neighbours at lags 1 to 3 along x and y; their squares."""
    ny, nx = image.shape
    products, square = np.zeros((3, 2)), 1e-6
    for y in range(ny):
        if not _any_beyond(image[y], _STRONG):
            continue
        for x in range(nx):
            if abs(image[y, x]) <= _STRONG:
                continue
            value = min(max(image[y, x], -50.0), 50.0)
            square += value * value
            for lag in range(1, 4):
                for side in range(-1, 2, 2):
                    step = side * lag
                    if 0 <= x + step < nx:
                        other = min(max(image[y, x + step], -50.0), 50.0)
                        products[lag - 1, 0] += 0.5 * value * other
                    if 0 <= y + step < ny:
                        other = min(max(image[y + step, x], -50.0), 50.0)
                        products[lag - 1, 1] += 0.5 * value * other
    return products, square


@njit(cache=True, fastmath=_ANY_ORDER)
def _block_sums(image: Any, good: Any) -> tuple[Any, Any]:
    """Sums of clipped values over blocks, and how many pixels each has."""
    ny, nx = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    sums, counts = np.zeros((ny, nx)), np.zeros((ny, nx))
    column, n_column = np.zeros(nx * _BLOCK), np.zeros(nx * _BLOCK)
    for j in range(ny):
        for x in range(nx * _BLOCK):
            column[x], n_column[x] = 0.0, 0.0
        for y in range(j * _BLOCK, (j + 1) * _BLOCK):
            for x in range(nx * _BLOCK):
                column[x] += min(max(image[y, x], -_FAINT), _FAINT)
                n_column[x] += good[y, x]
        for i in range(nx):
            for x in range(i * _BLOCK, (i + 1) * _BLOCK):
                sums[j, i] += column[x]
                counts[j, i] += n_column[x]
    return sums, counts


@njit(cache=True)
def block_features(image: Any, good: Any, out: Any) -> None:
    """Structure broader than stars: means of 8 px blocks, in units of their own noise.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    good : (ny, nx) bool
        Pixels that count; a block with less than a quarter of them is left out.
    out : (7,)
        Gets the numbers of the group "block" of `FEATURE_NAMES`, ``block_power`` first.
    """
    sums, counts = _block_sums(image, good)
    ny, nx = sums.shape
    z = np.empty((ny, nx))
    n, total, high, low, many = 0, 0.0, 0.0, 0.0, 0
    for j in range(ny):
        for i in range(nx):
            z[j, i] = np.nan
            if counts[j, i] < _BLOCK * _BLOCK // 4:
                continue
            value = sums[j, i] / np.sqrt(counts[j, i])
            z[j, i] = value
            n += 1
            total += value * value
            high, low = max(high, value), min(low, value)
            many += abs(value) > 4.0
    out[0] = np.log1p(total / max(n, 1))
    out[1] = np.log1p(high)
    out[2] = np.log1p(-low)
    out[3] = many / max(n, 1)
    out[4] = _neighbour_share(z)
    rows, columns = _stripes(z, np.int64(0)), _stripes(z, np.int64(1))
    out[5] = np.log1p(min(rows, columns))
    out[6] = np.log1p(max(rows, columns))


@njit(cache=True)
def _neighbour_share(z: Any) -> float:
    """Correlation of blocks with their neighbours: near 1 for what is smooth."""
    ny, nx = z.shape
    product, square = 0.0, 1e-6
    for j in range(ny):
        for i in range(nx):
            if not np.isfinite(z[j, i]):
                continue
            square += 2.0 * z[j, i] ** 2
            if j + 1 < ny and np.isfinite(z[j + 1, i]):
                product += z[j, i] * z[j + 1, i]
            if i + 1 < nx and np.isfinite(z[j, i + 1]):
                product += z[j, i] * z[j, i + 1]
    return product / square


@njit(cache=True)
def _stripes(z: Any, axis: int) -> float:
    """Mean square of the means of rows (axis 0) or columns, in units of their noise."""
    total, n_lines = 0.0, 0
    for j in range(z.shape[axis]):
        n, value = 0, 0.0
        for i in range(z.shape[1 - axis]):
            block = z[j, i] if axis == 0 else z[i, j]
            if np.isfinite(block):
                n += 1
                value += block
        if n:
            n_lines += 1
            total += value * value / n
    return total / max(n_lines, 1)
