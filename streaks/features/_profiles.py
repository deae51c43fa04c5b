"""Numba kernels: what the profiles of a line tell, along it and across.

A line has the direction ``theta`` and lies ``rho`` px from the cutout's centre, along its normal;
``t`` runs along it, from the foot of that normal.
"""

# Numba has no types: what it decorates is called with what the annotations say.
# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["coverage_features", "segment_features"]

#: Pixels to both sides of the foot of the normal: beyond the corners of a cutout of 128 px.
_REACH = 90
#: Pixels to both sides of a segment.
_FLANK = 10

# Whole numbers are given to other kernels as `np.int64`: to Numba a bare 8 is a type of its own,
# and each one of these has the kernel compiled again.


@njit(cache=True)
def _samples(
    image: Any, good: Any, theta: float, rho: float, first: float, n: int, reach: int
) -> Any:
    """Bilinear values about a line, (2 * reach + 1, n): n places along it, from ``first`` on.

    NaN outside of the image and where the nearest pixel is not good.
    """
    ny, nx = image.shape
    cos, sin = np.cos(theta), np.sin(theta)
    x0, y0 = (nx - 1) / 2 - rho * sin, (ny - 1) / 2 + rho * cos
    values = np.empty((2 * reach + 1, n))
    for across in range(-reach, reach + 1):
        for k in range(n):
            values[across + reach, k] = np.nan
            t = first + k
            y, x = y0 + t * sin + across * cos, x0 + t * cos - across * sin
            if not (0.0 <= y <= ny - 1.0 and 0.0 <= x <= nx - 1.0):
                continue
            j, i = min(int(y), ny - 2), min(int(x), nx - 2)
            fy, fx = y - j, x - i
            if good[j + (fy > 0.5), i + (fx > 0.5)]:
                top = image[j, i] * (1.0 - fx) + image[j, i + 1] * fx
                below = image[j + 1, i] * (1.0 - fx) + image[j + 1, i + 1] * fx
                values[across + reach, k] = top * (1.0 - fy) + below * fy
    return values


@njit(cache=True)
def _along(image: Any, good: Any, theta: float, rho: float) -> Any:
    """Mean over three pixels across, at each pixel along; NaN where no data."""
    samples = _samples(
        image, good, theta, rho, -float(_REACH), np.int64(2 * _REACH + 1), np.int64(1)
    )
    profile = np.empty(2 * _REACH + 1)
    for t in range(2 * _REACH + 1):
        profile[t] = np.nan
        total, n = 0.0, 0
        for across in range(3):
            if samples[across, t] == samples[across, t]:
                total += samples[across, t]
                n += 1
        if n:
            profile[t] = total / n
    return profile


@njit(cache=True)
def _interval(profile: Any) -> tuple[int, int]:
    """First and last pixel of the piece with the highest sum over root of its length."""
    n = len(profile)
    sums, counts = np.zeros(n + 1), np.zeros(n + 1, np.int64)
    usable, roots = np.empty(n, np.bool_), np.zeros(n + 1)
    for t in range(n):
        usable[t] = not np.isnan(profile[t])
        # A star on the line must not pass for the whole line.
        sums[t + 1] = sums[t] + (min(max(profile[t], -4.0), 8.0) if usable[t] else 0.0)
        counts[t + 1] = counts[t] + usable[t]
        roots[t + 1] = np.sqrt(t + 1)
    # The highest sum that any piece still reaches which ends at a pixel or later.
    reached = np.empty(n + 2)
    reached[n + 1] = -np.inf
    for b in range(n, 0, -1):
        reached[b] = max(reached[b + 1], sums[b])
    best, first, last = -np.inf, n // 2 - 1, n // 2 + 1
    for a in range(n - 2):
        # Three pixels are the least, so nothing from here on can be better than this.
        if not usable[a] or (reached[a + 3] - sums[a]) / roots[3] <= best:
            continue
        for b in range(a + 3, n + 1):
            count = counts[b] - counts[a]
            # Both ends on data: else a piece could reach into nothing at no cost.
            if count >= 3 and usable[b - 1]:
                value = (sums[b] - sums[a]) / roots[count]
                if value > best + 1e-9:
                    best, first, last = value, a, b - 1
    return first, last


