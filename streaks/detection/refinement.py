"""From rough lines to distinct segments: refine the strongest, paint it out, go on.

Works on the PSF-filtered image, in which the matched filter of a trail is a plain line integral
(`streaks.trail.line_noise` is its noise).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.trail import shares_inside

__all__ = ["distinct_segments", "line_snr"]

#: Share of a line that must be covered by usable pixels; below it S/N is not raised further for
#: what is hidden.
_MIN_COVER = 0.2
#: Lines longer than this are sampled every two pixels, those longer than that more sparsely yet.
_LONG_PX = 48.0
_VERY_LONG_PX = 160.0
#: Share of the first cut that a line has to have before it is refined; digital paths of the very
#: long leave the straight line by pixels.
_HAS, _FAR_OFF = 0.85, 0.80
#: A long line is looked at in so many parts for one that outdoes the whole.
_PARTS = 64
#: Turns of the refinement after which a line should have come so near to the threshold. Of lines
#: that pass in the end, none in a thousand is farther away.
_EARLY, _EARLY_SHARE = 2, 0.80
_LATER, _LATER_SHARE = 4, 0.90
#: Long lines may still grow beyond their ends.
_LONG_SHARE = 0.9
#: Distance of samples along very long lines, in widths of the noise: filtered noise is so smooth
#: that every other or third pixel tells a long line's integral as well; its own noise is then
#: 1.5 % more.
_SPARSE = 3.1
#: A line shorter than this, px, is a point.
_POINT_PX = 0.2
#: Half-lengths in widths of the noise beyond which the rest of a Gaussian is below what a number
#: of 64 bits can tell.
_FAR = 6.0
#: A step counts where it adds so much S/N.
_GAIN = 1e-3
#: A line is drawn out by these shares of its length, and a part of it taken where it is shorter
#: than this share of the whole.
_OUT_SHARES, _PART_SHARE = (0.5, 1.0, 2.0), 0.8
#: Pattern search: turns; first steps along (share of the length, px at least) and across, px;
#: factors by which a step along grows and shrinks; where it ends and what steps do not fall below.
_TURNS, _ALONG_SHARE, _ALONG_PX = 30, 0.25, 2.0
_GROW, _SHRINK = 1.3, 0.5
_LAST_ALONG_PX, _LAST_ACROSS_PX, _LEAST_ALONG_PX, _LEAST_ACROSS_PX = 0.4, 0.12, 0.2, 0.06
_MOVES = 10
#: What a move does, each one way and the other.
_FIRST_ALONG, _LAST_ALONG, _BOTH_ACROSS, _LAST_ACROSS, _FIRST_ACROSS = range(5)
_TINY = 1e-6
#: Light is painted out down to this share of the noise, to so many widths at least; stars have
#: wings beyond any Gaussian, in px a unit of S/N, up to this S/N.
_PAINTED_TO, _PAINTED_WIDTHS, _WINGS_PX, _WINGS_SNR = 0.4, 2.0, 0.004, 2000.0
_ROOT_2 = 1.4142
#: Room for painted pixels at first.
_ROOM = 4096
#: Times a line is drawn out, and cut down, at most.
_REPEATS = 3
#: Numbers of a line: its ends; and of a painted pixel: row, column, S/N and cover.
_ENDS = 4


def distinct_segments(
    filtered: NDArray[np.float32],
    cover: NDArray[np.float32],
    starts: NDArray[np.float64],
    *,
    sigma_px: float,
    noise_sigma_px: float,
    first_cut: float,
    threshold_snr: float,
    clip: float,
    limit: int,
) -> NDArray[np.float64]:
    """Refined segments, each with the light of those before it painted out.

    Parameters
    ----------
    filtered : (ny, nx) float32
        PSF-filtered image of unit noise. What is found is painted out for the time being.
    cover : (ny, nx) float32
        Share of the PSF that falls on usable pixels. The same.
    starts : (n, 4)
        x0, y0, x1, y1 of rough lines, strongest first.
    sigma_px
        Width of the PSF.
    noise_sigma_px
        Width for which ``exp(-d**2 / (4 s**2))`` describes the noise's correlation.
    first_cut
        Rough lines that fall below this once others are painted out are dropped.
    threshold_snr
        Refined lines below this are dropped.
    clip
        Filtered values count up to this.
    limit
        Stop after so many.

    Returns
    -------
    (m, 5)
        x0, y0, x1, y1, snr in the order found.
    """
    return np.asarray(_refine_all(
        filtered, cover, np.ascontiguousarray(starts), sigma_px, noise_sigma_px,
        first_cut, threshold_snr, np.float32(clip), limit,
    ))  # fmt: skip


def line_snr(
    filtered: NDArray[np.float32],
    cover: NDArray[np.float32],
    ends: Any,
    *,
    noise_sigma_px: float,
    clip: float = math.inf,
) -> float:
    """Matched-filter signal-to-noise along a segment.

    Parameters
    ----------
    filtered, cover : (ny, nx) float32
        As in `distinct_segments`.
    ends
        ``x0, y0, x1, y1``, px.
    noise_sigma_px
        As in `distinct_segments`.
    clip
        Filtered values count up to this.

    Returns
    -------
    float
    """
    x0, y0, x1, y1 = (float(v) for v in ends)
    return float(_snr(filtered, cover, x0, y0, x1, y1, noise_sigma_px, np.float32(clip)))


@njit(cache=True, nogil=True, error_model="numpy")
def _snr(filtered, cover, x0, y0, x1, y1, s, clip):  # type: ignore[no-untyped-def]
    """Line integral over its noise, bilinear; what is hidden adds neither signal nor noise."""
    ny, nx = filtered.shape
    length = math.hypot(x1 - x0, y1 - y0)
    step = 1.0
    if length > _LONG_PX:
        step = max(math.floor(_SPARSE * s), 1.0) if length > _VERY_LONG_PX else 2.0
    n = max(2, math.ceil(length / step) + 1)
    inside = min(x0, x1) >= 0.0 and min(y0, y1) >= 0.0
    inside = inside and max(x0, x1) < nx - 1 and max(y0, y1) < ny - 1
    if inside:
        total, covered = _means_inside(filtered, cover, x0, y0, x1, y1, n, clip)
    else:
        total, covered = _means(filtered, cover, x0, y0, x1, y1, n, clip)
    if length < _POINT_PX:
        return total / math.sqrt(max(covered, _MIN_COVER))
    t = length / (2.0 * s)
    tail, whole = (math.exp(-t * t), math.erf(t)) if t < _FAR else (0.0, 1.0)
    mean_square = (
        2.0
        * (length * s * math.sqrt(math.pi) * whole - 2.0 * s * s * (1.0 - tail))
        / (length * length)
    )
    return total / math.sqrt(mean_square * max(covered, _MIN_COVER))


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _inside(filtered, cover, x, y, clip):  # type: ignore[no-untyped-def]
    """Clipped filtered image, bilinear, and cover at a place that has pixels on all sides."""
    # Unsigned, so that no index is asked whether it counts from the end.
    one, jx, jy = np.uint64(1), np.int64(x), np.int64(y)
    ix, iy = np.uint64(jx), np.uint64(jy)
    fx, fy = np.float32(x - jx), np.float32(y - jy)
    a, b = filtered[iy, ix], filtered[iy, ix + one]
    c, d = filtered[iy + one, ix], filtered[iy + one, ix + one]
    low, high = a + fx * (b - a), c + fx * (d - c)
    seen = cover[np.uint64(np.int64(y + 0.5)), np.uint64(np.int64(x + 0.5))]
    return min(low + fy * (high - low), clip), seen


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _means_inside(filtered, cover, x0, y0, x1, y1, n, clip):  # type: ignore[no-untyped-def]
    """Means of the clipped filtered image and of the cover along a line within the image."""
    first, first_seen = _inside(filtered, cover, x0, y0, clip)
    last, last_seen = _inside(filtered, cover, x1, y1, clip)
    # The ends count half.
    total, covered = 0.5 * (first + last), 0.5 * (first_seen + last_seen)
    dx, dy = (x1 - x0) / (n - 1), (y1 - y0) / (n - 1)
    for i in range(1, n - 1):
        value, seen = _inside(filtered, cover, x0 + i * dx, y0 + i * dy, clip)
        total += value
        covered += seen
    return total / (n - 1), covered / (n - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _means(filtered, cover, x0, y0, x1, y1, n, clip):  # type: ignore[no-untyped-def]
    """The same of any line: outside counts as seen and empty, so that ends stop at the edge."""
    ny, nx = filtered.shape
    enters, leaves = shares_inside(x0, y0, x1, y1, 0.0, 0.0, nx - 1.0, ny - 1.0)
    # What rounding may have cut is looked at: outside it counts for nothing.
    first, last = max(0, int(enters * (n - 1))), min(int(leaves * (n - 1)) + 1, n - 1)
    total, covered, outside = 0.0, 0.0, n - 1.0
    for i in range(first, last + 1):
        t = i / (n - 1)
        x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        weight = 0.5 if i == 0 or i == n - 1 else 1.0
        ix, iy = math.floor(x), math.floor(y)
        if ix < 0 or iy < 0 or ix >= nx - 1 or iy >= ny - 1:
            continue
        fx, fy = x - ix, y - iy
        a, b = filtered[iy, ix], filtered[iy, ix + 1]
        c, d = filtered[iy + 1, ix], filtered[iy + 1, ix + 1]
        value = (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy
        total += weight * min(value, clip)
        covered += weight * cover[int(y + 0.5), int(x + 0.5)]
        outside -= weight
    return total / (n - 1), (covered + outside) / (n - 1)


@njit(cache=True, nogil=True)
def _reach_out(filtered, cover, p, best, s, clip):  # type: ignore[no-untyped-def]
    """Whether the line goes on well beyond its ends: of a faint trail often a part stands out."""
    length = math.hypot(p[2] - p[0], p[3] - p[1])
    ux, uy = (p[2] - p[0]) / length, (p[3] - p[1]) / length
    found = (p[0], p[1], p[2], p[3])
    top = best
    for end in range(2):
        for share in _OUT_SHARES:
            for aside in range(-1, 2):
                # The direction of a part is known to about a pixel at its ends.
                dx = share * length * ux - aside * (1.0 + share) * uy
                dy = share * length * uy + aside * (1.0 + share) * ux
                u0, v0, u1, v1 = p[0], p[1], p[2], p[3]
                if end == 0:
                    u0, v0 = u0 - dx, v0 - dy
                else:
                    u1, v1 = u1 + dx, v1 + dy
                value = _snr(filtered, cover, u0, v0, u1, v1, s, clip)
                if value > top + _GAIN:
                    top = value
                    found = (u0, v0, u1, v1)
    p[0], p[1], p[2], p[3] = found
    return top


@njit(cache=True, nogil=True)
def _tighten(filtered, cover, p, best, s, clip):  # type: ignore[no-untyped-def]
    """The part of a line that stands out by itself, where it outdoes the whole.

    Step by step no end moves over a dark stretch to a part that is brighter than the whole: a
    short streak far from a star on the same line would stay with it.
    """
    n_parts = _PARTS
    sums = np.zeros(n_parts + 1)
    length = math.hypot(p[2] - p[0], p[3] - p[1])
    n = max(n_parts, math.ceil(length))
    for i in range(n):
        t = (i + 0.5) / n
        x, y = int(p[0] + t * (p[2] - p[0]) + 0.5), int(p[1] + t * (p[3] - p[1]) + 0.5)
        if 0 <= x < filtered.shape[1] and 0 <= y < filtered.shape[0]:
            sums[i * n_parts // n + 1] += min(filtered[y, x], clip)
    for k in range(n_parts):
        sums[k + 1] += sums[k]
    per_noise = np.empty(n_parts + 1)
    for k in range(1, n_parts + 1):
        per_noise[k] = 1.0 / math.sqrt(k)
    top, first, last = 0.0, 0, n_parts
    for i in range(n_parts):
        begun = sums[i]
        for k in range(1, n_parts + 1 - i):
            value = (sums[i + k] - begun) * per_noise[k]
            if value > top:
                top, first, last = value, i, i + k
    if last - first > _PART_SHARE * n_parts:
        return best
    dx, dy = p[2] - p[0], p[3] - p[1]
    u0, v0 = p[0] + first / n_parts * dx, p[1] + first / n_parts * dy
    u1, v1 = p[0] + last / n_parts * dx, p[1] + last / n_parts * dy
    value = _snr(filtered, cover, u0, v0, u1, v1, s, clip)
    if value > best:
        p[0], p[1], p[2], p[3] = u0, v0, u1, v1
        return value
    return best


@njit(cache=True, nogil=True)
def _refine(filtered, cover, p, s, clip, threshold):  # type: ignore[no-untyped-def]
    """Pattern search over both ends; steps grow where they pay and shrink where they do not.

    A line that will not reach the threshold is soon left alone.
    """
    x0, y0, x1, y1 = p[0], p[1], p[2], p[3]
    best = _snr(filtered, cover, x0, y0, x1, y1, s, clip)
    along = max(_ALONG_PX, _ALONG_SHARE * math.hypot(x1 - x0, y1 - y0))
    across = 1.0
    for turn in range(_TURNS):
        if turn in (_EARLY, _LATER):
            share = _EARLY_SHARE if turn == _EARLY else _LATER_SHARE
            if math.hypot(x1 - x0, y1 - y0) > _LONG_PX:
                share *= _LONG_SHARE
            if best < share * threshold:
                break
        moved_along, moved_across = False, False
        for move in range(_MOVES):
            length = math.hypot(x1 - x0, y1 - y0)
            ux, uy = ((x1 - x0) / length, (y1 - y0) / length) if length > _TINY else (1.0, 0.0)
            sign = 1.0 if move % 2 == 0 else -1.0
            kind = move // 2
            along_it = kind <= _LAST_ALONG
            if along_it and sign < 0 and along > length - 0.5:
                continue
            dx, dy = (sign * along * ux, sign * along * uy) if along_it else (
                -sign * across * uy, sign * across * ux
            )  # fmt: skip
            first = 1.0 if kind in (_BOTH_ACROSS, _FIRST_ACROSS) else 0.0
            if kind == _FIRST_ALONG:
                first = -1.0
            last = 1.0 if kind in (_LAST_ALONG, _BOTH_ACROSS, _LAST_ACROSS) else 0.0
            u0, v0, u1, v1 = x0 + first * dx, y0 + first * dy, x1 + last * dx, y1 + last * dy
            value = _snr(filtered, cover, u0, v0, u1, v1, s, clip)
            if value > best + _GAIN:
                best = value
                x0, y0, x1, y1 = u0, v0, u1, v1
                if along_it:
                    moved_along = True
                else:
                    moved_across = True
        if moved_along:
            along *= _GROW
        else:
            along *= _SHRINK
        if not moved_across:
            across *= _SHRINK
        if along < _LAST_ALONG_PX and across < _LAST_ACROSS_PX:
            break
        along = max(along, _LEAST_ALONG_PX)
        across = max(across, _LEAST_ACROSS_PX)
    p[0], p[1], p[2], p[3] = x0, y0, x1, y1
    return best


@njit(cache=True, nogil=True)
def _paint(filtered, cover, p, sigma_filtered, hidden, n_hidden):  # type: ignore[no-untyped-def]
    """Hide a segment, as wide as its light reaches above half the noise; keep what was there."""
    ny, nx = filtered.shape
    length = math.hypot(p[2] - p[0], p[3] - p[1])
    peak = 1.0
    n = int(length) + 2
    for i in range(n):
        t = i / (n - 1)
        ix, iy = int(p[0] + t * (p[2] - p[0]) + 0.5), int(p[1] + t * (p[3] - p[1]) + 0.5)
        if 0 <= ix < nx and 0 <= iy < ny:
            peak = max(peak, filtered[iy, ix])
    reach = sigma_filtered * math.sqrt(2.0 * math.log(max(peak, 1.0) / _PAINTED_TO))
    reach = max(reach, _PAINTED_WIDTHS * sigma_filtered) + _WINGS_PX * min(peak, _WINGS_SNR)
    ux = (p[2] - p[0]) / length if length > 0 else 1.0
    uy = (p[3] - p[1]) / length if length > 0 else 0.0
    steep = abs(uy) > abs(ux)
    u0, u1 = (p[1], p[3]) if steep else (p[0], p[2])
    v0, v1 = (p[0], p[2]) if steep else (p[1], p[3])
    if u1 < u0:
        u0, u1, v0, v1 = u1, u0, v1, v0
    slope = (v1 - v0) / (u1 - u0) if u1 > u0 else 0.0
    half = reach * math.sqrt(1.0 + slope * slope)
    nu, nv = (ny, nx) if steep else (nx, ny)
    for u in range(max(0, int(u0 - reach)), min(nu - 1, int(u1 + reach + 1)) + 1):
        v = v0 + slope * (u - u0)
        for w in range(max(0, int(v - half)), min(nv - 1, int(v + half + 1)) + 1):
            x, y = (w, u) if steep else (u, w)
            t = (x - p[0]) * ux + (y - p[1]) * uy
            t = min(max(t, 0.0), length)
            if math.hypot(x - p[0] - t * ux, y - p[1] - t * uy) <= reach and cover[y, x] > 0.0:
                if n_hidden == len(hidden):
                    larger = np.empty((2 * n_hidden, _ENDS))
                    for i in range(n_hidden):
                        for j in range(_ENDS):
                            larger[i, j] = hidden[i, j]
                    hidden = larger
                hidden[n_hidden, 0], hidden[n_hidden, 1] = y, x
                hidden[n_hidden, 2], hidden[n_hidden, 3] = filtered[y, x], cover[y, x]
                n_hidden += 1
                filtered[y, x] = 0.0
                cover[y, x] = 0.0
    return hidden, n_hidden


@njit(cache=True, nogil=True)
def _restore(filtered, cover, hidden, n_hidden):  # type: ignore[no-untyped-def]
    for i in range(n_hidden):
        y, x = int(hidden[i, 0]), int(hidden[i, 1])
        filtered[y, x], cover[y, x] = hidden[i, 2], hidden[i, 3]


@njit(cache=True, nogil=True)
def _refine_all(filtered, cover, starts, sigma, s, first_cut, threshold, clip, limit):  # type: ignore[no-untyped-def]
    found = np.empty((limit, _ENDS + 1))
    # A bare 0 would be a type of its own, and what it is given to be compiled twice.
    hidden, n_hidden = np.empty((_ROOM, _ENDS)), np.int64(0)
    n = 0
    p = np.empty(_ENDS)
    for k in range(starts.shape[0]):
        if n == limit:
            break
        p[0], p[1], p[2], p[3] = starts[k, 0], starts[k, 1], starts[k, 2], starts[k, 3]
        now = _snr(filtered, cover, p[0], p[1], p[2], p[3], s, clip)
        # Between the digital path and its straight line S/N differs by several per cent.
        long = math.hypot(p[2] - p[0], p[3] - p[1]) > _VERY_LONG_PX
        if now < (_FAR_OFF if long else _HAS) * first_cut:
            continue
        best = _refine(filtered, cover, p, s, clip, threshold)
        for _ in range(_REPEATS):
            if best < first_cut or math.hypot(p[2] - p[0], p[3] - p[1]) < _LONG_PX:
                break
            farther = _reach_out(filtered, cover, p, best, s, clip)
            if farther <= best:
                break
            best = _refine(filtered, cover, p, s, clip, threshold)
        for _ in range(_REPEATS):
            if math.hypot(p[2] - p[0], p[3] - p[1]) < _LONG_PX:
                break
            closer = _tighten(filtered, cover, p, best, s, clip)
            if closer <= best:
                break
            best = _refine(filtered, cover, p, s, clip, threshold)
        if best < threshold:
            continue
        for j in range(_ENDS):
            found[n, j] = p[j]
        found[n, _ENDS] = best
        n += 1
        hidden, n_hidden = _paint(filtered, cover, p, _ROOT_2 * sigma, hidden, n_hidden)
    _restore(filtered, cover, hidden, n_hidden)
    return found[:n]
