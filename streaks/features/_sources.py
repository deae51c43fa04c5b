"""Numba kernels: sources in a cutout, how they pair, their rings and their shapes.

Arguments are those of the kernels in `streaks.features._pixels`.
"""

# Numba has no types: what it decorates is called with what the annotations say.
# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["blob_features", "peak_features", "ring_features"]

_MAX_PEAKS = 64
_PEAK_SIGMA = 5.0
#: Radii between which rings lie, px.
_RING_EDGES = (0.0, 1.6, 3.1, 4.6, 6.6, 9.1, 13.1, 18.1)


@njit(cache=True, fastmath={"reassoc"})
def _find_peaks(smoothed: Any, good: Any, sign: float, peaks: Any) -> int:
    """Local extremes over 5 x 5 px beyond 5 sigma, as (y, x, value); how many there are."""
    ny, nx = smoothed.shape
    n = 0
    for y in range(2, ny - 2):
        # Most rows have none; the compiler looks at eight pixels of a row at once.
        n_beyond = 0.0
        for x in range(nx):
            n_beyond += 1.0 if sign * smoothed[y, x] >= _PEAK_SIGMA else 0.0
        if n_beyond == 0.0:
            continue
        for x in range(2, nx - 2):
            value = sign * smoothed[y, x]
            if value < _PEAK_SIGMA or not good[y, x] or n == _MAX_PEAKS:
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
    """How many sources of either sign, how they pair, their sharpness and their rings.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    smoothed : (ny, nx)
        From `streaks.features._pixels.smooth`; peaks are beyond 5 sigma in it.
    good : (ny, nx) bool
        Pixels that may be a peak.
    out : (8,)
        Gets the numbers of the group "peak" of `FEATURE_NAMES`, ``n_peaks`` first.
    """
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
    reach = int(radius) + 1
    for y in range(max(ny // 2 - reach, 0), min(ny // 2 + reach, ny)):
        for x in range(max(nx // 2 - reach, 0), min(nx // 2 + reach, nx)):
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
    """Rings around the strongest pixel near the centre, symmetry, and the lobe against it.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    smoothed : (ny, nx)
        From `streaks.features._pixels.smooth`; its extremes within 14 px of the centre are used.
    good : (ny, nx) bool
        Pixels that count.
    out : (15,)
        Gets the numbers of the group "ring" of `FEATURE_NAMES`, ``ring_0`` first.
    """
    found = _extremes(smoothed, good, 14.0)
    high, low = found[0, 2], -found[1, 2]
    strongest = 0 if high >= low else 1
    sign = 1.0 if high >= low else -1.0
    y0, x0 = int(found[strongest, 0]), int(found[strongest, 1])
    _rings(image, good, y0, x0, sign, out[0:10])
    out[10] = _point_symmetry(image, good, y0, x0)
    out[11] = np.log1p(high)
    out[12] = np.log1p(low)
    dy, dx = abs(found[0, 0] - found[1, 0]), abs(found[0, 1] - found[1, 1])
    out[13] = np.hypot(dy, dx)
    # Angle of the dipole from the nearer pixel axis: registration errs along rows or columns.
    out[14] = np.arctan2(min(dy, dx), max(dy, dx)) if dy + dx > 0 else 0.0


@njit(cache=True)
def _rings(image: Any, good: Any, y0: int, x0: int, sign: float, out: Any) -> None:
    """Mean of each ring over the core's, and the scatter within three wide rings."""
    ny, nx = image.shape
    n_rings, edges = len(_RING_EDGES) - 1, _RING_EDGES
    total, square, count = np.zeros(n_rings), np.zeros(n_rings), np.zeros(n_rings)
    reach = int(edges[-1]) + 1
    for y in range(max(y0 - reach, 0), min(y0 + reach + 1, ny)):
        for x in range(max(x0 - reach, 0), min(x0 + reach + 1, nx)):
            r2 = float((y - y0) ** 2 + (x - x0) ** 2)
            if not good[y, x] or r2 >= edges[-1] ** 2:
                continue
            ring = 0
            while r2 >= edges[ring + 1] ** 2:
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
                    ya, xa = y0 + jy + dy, x0 + jx + dx
                    yb, xb = y0 + jy - dy, x0 + jx - dx
                    low = min(min(ya, xa), min(yb, xb))
                    if low < 0 or max(ya, yb) >= ny or max(xa, xb) >= nx:
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
    """Moments of the connected pixels above 3 sigma at the brightest pixel near the centre.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    smoothed : (ny, nx)
        From `streaks.features._pixels.smooth`.
    good : (ny, nx) bool
        Pixels that count.
    out : (8,)
        Gets the numbers of the group "blob" of `FEATURE_NAMES`, ``blob_area`` first; is left as it
        was where no pixel near the centre reaches 3 sigma.
    """
    ny, nx = image.shape
    found = _extremes(smoothed, good, 14.0)
    peak = found[0, 2]
    if peak < 3.0:
        return
    # Of a bright source only what is above a tenth of its peak: wings would swell it.
    level = max(3.0, 0.1 * peak)
    seen = np.zeros((ny, nx), np.uint8)
    stack = np.empty((ny * nx, 2), np.int32)
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