@njit(cache=True)
def _across(samples: Any) -> Any:
    """Mean along the segment at each distance of -10 to 10 px across."""
    n_across, n_along = samples.shape
    profile = np.zeros(n_across)
    for across in range(n_across):
        total, n = 0.0, 0
        for t in range(n_along):
            if samples[across, t] == samples[across, t]:
                total += samples[across, t]
                n += 1
        profile[across] = total / max(n, 1)
    return profile


@njit(cache=True)
def _mean_std(values: Any, n: int) -> tuple[float, float]:
    """Of the first n values; zeros where there are none."""
    total, square = 0.0, 0.0
    for k in range(n):
        total += values[k]
        square += values[k] * values[k]
    mean = total / max(n, 1)
    return mean, np.sqrt(max(square / max(n, 1) - mean * mean, 0.0))


@njit(cache=True)
def _sort(values: Any, n: int) -> None:
    """The first n values in rising order, in place (there are few)."""
    for k in range(1, n):
        value, at = values[k], k
        while at > 0 and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@njit(cache=True)
def segment_features(
    image: Any, smoothed: Any, good: Any, snr: float, theta: float, rho: float, out: Any
) -> None:
    """The strongest segment near the centre: S/N, length, profiles, what lies beyond.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    smoothed : (ny, nx)
        From `streaks.features._pixels.smooth`.
    good : (ny, nx) bool
        Pixels that count.
    snr, theta, rho
        From `streaks.features._searches.best_segment`.
    out : (32,)
        Gets the numbers of the group "segment" of `FEATURE_NAMES`, ``segment_snr`` first; is left
        as it was where `snr` is not above 0.
    """
    if snr <= 0.0:
        return
    profile = _along(image, good, theta, rho)
    first, last = _interval(profile)
    t0, t1 = first - _REACH, last - _REACH
    length = t1 - t0 + 1
    out[0] = np.log1p(snr)
    out[1] = length
    out[2] = abs(0.5 * (t0 + t1))
    out[3] = abs(rho)
    folded = theta % (np.pi / 2)
    out[4] = min(folded, np.pi / 2 - folded)
    _along_features(profile, first, last, out[5:18])
    samples = _samples(image, good, theta, rho, float(t0), length, np.int64(_FLANK))
    _across_features(_across(samples), out[18:26])
    _bend_features(samples, out[26:29])
    _share_features(image, smoothed, good, theta, rho, t0, t1, out[29:32])


