"""Numba kernels: the line near the centre, its profiles, and lines through the whole cutout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["frame_line_features", "segment_features"]

_BIN = 4
_N_ANGLES = 48
_REACH = 90


@njit(cache=True)
def _sample(image: Any, good: Any, y: float, x: float) -> float:
    """Bilinear value; NaN outside and where the nearest pixel is not good."""
    ny, nx = image.shape
    if not (0.0 <= y <= ny - 1.0 and 0.0 <= x <= nx - 1.0):
        return np.nan
    j, i = min(int(y), ny - 2), min(int(x), nx - 2)
    fy, fx = y - j, x - i
    if not good[j + (fy > 0.5), i + (fx > 0.5)]:
        return np.nan
    top = image[j, i] * (1.0 - fx) + image[j, i + 1] * fx
    below = image[j + 1, i] * (1.0 - fx) + image[j + 1, i + 1] * fx
    return top * (1.0 - fy) + below * fy


@njit(cache=True)
def _best_segment(clipped: Any) -> Any:
    """(snr, theta, rho) of the strongest short segment that passes near the centre.

    ``rho`` is the distance of its line from the centre, along the normal.
    """
    best = np.zeros(3)
    for k in range(20):
        _search(clipped, np.pi * k / 20, -12.0, 12.0, 1.0, 18, best)
    theta, rho = best[1], best[2]
    for k in range(-4, 5):
        _search(clipped, theta + np.radians(1.5 * k), rho - 2.0, rho + 2.0, 0.5, 30, best)
    return best


@njit(cache=True, fastmath=True)
def _search(
    clipped: Any, theta: float, rho_low: float, rho_high: float, step: float, reach: int, best: Any
) -> None:
    """The best window of 5, 9, 17 and 33 px on parallel lines of one direction.

    Masked pixels are 0 and only weaken a line. Nothing here comes nearer to the border than
    20 px, so no bounds are checked.
    """
    ny, nx = clipped.shape
    cos, sin = np.cos(theta), np.sin(theta)
    sums = np.zeros(2 * reach + 2)
    for r in range(int((rho_high - rho_low) / step + 0.5) + 1):
        rho = rho_low + r * step
        x0, y0 = (nx - 1) / 2 - rho * sin, (ny - 1) / 2 + rho * cos
        for t in range(-reach, reach + 1):
            y, x = y0 + t * sin, x0 + t * cos
            j, i = int(y), int(x)
            fy, fx = y - j, x - i
            top = clipped[j, i] + (clipped[j, i + 1] - clipped[j, i]) * fx
            below = clipped[j + 1, i] + (clipped[j + 1, i + 1] - clipped[j + 1, i]) * fx
            sums[t + reach + 1] = sums[t + reach] + top + (below - top) * fy
        for width in (5, 9, 17, 33):
            highest = 0.0
            for start in range(2 * reach + 2 - width):
                highest = max(highest, sums[start + width] - sums[start])
            snr = highest / np.sqrt(width)
            if snr > best[0] + 1e-9:
                best[0], best[1], best[2] = snr, theta, rho


@njit(cache=True)
def _along(image: Any, good: Any, theta: float, rho: float) -> Any:
    """Mean over three pixels across, at each pixel along; NaN where no data."""
    ny, nx = image.shape
    cos, sin = np.cos(theta), np.sin(theta)
    x0, y0 = (nx - 1) / 2 - rho * sin, (ny - 1) / 2 + rho * cos
    profile = np.full(2 * _REACH + 1, np.nan)
    for t in range(-_REACH, _REACH + 1):
        total, n = 0.0, 0
        for across in range(-1, 2):
            value = _sample(image, good, y0 + t * sin + across * cos, x0 + t * cos - across * sin)
            if value == value:
                total += value
                n += 1
        if n:
            profile[t + _REACH] = total / n
    return profile


@njit(cache=True)
def _interval(profile: Any) -> tuple[int, int]:
    """First and last pixel of the piece with the highest sum over root of its length."""
    n = len(profile)
    sums, counts = np.zeros(n + 1), np.zeros(n + 1)
    for t in range(n):
        usable = profile[t] == profile[t]
        # A star on the line must not pass for the whole line.
        sums[t + 1] = sums[t] + (min(max(profile[t], -4.0), 8.0) if usable else 0.0)
        counts[t + 1] = counts[t] + usable
    best, first, last = -np.inf, n // 2 - 1, n // 2 + 1
    for a in range(n - 2):
        if profile[a] != profile[a]:
            continue
        for b in range(a + 3, n + 1):
            count = counts[b] - counts[a]
            # Both ends on data: else a piece could reach into nothing at no cost.
            if count >= 3 and profile[b - 1] == profile[b - 1]:
                value = (sums[b] - sums[a]) / np.sqrt(count)
                if value > best + 1e-9:
                    best, first, last = value, a, b - 1
    return first, last


@njit(cache=True)
def _across(image: Any, good: Any, theta: float, rho: float, t0: int, t1: int) -> Any:
    """Mean along the segment at each distance of -10 to 10 px across."""
    ny, nx = image.shape
    cos, sin = np.cos(theta), np.sin(theta)
    x0, y0 = (nx - 1) / 2 - rho * sin, (ny - 1) / 2 + rho * cos
    profile = np.zeros(21)
    for across in range(-10, 11):
        total, n = 0.0, 0
        for t in range(t0, t1 + 1):
            value = _sample(image, good, y0 + t * sin + across * cos, x0 + t * cos - across * sin)
            if value == value:
                total += value
                n += 1
        profile[across + 10] = total / max(n, 1)
    return profile


@njit(cache=True)
def _clipped(smoothed: Any, good: Any) -> Any:
    """What the search sees: no pixel speaks for a whole line, and masked ones say nothing."""
    ny, nx = smoothed.shape
    clipped = np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            if good[y, x]:
                clipped[y, x] = min(max(smoothed[y, x], -5.0), 10.0)
    return clipped


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
def segment_features(image: Any, smoothed: Any, good: Any, out: Any) -> None:
    """The strongest segment near the centre: S/N, length, profiles, what lies beyond."""
    best = _best_segment(_clipped(smoothed, good))
    snr, theta, rho = best[0], best[1], best[2]
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
    _across_features(_across(image, good, theta, rho, t0, t1), out[18:26])
    _bend_features(image, good, theta, rho, t0, t1, out[26:29])
    _share_features(image, smoothed, good, theta, rho, t0, t1, out[29:32])


@njit(cache=True)
def _along_features(profile: Any, first: int, last: int, out: Any) -> None:
    """Evenness along the segment, gaps, what goes on beyond both ends, and where data end."""
    length, n, bright = last - first + 1, 0, 0.0
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
    piece_mean, out[1] = _mean_std(pieces, 8)
    _sort(pieces, 8)
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
    before, room_before = _beyond(profile, first, -1)
    after, room_after = _beyond(profile, last, 1)
    out[10] = min(max(max(before, after) / mean, -2.0), 3.0)
    out[11] = min(max(min(before, after) / mean, -2.0), 3.0)
    out[12] = min(room_before, room_after)


@njit(cache=True)
def _pieces(values: Any, n_pieces: int, mean: float) -> Any:
    """Means of equal pieces over the whole's mean; pixels on a border count in both by share."""
    pieces = np.ones(n_pieces)
    width = len(values) / n_pieces
    for k in range(n_pieces):
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
    peak = max(p[9], p[10], p[11], 0.1)
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
def _bend_features(
    image: Any, good: Any, theta: float, rho: float, t0: int, t1: int, out: Any
) -> None:
    """Scatter of the ridge about its straight line, its curvature, and its change of width."""
    ny, nx = image.shape
    cos, sin = np.cos(theta), np.sin(theta)
    x0, y0 = (nx - 1) / 2 - rho * sin, (ny - 1) / 2 + rho * cos
    total, moment, square = np.full(6, 0.3), np.zeros(6), np.zeros(6)
    for t in range(t0, t1 + 1):
        # Each pixel belongs to the two nearest of six points along, by share.
        place = min(max((t - t0 + 0.5) / (t1 - t0 + 1) * 6 - 0.5, 0.0), 4.999999)
        k = int(place)
        for across in range(-4, 5):
            value = _sample(image, good, y0 + t * sin + across * cos, x0 + t * cos - across * sin)
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
    out[2] = _mean_std(square, 6)[1]


