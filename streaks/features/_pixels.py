"""Numba kernels: what pixels tell without a line (noise, blocks, peaks, rings, blobs).

All work on one cutout: ``image`` in units of its robust sigma with 0 in masked pixels, ``good``
the pixels that count. Each group of features is written to a slice of ``out``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["blob_features", "block_features", "noise_features", "peak_features", "ring_features"]

#: Clip where a few bright pixels would speak for the whole.
_FAINT = 3.0
#: Pixels whose neighbours tell how sharp they are.
_STRONG = 4.0
_BLOCK = 8
_MAX_PEAKS = 64


@njit(cache=True, fastmath=True)
def smooth(image: Any, good: Any) -> Any:
    """Convolved with a Gaussian of sigma 1.1 px (FWHM 2.6) and divided by its own noise.

    The noise of the smoothed image is measured by clipping: what correlation does to it is
    not known beforehand.
    """
    ny, nx = image.shape
    kernel = np.zeros(7)
    for k in range(7):
        kernel[k] = np.exp(-0.5 * ((k - 3) / 1.1) ** 2)
    rows = np.zeros((ny, nx))
    for y in range(ny):
        for k in range(-3, 4):
            weight = kernel[k + 3]
            for x in range(max(0, -k), min(nx, nx - k)):
                rows[y, x] += weight * image[y, x + k]
    smoothed = np.zeros((ny, nx))
    for y in range(ny):
        for k in range(max(-3, -y), min(4, ny - y)):
            weight = kernel[k + 3]
            for x in range(nx):
                smoothed[y, x] += weight * rows[y + k, x]
    sigma = clipped_sigma(smoothed, good)
    for y in range(ny):
        for x in range(nx):
            smoothed[y, x] /= sigma
    return smoothed


@njit(cache=True)
def clipped_sigma(image: Any, good: Any) -> float:
    """Standard deviation after three clips at 3 sigma; 1 where there is no spread."""
    ny, nx = image.shape
    limit, sigma = np.inf, 1.0
    for _ in range(4):
        n, total, squares = 0, 0.0, 0.0
        for y in range(ny):
            for x in range(nx):
                value = image[y, x]
                if good[y, x] and abs(value) < limit:
                    n += 1
                    total += value
                    squares += value * value
        if n < 2:
            break
        sigma = np.sqrt(max(squares / n - (total / n) ** 2, 0.0))
        limit = 3.0 * sigma
    return sigma if sigma > 1e-9 else 1.0


@njit(cache=True)
def noise_features(image: Any, smoothed: Any, good: Any, out: Any) -> None:
    """Masked and flat share, counts of bright and dark pixels, moments, correlations."""
    ny, nx = image.shape
    centre_y, centre_x = (ny - 1) / 2, (nx - 1) / 2
    n_good, n_centre, n_centre_bad, n_flat, n_flat_centre = 0, 0, 0, 0, 0
    counts = np.zeros(6)
    square, cube, fourth = 0.0, 0.0, 0.0
    for y in range(ny):
        for x in range(nx):
            near = (y - centre_y) ** 2 + (x - centre_x) ** 2 < 144.0
            n_centre += near
            if not good[y, x]:
                n_centre_bad += near
                continue
            n_good += 1
            value = image[y, x]
            counts[0] += smoothed[y, x] > 4.0
            counts[1] += value > 6.0
            counts[2] += value > 15.0
            counts[3] += smoothed[y, x] < -4.0
            counts[4] += value < -6.0
            counts[5] += value < -15.0
            clipped = min(max(value, -2 * _FAINT), 2 * _FAINT)
            power = clipped * clipped
            square += power
            cube += power * clipped
            fourth += power * power
            if _is_flat(image, y, x):
                n_flat += 1
                n_flat_centre += near
    n = max(n_good, 1)
    out[0] = 1.0 - n_good / (ny * nx)
    out[1] = n_centre_bad / n_centre
    out[2] = n_flat / n
    out[3] = n_flat_centre / n_centre
    for k in range(6):
        out[4 + k] = np.log1p(counts[k])
    variance = max(square / n, 1e-9)
    out[10] = variance
    out[11] = cube / n / variance**1.5
    out[12] = fourth / n / variance**2
    _correlations(image, good, out[13:22])


@njit(cache=True)
def _is_flat(image: Any, y: int, x: int) -> bool:
    """Neighbours agree to a small part of the noise: filled-in pixels that no mask names."""
    ny, nx = image.shape
    if y == 0 or x == 0 or y == ny - 1 or x == nx - 1:
        return False
    # Most pixels are not: the first neighbours say so.
    if abs(image[y, x] - image[y, x - 1]) > 0.4 or abs(image[y, x] - image[y, x + 1]) > 0.4:
        return False
    low, high = image[y, x], image[y, x]
    for j in range(y - 1, y + 2):
        for i in range(x - 1, x + 2):
            low, high = min(low, image[j, i]), max(high, image[j, i])
    return high - low < 0.4


@njit(cache=True)
def _correlations(image: Any, good: Any, out: Any) -> None:
    """Of neighbours at lags 1 to 3: of all (clipped), and of bright and dark pixels.

    Of the two axes the smaller and the larger, so that a quarter turn changes nothing.
    """
    ny, nx = image.shape
    faint, low = np.zeros((2, 2)), np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            low[y, x] = min(max(image[y, x], -_FAINT), _FAINT)
    faint_sq = 1e-6 + _lag_product(low, 0, 0)
    for lag in range(1, 3):
        faint[lag - 1, 0] = _lag_product(low, 0, lag)
        faint[lag - 1, 1] = _lag_product(low, lag, 0)
    bright, bright_sq = _strong_products(image)
    for lag in range(2):
        out[2 * lag] = min(faint[lag, 0], faint[lag, 1]) / faint_sq
        out[2 * lag + 1] = max(faint[lag, 0], faint[lag, 1]) / faint_sq
        out[2 * lag + 4] = min(bright[lag, 0], bright[lag, 1]) / bright_sq
        out[2 * lag + 5] = max(bright[lag, 0], bright[lag, 1]) / bright_sq
    out[8] = max(bright[2, 0], bright[2, 1]) / bright_sq


@njit(cache=True, fastmath=True)
def _lag_product(image: Any, dy: int, dx: int) -> float:
    """Summed products of all pixels with those dy below and dx to the right."""
    ny, nx = image.shape
    total = 0.0
    for y in range(ny - dy):
        for x in range(nx - dx):
            total += image[y, x] * image[y + dy, x + dx]
    return total


@njit(cache=True)
def _strong_products(image: Any) -> tuple[Any, float]:
    """Products of strong pixels with all neighbours at lags 1 to 3 along x and y; their squares."""
    ny, nx = image.shape
    products, square = np.zeros((3, 2)), 1e-6
    for y in range(ny):
        for x in range(nx):
            if abs(image[y, x]) <= _STRONG:
                continue
            value = min(max(image[y, x], -50.0), 50.0)
            square += value * value
            for lag in range(1, 4):
                for step in (-lag, lag):
                    if 0 <= x + step < nx:
                        other = min(max(image[y, x + step], -50.0), 50.0)
                        products[lag - 1, 0] += 0.5 * value * other
                    if 0 <= y + step < ny:
                        other = min(max(image[y + step, x], -50.0), 50.0)
                        products[lag - 1, 1] += 0.5 * value * other
    return products, square


@njit(cache=True)
def block_features(image: Any, good: Any, out: Any) -> None:
    """Structure broader than stars: means of 8 px blocks, in units of their own noise."""
    ny, nx = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    z = np.full((ny, nx), np.nan)
    n, total, high, low, many = 0, 0.0, 0.0, 0.0, 0
    for j in range(ny):
        for i in range(nx):
            count, value = 0, 0.0
            for y in range(j * _BLOCK, (j + 1) * _BLOCK):
                for x in range(i * _BLOCK, (i + 1) * _BLOCK):
                    if good[y, x]:
                        count += 1
                        value += min(max(image[y, x], -_FAINT), _FAINT)
            if count < _BLOCK * _BLOCK // 4:
                continue
            value /= np.sqrt(count)
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
    rows, columns = _stripes(z, 0), _stripes(z, 1)
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


@njit(cache=True)
def _find_peaks(smoothed: Any, good: Any, sign: float, peaks: Any) -> int:
    """Local extremes over 5 x 5 px beyond 5 sigma, as (y, x, value); how many there are."""
    ny, nx = smoothed.shape
    n = 0
    for y in range(2, ny - 2):
        for x in range(2, nx - 2):
            value = sign * smoothed[y, x]
            if value < 5.0 or not good[y, x] or n == _MAX_PEAKS:
                continue
            highest = True
            for j in range(y - 2, y + 3):
                for i in range(x - 2, x + 3):
                    if sign * smoothed[j, i] > value:
                        highest = False
            if highest:
                peaks[n, 0], peaks[n, 1], peaks[n, 2] = y, x, value
                n += 1
    return n


@njit(cache=True)
def peak_features(image: Any, smoothed: Any, good: Any, out: Any) -> None:
    """How many sources of either sign, how they pair, their sharpness and their rings."""
    positive, negative = np.zeros((_MAX_PEAKS, 3)), np.zeros((_MAX_PEAKS, 3))
    n_positive = _find_peaks(smoothed, good, 1.0, positive)
    n_negative = _find_peaks(smoothed, good, -1.0, negative)
    paired, lobe = 0, 0.0
    for k in range(n_positive):
        best = 0.0
        for m in range(n_negative):
            gap = (positive[k, 0] - negative[m, 0]) ** 2 + (positive[k, 1] - negative[m, 1]) ** 2
            if gap < 64.0:
                best = max(best, min(negative[m, 2] / positive[k, 2], 3.0))
        paired += best > 0.0
        lobe += best
    out[0] = np.log1p(n_positive)
    out[1] = np.log1p(n_negative)
    out[2] = paired / max(n_positive, 1)
    out[3] = lobe / max(n_positive, 1)
    out[4], out[5] = _mean_ring(image, positive, n_positive, 1.0)
    out[6], out[7] = _mean_ring(image, negative, n_negative, -1.0)


@njit(cache=True)
def _mean_ring(image: Any, peaks: Any, n: int, sign: float) -> tuple[float, float]:
    """Over all peaks: sharpness (peak over its 3 x 3 mean), and the ring at 4-6 px over the core.

    A star left standing has a ring near 0, a badly matched one a ring of the other sign.
    """
    ny, nx = image.shape
    sharp, ring_share = 0.0, 0.0
    for k in range(n):
        y0, x0 = int(peaks[k, 0]), int(peaks[k, 1])
        core, top, ring, n_ring, n_core = 0.0, 0.0, 0.0, 0, 0
        for y in range(max(y0 - 6, 0), min(y0 + 7, ny)):
            for x in range(max(x0 - 6, 0), min(x0 + 7, nx)):
                r2 = (y - y0) ** 2 + (x - x0) ** 2
                value = sign * image[y, x]
                if r2 <= 2:
                    core += value
                    n_core += 1
                    top = max(top, value)
                elif 16 <= r2 <= 36:
                    ring += value
                    n_ring += 1
        mean = max(core / max(n_core, 1), 0.3)
        sharp += min(top / mean, 9.0)
        ring_share += min(max(ring / max(n_ring, 1) / mean, -2.0), 2.0)
    return sharp / max(n, 1), ring_share / max(n, 1)


@njit(cache=True)
def _extremes(smoothed: Any, good: Any, radius: float) -> Any:
    """(y, x, value) of the brightest and of the darkest pixel near the centre."""
    ny, nx = smoothed.shape
    found = np.zeros((2, 3))
    for k in range(2):
        found[k, 0], found[k, 1] = (ny - 1) / 2, (nx - 1) / 2
    for y in range(ny):
        for x in range(nx):
            r2 = (y - (ny - 1) / 2) ** 2 + (x - (nx - 1) / 2) ** 2
            if r2 > radius * radius or not good[y, x]:
                continue
            value = smoothed[y, x]
            for k in range(2):
                if (value > found[0, 2]) if k == 0 else (value < found[1, 2]):
                    found[k, 0], found[k, 1], found[k, 2] = y, x, value
    return found


@njit(cache=True)
def ring_features(image: Any, smoothed: Any, good: Any, out: Any) -> None:
    """Rings around the strongest pixel near the centre, symmetry, and the lobe against it."""
    found = _extremes(smoothed, good, 14.0)
    high, low = found[0, 2], -found[1, 2]
    strongest = 0 if high >= low else 1
    sign = 1.0 if high >= low else -1.0
    y0, x0 = int(found[strongest, 0]), int(found[strongest, 1])
    edges = np.array([0.0, 1.6, 3.1, 4.6, 6.6, 9.1, 13.1, 18.1])
    _rings(image, good, y0, x0, sign, edges, out[0:10])
    out[10] = _point_symmetry(image, good, y0, x0)
    out[11] = np.log1p(high)
    out[12] = np.log1p(low)
    dy, dx = abs(found[0, 0] - found[1, 0]), abs(found[0, 1] - found[1, 1])
    out[13] = np.hypot(dy, dx)
    # Angle of the dipole from the nearer pixel axis: registration errs along rows or columns.
    out[14] = np.arctan2(min(dy, dx), max(dy, dx)) if dy + dx > 0 else 0.0


@njit(cache=True)
def _rings(image: Any, good: Any, y0: int, x0: int, sign: float, edges: Any, out: Any) -> None:
    """Mean of each ring over the core's, and the scatter within three wide rings."""
    ny, nx = image.shape
    n_rings = len(edges) - 1
    total, square, count = np.zeros(n_rings), np.zeros(n_rings), np.zeros(n_rings)
    reach = int(edges[-1]) + 1
    for y in range(max(y0 - reach, 0), min(y0 + reach + 1, ny)):
        for x in range(max(x0 - reach, 0), min(x0 + reach + 1, nx)):
            r = np.hypot(y - y0, x - x0)
            if not good[y, x] or r >= edges[-1]:
                continue
            ring = 0
            while r >= edges[ring + 1]:
                ring += 1
            value = sign * min(max(image[y, x], -300.0), 300.0)
            total[ring] += value
            square[ring] += value * value
            count[ring] += 1
    core = max(total[0] / max(count[0], 1), 1.0)
    for ring in range(n_rings):
        mean = total[ring] / max(count[ring], 1)
        out[ring] = min(max(mean / core, -3.0), 3.0)
        if ring in (1, 3, 5):
            spread = np.sqrt(max(square[ring] / max(count[ring], 1) - mean * mean, 0.0))
            out[n_rings + ring // 2] = min(spread / core, 5.0)


@njit(cache=True)
def _point_symmetry(image: Any, good: Any, y0: int, x0: int) -> float:
    """+1 for what a half turn leaves unchanged, -1 for what it turns into its negative.

    The best of nine centres counts: the centre of a dipole lies between its lobes.
    """
    ny, nx = image.shape
    best = 0.0
    for jy in range(-3, 4, 3):
        for jx in range(-3, 4, 3):
            product, square = 0.0, 1.0
            for dy in range(-6, 7):
                for dx in range(-6, 7):
                    ya, xa, yb, xb = y0 + jy + dy, x0 + jx + dx, y0 + jy - dy, x0 + jx - dx
                    if min(ya, xa, yb, xb) < 0 or max(ya, yb) >= ny or max(xa, xb) >= nx:
                        continue
                    if good[ya, xa] and good[yb, xb]:
                        first = min(max(image[ya, xa], -30.0), 30.0)
                        second = min(max(image[yb, xb], -30.0), 30.0)
                        product += first * second
                        square += 0.5 * (first * first + second * second)
            value = product / square
            if abs(value) > abs(best):
                best = value
    return best


@njit(cache=True)
def blob_features(image: Any, smoothed: Any, good: Any, out: Any) -> None:
    """Moments of the connected pixels above 3 sigma at the brightest pixel near the centre."""
    ny, nx = image.shape
    found = _extremes(smoothed, good, 14.0)
    peak = found[0, 2]
    if peak < 3.0:
        return
    # Of a bright source only what is above a tenth of its peak: wings would swell it.
    level = max(3.0, 0.1 * peak)
    seen = np.zeros((ny, nx), np.uint8)
    stack = np.zeros((ny * nx, 2), np.int64)
    stack[0, 0], stack[0, 1] = int(found[0, 0]), int(found[0, 1])
    seen[stack[0, 0], stack[0, 1]] = 1
    n_stack, n = 1, 0
    weight, wx, wy, wxx, wyy, wxy, top = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    border = 0
    while n_stack:
        n_stack -= 1
        y, x = stack[n_stack, 0], stack[n_stack, 1]
        value = smoothed[y, x]
        n += 1
        weight += value
        wx += value * x
        wy += value * y
        wxx += value * x * x
        wyy += value * y * y
        wxy += value * x * y
        top = max(top, image[y, x])
        for j in range(y - 1, y + 2):
            for i in range(x - 1, x + 2):
                if j < 0 or i < 0 or j >= ny or i >= nx or not good[j, i]:
                    border += 1
                elif not seen[j, i] and smoothed[j, i] > level:
                    seen[j, i] = 1
                    stack[n_stack, 0], stack[n_stack, 1] = j, i
                    n_stack += 1
    cx, cy = wx / weight, wy / weight
    vxx = max(wxx / weight - cx * cx, 0.0)
    vyy = max(wyy / weight - cy * cy, 0.0)
    vxy = wxy / weight - cx * cy
    half, root = 0.5 * (vxx + vyy), np.sqrt(0.25 * (vxx - vyy) ** 2 + vxy * vxy)
    major, minor = np.sqrt(half + root), np.sqrt(max(half - root, 0.0))
    out[0] = np.log1p(n)
    out[1] = major
    out[2] = minor
    out[3] = minor / max(major, 0.3)
    out[4] = np.hypot(cx - (nx - 1) / 2, cy - (ny - 1) / 2)
    out[5] = np.log1p(border)
    # Filling of the ellipse of these moments: low for bent, forked or hollow shapes.
    out[6] = n / (4.0 * np.pi * max(major, 0.5) * max(minor, 0.5))
    out[7] = np.log1p(top / max(weight / n, 0.1))