@njit(cache=True)
def _along_features(profile: Any, first: int, last: int, out: Any) -> None:
    """Evenness along the segment, gaps, what goes on beyond both ends, and where data end."""
    n: Any = np.int64(0)
    length, bright = last - first + 1, 0.0
    usable = np.zeros(length)
    for t in range(first, last + 1):
        if profile[t] == profile[t]:
            usable[n] = profile[t]
            n += 1
    mean = max(_mean_std(usable, n)[0], 0.05)
    for k in range(n):
        bright += usable[k] > 0.4 * mean
    pieces = _pieces(profile[first : last + 1], 8, mean)
    unevenness = 0.0
    for k in range(4):
        unevenness += (pieces[k] - pieces[7 - k]) / 8.0
    piece_mean, out[1] = _mean_std(pieces, np.int64(8))
    _sort(pieces, np.int64(8))
    out[0] = np.log1p(mean)
    out[2] = min(max(pieces[0], -3.0), 3.0)
    out[3] = min(pieces[7], 8.0)
    out[4] = min(max((pieces[6] + pieces[7]) / max(8.0 * piece_mean, 0.1), 0.0), 2.0)
    out[5] = min(abs(unevenness), 3.0)
    out[7] = bright / max(n, 1)
    out[8] = 1.0 - n / length
    # At pixel scale: a cosmic ray is ragged, a trail blurred by the PSF is not.
    rough = 0.0
    for k in range(1, n - 1):
        rough += (usable[k] - 0.5 * (usable[k - 1] + usable[k + 1])) ** 2
    out[9] = min(np.sqrt(rough / max(n - 2, 1)) / mean, 9.0)
    _sort(usable, n)
    out[6] = 0.5 * (usable[n // 2] + usable[(n - 1) // 2]) / mean if n else 0.0
    before, room_before = _beyond(profile, first, np.int64(-1))
    after, room_after = _beyond(profile, last, np.int64(1))
    out[10] = min(max(max(before, after) / mean, -2.0), 3.0)
    out[11] = min(max(min(before, after) / mean, -2.0), 3.0)
    out[12] = min(room_before, room_after)


@njit(cache=True)
def _pieces(values: Any, n_pieces: int, mean: float) -> Any:
    """Means of equal pieces over the whole's mean; pixels on a border count in both by share."""
    pieces = np.empty(n_pieces)
    width = len(values) / n_pieces
    for k in range(n_pieces):
        pieces[k] = 1.0
        total, weight = 0.0, 0.0
        for t in range(int(k * width), min(int((k + 1) * width) + 1, len(values))):
            share = min(t + 1.0, (k + 1) * width) - max(float(t), k * width)
            if share > 1e-9 and values[t] == values[t]:
                total += share * values[t]
                weight += share
        if weight > 1e-6:
            pieces[k] = total / weight / mean
    return pieces


@njit(cache=True)
def _beyond(profile: Any, end: int, step: int) -> tuple[float, float]:
    """Mean of ten pixels beyond an end (past the PSF's wings), and pixels of data left there."""
    total, n, room, gap = 0.0, 0, 0, 0
    t = end + step
    while 0 <= t < len(profile):
        if profile[t] == profile[t]:
            room += 1
            distance = abs(t - end)
            if 4 <= distance < 14:
                total += profile[t]
                n += 1
        elif room == 0:
            gap += 1
        t += step
    return total / max(n, 1), float(min(room if gap == 0 else 0, 40))


@njit(cache=True)
def _across_features(profile: Any, out: Any) -> None:
    """Width, sharpness, dark flanks, uneven sides and further ridges of the cross-section."""
    base = 0.25 * (profile[0] + profile[1] + profile[19] + profile[20])
    p = np.zeros(21)
    total, square, lowest, other, uneven = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(21):
        p[k] = profile[k] - base
        lowest = min(lowest, p[k])
        uneven += p[k] if k < 10 else (-p[k] if k > 10 else 0.0)
        if 5 <= k <= 15:
            total += max(p[k], 0.0)
            square += max(p[k], 0.0) * (k - 10) ** 2
        if abs(k - 10) > 3:
            other = max(other, abs(p[k]))
    peak = max(max(p[9], p[10]), max(p[11], 0.1))
    out[0] = np.sqrt(square / max(total, 0.05))
    out[1] = min(total / peak, 12.0)
    out[2] = min(max((p[9] + p[11]) / (2.0 * peak), -1.0), 2.0)
    out[3] = min(max((p[8] + p[12]) / (2.0 * peak), -1.0), 2.0)
    out[4] = min(-lowest / peak, 4.0)
    out[5] = min(abs(uneven) / peak, 10.0)
    out[6] = min(other / peak, 4.0)
    # Both flanks dark, as beside a badly subtracted or over-sharpened source.
    left, right = p[8], p[12]
    for k in range(4, 9):
        left, right = min(left, p[k]), min(right, p[20 - k])
    out[7] = min(max(-max(left, right) / peak, -1.0), 3.0)


@njit(cache=True)
def _bend_features(samples: Any, out: Any) -> None:
    """Scatter of the ridge about its straight line, its curvature, and its change of width."""
    length = samples.shape[1]
    total, moment, square = np.zeros(6), np.zeros(6), np.zeros(6)
    for k in range(6):
        total[k] = 0.3
    for t in range(length):
        # Each pixel belongs to the two nearest of six points along, by share.
        place = min(max((t + 0.5) / length * 6 - 0.5, 0.0), 4.999999)
        k = int(place)
        for across in range(-4, 5):
            value = samples[across + _FLANK, t]
            if value > 1.5:
                value = min(value, 20.0)
                for m in range(2):
                    share = value * (place - k if m else 1.0 - place + k)
                    total[k + m] += share
                    moment[k + m] += share * across
                    square[k + m] += share * across * across
    slope, mean = 0.0, 0.0
    for k in range(6):
        moment[k] /= total[k]
        square[k] /= total[k]
        slope += (k - 2.5) * moment[k] / 17.5  # 17.5 and 37.3 are the norms of six such weights
        mean += moment[k] / 6.0
    scatter, curvature = 0.0, 0.0
    for k in range(6):
        residual = moment[k] - mean - slope * (k - 2.5)
        scatter += residual * residual / 6.0
        curvature += ((k - 2.5) ** 2 - 17.5 / 6.0) * residual / 37.333333
    out[0] = np.sqrt(scatter)
    out[1] = abs(curvature) * 6.25
    out[2] = _mean_std(square, np.int64(6))[1]


@njit(cache=True)
def _share_features(
    image: Any,
    smoothed: Any,
    good: Any,
    theta: float,
    rho: float,
    t0: int,
    t1: int,
    out: Any,
) -> None:
    """Share of all bright pixels on the segment, and of dark pixels beside it."""
    ny, nx = image.shape
    cos, sin = np.cos(theta), np.sin(theta)
    on, bright, beside, dark, top, top_smooth = 0.0, 0.0, 0.0, 0.0, 0.0, 0.3
    for y in range(ny):
        for x in range(nx):
            # Most pixels are neither bright nor dark: what is said of them must cost nothing.
            if abs(smoothed[y, x]) <= 3.0 or not good[y, x]:
                continue
            value = min(max(smoothed[y, x], -30.0), 30.0)
            dx, dy = x - (nx - 1) / 2, y - (ny - 1) / 2
            t, across = dx * cos + dy * sin, dy * cos - dx * sin - rho
            near = abs(across) < 4.0 and t0 - 4.0 < t < t1 + 4.0
            if value > 3.0:
                bright += value
                if near:
                    on += value
                    top = max(top, image[y, x])
                    top_smooth = max(top_smooth, smoothed[y, x])
            elif value < -3.0:
                dark -= value
                if abs(across) < 9.0 and t0 - 6.0 < t < t1 + 6.0:
                    beside -= value
    out[0] = on / max(bright, 3.0)
    out[1] = min(beside / max(on, 3.0), 5.0)
    out[2] = min(top / top_smooth, 5.0)


@njit(cache=True)
def coverage_features(image: Any, good: Any, theta: float, rho: float, out: Any) -> None:
    """Along a whole line: share of its pieces that are bright, scatter, least piece.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    good : (ny, nx) bool
        Pixels that count.
    theta, rho
        From `streaks.features._searches.whole_line_features`, rad and px.
    out : (3,)
        Gets the last three numbers of the group "frame_line" of `FEATURE_NAMES`.
    """
    samples = _samples(image, good, theta, rho, -89.5, np.int64(180), np.int64(3))
    pieces = np.zeros(12)
    n: Any = np.int64(0)
    for k in range(12):
        total, count = 0.0, 0
        for t in range(15 * k, 15 * (k + 1)):
            for across in range(7):
                value = samples[across, t]
                if not np.isnan(value):
                    total += min(max(value, -4.0), 6.0)
                    count += 1
        if count > 25:
            pieces[n] = total / np.sqrt(count)
            n += 1
    mean, spread = _mean_std(pieces, n)
    least, bright = pieces[0], 0
    for k in range(n):
        least = min(least, pieces[k])
        bright += pieces[k] > 2.0
    out[0] = bright / max(n, 1)
    out[1] = min(spread / max(mean, 0.5), 9.0)
    out[2] = least