@njit(cache=True)
def _share_features(
    image: Any, smoothed: Any, good: Any, theta: float, rho: float, t0: int, t1: int, out: Any
) -> None:
    """Share of all bright pixels on the segment, and of dark pixels beside it."""
    ny, nx = image.shape
    cos, sin = np.cos(theta), np.sin(theta)
    on, bright, beside, dark, top, top_smooth = 0.0, 0.0, 0.0, 0.0, 0.0, 0.3
    for y in range(ny):
        for x in range(nx):
            if not good[y, x]:
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
def _bin_image(image: Any, good: Any) -> tuple[Any, Any]:
    """Sums of clipped values over 4 x 4 px, and how many pixels each has."""
    ny, nx = image.shape[0] // _BIN, image.shape[1] // _BIN
    sums, counts = np.zeros((ny, nx)), np.zeros((ny, nx))
    for y in range(ny * _BIN):
        for x in range(nx * _BIN):
            if good[y, x]:
                sums[y // _BIN, x // _BIN] += min(max(image[y, x], -3.0), 4.0)
                counts[y // _BIN, x // _BIN] += 1.0
    return sums, counts


@njit(cache=True)
def _radon(sums: Any, counts: Any) -> Any:
    """S/N of whole lines, (angle, offset); NaN for lines under 40 px; each bin to two offsets."""
    ny, nx = sums.shape
    half = int(np.hypot(ny, nx) / 2) + 2
    lines = np.full((_N_ANGLES, 2 * half + 1), np.nan)
    for k in range(_N_ANGLES):
        cos, sin = np.cos(np.pi * k / _N_ANGLES), np.sin(np.pi * k / _N_ANGLES)
        total, noise = np.zeros(2 * half + 1), np.zeros(2 * half + 1)
        for j in range(ny):
            for i in range(nx):
                n = counts[j, i]
                if n == 0.0:
                    continue
                offset = (j - (ny - 1) / 2) * cos - (i - (nx - 1) / 2) * sin + half
                low = int(offset)
                share = offset - low
                total[low] += (1.0 - share) * sums[j, i]
                total[low + 1] += share * sums[j, i]
                noise[low] += (1.0 - share) ** 2 * n
                noise[low + 1] += share**2 * n
        for r in range(2 * half + 1):
            if noise[r] > 80.0:
                lines[k, r] = total[r] / np.sqrt(noise[r])
    return lines


@njit(cache=True)
def _contrast(lines: Any) -> Any:
    """Each line against its neighbours three offsets (12 px) to both sides."""
    n_angles, n = lines.shape
    contrast = np.zeros((n_angles, n))
    for k in range(n_angles):
        for r in range(3, n - 3):
            value = lines[k, r] - 0.5 * (lines[k, r - 3] + lines[k, r + 3])
            if value == value:
                contrast[k, r] = value
    return contrast


@njit(cache=True)
def frame_line_features(image: Any, good: Any, out: Any) -> None:
    """Lines through the whole cutout: the strongest, others beside it, negative ones, evenness."""
    sums, counts = _bin_image(image, good)
    lines = _radon(sums, counts)
    contrast = _contrast(lines)
    n_offsets = contrast.shape[1]
    best, at_k, at_r = 0.0, 0, n_offsets // 2
    darkest, highest_energy, total_energy = 0.0, 0.0, 0.0
    for k in range(_N_ANGLES):
        energy = 0.0
        for r in range(n_offsets):
            energy += contrast[k, r] ** 2
            darkest = min(darkest, contrast[k, r])
            if contrast[k, r] > best + 1e-9:
                best, at_k, at_r = contrast[k, r], k, r
        highest_energy = max(highest_energy, energy)
        total_energy += energy
    crossing, parallel, n_strong = _other_lines(contrast, at_k, at_r)
    out[0] = np.log1p(best)
    out[1] = np.log1p(-darkest)
    out[2] = np.log1p(crossing)
    out[3] = np.log1p(parallel)
    out[4] = np.log1p(n_strong)
    out[5] = highest_energy / max(total_energy / _N_ANGLES, 1e-6)
    folded = at_k % (_N_ANGLES // 2)
    out[6] = min(folded, _N_ANGLES // 2 - folded)
    out[7] = abs(at_r - n_offsets // 2) * _BIN if best > 0.0 else 0.0
    theta, rho = np.pi * at_k / _N_ANGLES, (at_r - n_offsets // 2) * float(_BIN)
    _coverage(image, good, theta, rho, out[8:11])


@njit(cache=True)
def _other_lines(contrast: Any, at_k: int, at_r: int) -> tuple[float, float, int]:
    """Best line more than 20 deg away, best one nearly parallel, and how many ridges there are."""
    n_angles, n = contrast.shape
    crossing, parallel, n_strong = 0.0, 0.0, 0
    for k in range(n_angles):
        turn = abs(k - at_k)
        turn = min(turn, n_angles - turn)
        # The offset changes its sign where the angle wraps.
        home = at_r if abs(k - at_k) <= n_angles // 2 else n - 1 - at_r
        for r in range(1, n - 1):
            value = contrast[k, r]
            if turn > 5:
                crossing = max(crossing, value)
            elif abs(r - home) >= 4:
                parallel = max(parallel, value)
            n_strong += value > 8.0 and value > contrast[k, r - 1] and value >= contrast[k, r + 1]
    return crossing, parallel, n_strong


@njit(cache=True)
def _coverage(image: Any, good: Any, theta: float, rho: float, out: Any) -> None:
    """Along the strongest whole line: share of its pieces that are bright, scatter, least piece."""
    ny, nx = image.shape
    cos, sin = np.cos(theta), np.sin(theta)
    x0, y0 = (nx - 1) / 2 - rho * sin, (ny - 1) / 2 + rho * cos
    pieces = np.zeros(12)
    n = 0
    for k in range(12):
        total, count = 0.0, 0
        for step in range(15):
            t = 15 * (k - 6) + step + 0.5
            for across in range(-3, 4):
                value = _sample(
                    image, good, y0 + t * sin + across * cos, x0 + t * cos - across * sin
                )
                if value == value:
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
