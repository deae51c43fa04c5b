"""Sums along every straight path of an image, at every length: the partial fast Radon transform.

A block of ``h = 2**k`` rows has, for each slope ``a`` in ``-(h - 1) .. h - 1``, one sum a starting
column: the sum over the digital line that enters its first row at ``x`` and leaves its last row
at ``x + a``. Two neighbouring blocks of ``h`` rows give the block of ``2 h`` rows with one
addition a value (Brady 1998, SIAM J. Comput. 27, 107; Götz & Druckmüller 1996, Pattern Recogn.
29, 711), so all lines of all lengths cost ``O(N log h)``.

Three departures from the textbook:

- Every two neighbouring blocks are joined, not only the aligned ones, so blocks overlap by half at
  every length. A streak then never falls between two blocks, which is what makes plain dyadic
  transforms lose a third of the signal at unlucky places.
- Blocks are joined as soon as both are there (as a binary counter carries), in columns narrow
  enough that everything stays in the cache, and each sum is compared with the best of its
  column at once instead of being stored.
- Sums have 16 bits, of which a processor adds and weighs 16 or 32 at once. Steps are so fine that
  what rounding adds is a thousandth of the noise; the S/N reported is that of the sum itself.

Lines steeper than 45 degrees are those of the image, flatter ones those of its transpose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["LineCandidates", "line_candidates", "line_path", "path_noise"]

#: Columns worked on at once. The sums of 16-row blocks then fill a quarter of a megabyte.
_TILE = 4096
#: Of 16 bits.
_LARGEST = 32767
#: Columns asked at once whether any holds a line.
_LOOK = 128


@dataclass(frozen=True, eq=False)
class LineCandidates:
    """The best line of each cell, as segments in 0-based pixels of the image searched.

    Parameters
    ----------
    x0, y0, x1, y1 : (n,) float
        Centres of the first and last pixel of the path.
    snr : (n,) float
        Its sum over the noise of such a sum.
    """

    x0: NDArray[np.float64]
    y0: NDArray[np.float64]
    x1: NDArray[np.float64]
    y1: NDArray[np.float64]
    snr: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.snr)


def line_path(slope: int, level: int) -> NDArray[np.int64]:
    """Column offsets, row by row, of the digital line of a slope in a block of 2**level rows.

    The definition that the transform's sums follow; kept in the open so that sums can be checked
    and their noise worked out.

    Parameters
    ----------
    slope
        Columns from the first row to the last, ``-(2**level - 1)`` to ``2**level - 1``.
    level
        Power of two of the number of rows, at least 0.

    Returns
    -------
    (2**level,) int
        Offset of each row from the first, px: 0 at first, `slope` at last, never back.
    """
    if level == 0:
        return np.zeros(1, dtype=np.int64)
    size, sign = abs(slope), -1 if slope < 0 else 1
    half = line_path(sign * (size // 2), level - 1)
    return np.concatenate([half, half + sign * ((size + 1) // 2)])


def path_noise(level: int, correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of a path's sum for each slope, in units of a pixel's own.

    Parameters
    ----------
    level
        Paths of ``2**level`` rows.
    correlation : (2 r + 1, 2 r + 1)
        Correlation of the image's noise between pixels ``(dy, dx)`` apart, centre = 1. Beyond
        ``r`` it counts as zero.

    Returns
    -------
    (2**(level + 1) - 1,)
        For slopes ``-(h - 1) .. h - 1``.
    """
    r = correlation.shape[0] // 2
    variance = np.tensordot(_pairs(level, r), correlation[r:], axes=2)
    return np.sqrt(np.maximum(variance, 1e-12))


@lru_cache(maxsize=64)
def _pairs(level: int, r: int) -> NDArray[np.float64]:
    """How many pairs of a path's pixels are ``(dy, dx)`` apart: (slopes, r + 1, 2 r + 1)."""
    counts = _pairs_and_ends(level, r)[0]
    # A falling path is a rising one mirrored.
    return np.concatenate([counts[:0:-1, :, ::-1], counts])


def _pairs_and_ends(
    level: int, r: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of paths of slopes 0 .. h - 1, and the offsets of their first and last r rows.

    A path is two halves one after the other (`line_path`): its pairs are those of both, and those
    across the joint.
    """
    if level == 0:
        counts = np.zeros((1, r + 1, 2 * r + 1))
        counts[:, 0, r] = 1.0
        return counts, np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64)
    slopes = np.arange(2**level)
    counts, heads, tails = (of_half[slopes // 2] for of_half in _pairs_and_ends(level - 1, r))
    counts *= 2.0
    second_heads = heads + ((slopes + 1) // 2)[:, None]
    second_tails = tails + ((slopes + 1) // 2)[:, None]
    n = heads.shape[1]
    for before in range(min(n, r)):
        for after in range(min(n, r - before)):
            dx = second_heads[:, after] - tails[:, n - 1 - before]
            near = dx <= r
            counts[slopes[near], before + 1 + after, r + dx[near]] += 2.0
    if n < r:
        heads = np.concatenate([heads, second_heads], axis=1)[:, :r]
        second_tails = np.concatenate([tails, second_tails], axis=1)[:, -r:]
    return counts, heads, second_tails


def line_candidates(
    image: NDArray[np.float32],
    *,
    correlation: NDArray[np.float64],
    threshold_snr: float,
    levels: tuple[int, int],
    clip: float = math.inf,
    cell_px: int = 16,
) -> LineCandidates:
    """The strongest line of each cell of an image, over all slopes and a range of lengths.

    Parameters
    ----------
    image : (ny, nx) float32
        Zero-mean, unit-variance noise; 0 where there is no data.
    correlation : (2 r + 1, 2 r + 1)
        Of the noise, see `path_noise`.
    threshold_snr
        Lines below this are not reported.
    levels
        First and last (inclusive): paths of ``2**first`` to ``2**last`` rows or columns.
    clip
        Values count up to this, of either sign. Sums are kept in 16 bits, so pixels in steps of
        a power of two, at most ``clip * 2**last / 2**14``.
    cell_px
        In each block, the best line of each run of this many columns is kept.

    Returns
    -------
    LineCandidates
        Unordered; one streak gives many.
    """
    import cv2

    first, last = levels
    longest = max(min(math.ceil(math.log2(max(*image.shape, 2))), last), 0)
    if not math.isfinite(clip):
        clip = float(np.abs(image).max(initial=0.0))
    unit = 2.0 ** math.floor(math.log2(_LARGEST / (2**longest * max(clip, 1e-6))))
    kept = np.asarray(correlation, np.float64).tobytes()
    scales = _scales(kept, len(correlation), longest, threshold_snr, unit)
    # Large arrays are there sooner where NumPy makes them than where a kernel does: it asks for
    # large pages of memory.
    pixels = np.empty(image.shape, np.int16)
    _in_steps(np.ascontiguousarray(image), np.float32(clip), np.float32(unit), pixels)
    found = []
    for transposed in (False, True):
        # NumPy takes ten times as long to transpose.
        view = np.asarray(cv2.transpose(pixels), np.int16) if transposed else pixels
        # At 45 degrees both orientations see a line; only the rows' one reports it.
        rows = _search_rows(view, scales, first, longest, threshold_snr, cell_px)
        if transposed:
            rows = rows[:, [1, 0, 3, 2, 4]]
        found.append(rows)
    table = np.concatenate(found)
    return LineCandidates(*(np.ascontiguousarray(table[:, i]) for i in range(5)))


@dataclass(frozen=True, eq=False)
class _Scales:
    """What turns sums into S/N, of all levels one after the other.

    Parameters
    ----------
    offsets : (levels + 1,) int
        Where each level's slopes begin.
    exact : (n,) float64
        S/N of a sum of one step.
    coarse : (n,) int16
        The same in 16 bits: a sum times this, over 2**16, is compared with the threshold.
    thresholds : (levels,) int16
        In those units, rounded down.
    """

    offsets: NDArray[np.int64]
    exact: NDArray[np.float64]
    coarse: NDArray[np.int16]
    thresholds: NDArray[np.int16]

    @classmethod
    def of(
        cls, weights: Sequence[NDArray[np.float64]], threshold_snr: float, unit: float
    ) -> _Scales:
        gains = [_LARGEST / float(w.max()) for w in weights]
        coarse = [np.rint(w * g).astype(np.int16) for w, g in zip(weights, gains, strict=True)]
        least = [math.floor(threshold_snr * unit * gain / 2**16) - 1 for gain in gains]
        return cls(
            offsets=np.cumsum([0, *(len(w) for w in weights)]),
            exact=np.concatenate(weights) / unit,
            coarse=np.concatenate(coarse),
            thresholds=np.clip(least, -1, _LARGEST).astype(np.int16),
        )


@lru_cache(maxsize=16)
def _scales(
    correlation: bytes, side: int, longest: int, threshold_snr: float, unit: float
) -> _Scales:
    """Of noise of a correlation (side, side) float64, kept: windows of one image share it."""
    square = np.frombuffer(correlation).reshape(side, side)
    weights = [1.0 / path_noise(level, square) for level in range(longest + 1)]
    return _Scales.of(weights, threshold_snr, unit)


def _search_rows(
    pixels: NDArray[np.int16],
    scales: _Scales,
    first: int,
    last: int,
    threshold_snr: float,
    cell_px: int,
) -> NDArray[np.float64]:
    """Columns x0, y0, x1, y1, snr of the best paths from row to row."""
    nx = pixels.shape[1]
    reach = 2**last
    parts = []
    # A tile's columns are where paths start; they may lead `reach` columns to either side.
    tile = max(_TILE, reach)
    for start in range(-reach, nx + reach, tile):
        stop = min(start + tile, nx + reach)
        low, high = max(start - reach, 0), min(stop + reach, nx)
        if high <= low:
            continue
        hits = _search_tile(
            pixels, scales.offsets, scales.exact, scales.coarse, scales.thresholds,
            first, last, threshold_snr, cell_px, start, stop, reach,
        )  # fmt: skip
        parts.append(hits)
    return np.concatenate(parts) if parts else np.zeros((0, 5))


@njit(cache=True, fastmath=True, nogil=True)
def _in_steps(image, clip, unit, pixels):  # type: ignore[no-untyped-def]
    """Clipped pixels in whole steps of ``1 / unit``."""
    ny, nx = image.shape
    half = np.float32(0.5)
    for y in range(ny):
        row, out = image[y], pixels[y]
        for x in range(nx):
            value = min(max(row[x], -clip), clip) * unit
            out[x] = np.int16(np.int32(np.floor(value + half)))


@njit(cache=True, nogil=True)
def _halves(slope):  # type: ignore[no-untyped-def]
    """Slope of both halves of a path, and the step between them."""
    if slope >= 0:
        return slope // 2, (slope + 1) // 2
    return -(-slope // 2), -((1 - slope) // 2)


@njit(cache=True, nogil=True)
def _join(top, bottom, out, h, width):  # type: ignore[no-untyped-def]
    """Blocks of h rows into one of 2 h rows.

    Paths that leave the tile are left as they are: no path that starts in the tile's own columns
    needs them.
    """
    for slope in range(-(2 * h - 1), 2 * h):
        half, shift = _halves(slope)
        low, high = max(0, -shift), min(width, width - shift)
        t = top[half + h - 1][low:high]
        b = bottom[half + h - 1][low + shift : high + shift]
        o = out[slope + 2 * h - 1][low:high]
        for x in range(high - low):
            o[x] = np.int16(t[x] + b[x])


@njit(cache=True, nogil=True)
def _judge(top, bottom, coarse, least, best, h, margin, width):  # type: ignore[no-untyped-def]
    """Each column's best S/N over the slopes of two joined blocks, which need not be stored.

    Two slopes at once where both have the same first half. Written so that a compiler sees sums
    and products of 16 bits.
    """
    n = width - 2 * margin
    # The one slope without a fellow, and no less than the least.
    half, shift = _halves(np.int64(-1))
    t = top[half + h - 1][margin : margin + n]
    b = bottom[half + h - 1][margin + shift : margin + shift + n]
    weight = np.int32(coarse[2 * h - 2])
    for x in range(n):
        total = np.int16(t[x] + b[x])
        best[x] = max(least, np.int16((np.int32(total) * weight) >> 16))
    for half in range(-(h - 1), h):
        away = 1 if half >= 0 else -1
        t = top[half + h - 1][margin : margin + n]
        b = bottom[half + h - 1][margin + half : margin + half + n]
        c = bottom[half + h - 1][margin + half + away : margin + half + away + n]
        weight = np.int32(coarse[2 * half + 2 * h - 1])
        other = np.int32(coarse[2 * half + away + 2 * h - 1])
        for x in range(n):
            total, further = np.int16(t[x] + b[x]), np.int16(t[x] + c[x])
            value = np.int16((np.int32(total) * weight) >> 16)
            best[x] = max(best[x], max(value, np.int16((np.int32(further) * other) >> 16)))


@njit(cache=True, nogil=True)
def _best_slope(top, bottom, exact, x, h):  # type: ignore[no-untyped-def]
    """Slope and S/N of the best path of one column: which it was is asked of few columns only."""
    best, where = -np.inf, 0
    for slope in range(-(2 * h - 1), 2 * h):
        half, shift = _halves(slope)
        total = np.int32(top[half + h - 1, x]) + np.int32(bottom[half + h - 1, x + shift])
        value = total * exact[slope + 2 * h - 1]
        if value > best:
            best, where = value, slope
    return where, best


@njit(cache=True, nogil=True)
def _report(best, top, bottom, exact, least, threshold, margin, x_low, y, h, cell, hits, n):  # type: ignore[no-untyped-def]
    """Append the best path of each cell that passes the threshold."""
    for start in range(0, best.size, _LOOK):
        # Most runs hold nothing, and the best of a long one is quickly known.
        run, top_here = best[start : start + _LOOK], least
        for x in range(run.size):
            top_here = max(top_here, run[x])
        if top_here == least:
            continue
        for first in range(start, min(start + _LOOK, best.size), cell):
            where, here = -1, least
            for x in range(first, min(first + cell, best.size)):
                if best[x] > here:
                    here, where = best[x], x
            if where < 0:
                continue
            slope, snr = _best_slope(top, bottom, exact, margin + where, h)
            if snr <= threshold:
                continue
            if n == hits.shape[0]:
                larger = np.empty((2 * n, 5))
                for i in range(n):
                    for j in range(5):
                        larger[i, j] = hits[i, j]
                hits = larger
            x = where + margin + x_low
            hits[n, 0], hits[n, 1] = x, y
            hits[n, 2], hits[n, 3] = x + slope, y + 2 * h - 1
            hits[n, 4] = snr
            n += 1
    return hits, n


@njit(cache=True, nogil=True)
def _copy(pixels, row, low, high, line):  # type: ignore[no-untyped-def]
    """A row's columns; zeros below the image."""
    if row < pixels.shape[0]:
        source = pixels[row, low:high]
        for x in range(high - low):
            line[x] = source[x]
    else:
        for x in range(high - low):
            line[x] = 0


@njit(cache=True, nogil=True)
def _clear(block):  # type: ignore[no-untyped-def]
    """Zeros."""
    for j in range(block.shape[0]):
        row = block[j]
        for x in range(row.size):
            row[x] = 0


@njit(cache=True, nogil=True)
def _search_tile(  # type: ignore[no-untyped-def]
    pixels, offsets, exact, coarse, thresholds, first, last, threshold, cell, start, stop, reach
):
    """Best paths that start in columns [start, stop), from blocks joined as a counter carries."""
    ny, nx = pixels.shape
    x_low = start - reach
    width = stop - start + 2 * reach
    # Blocks of all levels, one below the other, in two buffers that take turns level by level.
    buffers = np.zeros((2, 2 ** (max(last, 1) + 1), width), np.int16)
    turn = np.zeros(max(last, 1), np.int64)
    seen = np.zeros(max(last, 1), np.int64)
    best = np.empty(stop - start, np.int16)
    # A bare 0 would be a type of its own, and what it is given to be compiled twice.
    hits, n = np.empty((256, 5)), np.int64(0)
    source_low, source_high = max(x_low, 0), min(x_low + width, nx)
    # Rows of zeros below the image let the last, partly filled blocks carry through.
    for row in range(ny + 2**last):
        _copy(pixels, row, source_low, source_high, buffers[turn[0], 0, source_low - x_low :])
        level = 0
        while True:
            index = seen[level]
            seen[level] = index + 1
            carried = index % 2 == 1 and level + 1 < last
            if level < last and index > 0:
                h = 2**level
                y = (index - 1) * h
                # A level's block of 2 h - 1 slopes begins 2 h - 2 - level rows down: sums of those
                # before it.
                block = 2 * h - 2 - level
                top = buffers[1 - turn[level], block : block + 2 * h - 1]
                bottom = buffers[turn[level], block : block + 2 * h - 1]
                # Blocks between two aligned ones are only there to be judged.
                if level + 1 >= first and y < ny:
                    low, high = offsets[level + 1], offsets[level + 2]
                    least = thresholds[level + 1]
                    _judge(top, bottom, coarse[low:high], least, best, h, reach, width)
                    hits, n = _report(
                        best, top, bottom, exact[low:high], least, threshold, reach,
                        x_low, y, h, cell, hits, n,
                    )  # fmt: skip
                if carried:
                    block = 4 * h - 3 - level
                    joined = buffers[turn[level + 1], block : block + 4 * h - 1]
                    if y < ny:
                        _join(top, bottom, joined, h, width)
                    else:
                        _clear(joined)
            turn[level] = 1 - turn[level]
            if not carried:
                break
            level += 1
    return hits[:n]
