"""Sums along every straight path of an image, at every length: the partial fast Radon transform.

A block of ``h = 2**k`` rows has, for each slope ``a`` in ``-(h - 1) .. h - 1``, one sum a starting
column: the sum over the digital line that enters its first row at ``x`` and leaves its last row
at ``x + a``. Two neighbouring blocks of ``h`` rows give the block of ``2 h`` rows with one
addition a value (Brady 1998, SIAM J. Comput. 27, 107; Götz & Druckmüller 1996, Pattern Recogn.
29, 711), so all lines of all lengths cost ``O(N log h)``.

Two departures from the textbook:

- Every two neighbouring blocks are joined, not only the aligned ones, so blocks overlap by half at
  every length. A streak then never falls between two blocks, which is what makes plain dyadic
  transforms lose a third of the signal at unlucky places.
- Blocks are joined as soon as both are there (as a binary counter carries), in columns narrow
  enough that everything stays in the cache, and each sum is compared with the best of its
  column at once instead of being stored.

Lines steeper than 45 degrees are those of the image, flatter ones those of its transpose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["LineCandidates", "line_candidates", "line_path", "path_noise"]

#: Columns worked on at once. The sums of 32-row blocks then fill about 0.8 MB.
_TILE = 1024


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
    h = 2**level
    counts = np.zeros((2 * h - 1, r + 1, 2 * r + 1))
    counts[:, 0, r] = h
    for i, slope in enumerate(range(-(h - 1), h)):
        path = line_path(slope, level)
        for dy in range(1, min(r, h - 1) + 1):
            dx = path[dy:] - path[:-dy]
            np.add.at(counts[i, dy], r + dx[np.abs(dx) <= r], 2.0)
    return counts


def line_candidates(
    image: NDArray[np.float32],
    *,
    correlation: NDArray[np.float64],
    threshold_snr: float,
    levels: tuple[int, int],
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
    weights = [
        (1.0 / path_noise(level, correlation)).astype(np.float32) for level in range(longest + 1)
    ]
    offsets = np.cumsum([0, *(len(w) for w in weights)])
    flat = np.concatenate(weights)
    found = []
    for transposed in (False, True):
        # NumPy takes ten times as long to transpose.
        view = cv2.transpose(image) if transposed else np.ascontiguousarray(image)
        # At 45 degrees both orientations see a line; only the rows' one reports it.
        rows = _search_rows(view, flat, offsets, first, longest, threshold_snr, cell_px)
        if transposed:
            rows = rows[:, [1, 0, 3, 2, 4]]
        found.append(rows)
    table = np.concatenate(found)
    return LineCandidates(*(np.ascontiguousarray(table[:, i]) for i in range(5)))


def _search_rows(
    image: NDArray[np.float32],
    weights: NDArray[np.float32],
    offsets: NDArray[Any],
    first: int,
    last: int,
    threshold_snr: float,
    cell_px: int,
) -> NDArray[np.float64]:
    """Columns x0, y0, x1, y1, snr of the best paths from row to row."""
    nx = image.shape[1]
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
            image, weights, offsets, first, last, np.float32(threshold_snr), cell_px,
            start, stop, reach,
        )  # fmt: skip
        parts.append(hits)
    return np.concatenate(parts) if parts else np.zeros((0, 5))


@njit(cache=True, fastmath=True, nogil=True)
def _join(top, bottom, out, weight, best, h, width, judged):  # type: ignore[no-untyped-def]
    """Blocks of h rows into one of 2 h rows; where it is judged, each column's best S/N."""
    for slope in range(-(2 * h - 1), 2 * h):
        half, shift = _halves(slope)
        t = top[half + h - 1]
        b = bottom[half + h - 1]
        o = out[slope + 2 * h - 1]
        low, high = max(0, -shift), min(width, width - shift)
        for x in range(low):
            o[x] = t[x]
        for x in range(high, width):
            o[x] = t[x]
        tt = t[low:high]
        bb = b[low + shift : high + shift]
        oo = o[low:high]
        if judged:
            w = weight[slope + 2 * h - 1]
            best_here = best[low:high]
            for x in range(high - low):
                value = tt[x] + bb[x]
                oo[x] = value
                best_here[x] = max(best_here[x], value * w)
        else:
            for x in range(high - low):
                oo[x] = tt[x] + bb[x]


@njit(cache=True, nogil=True)
def _halves(slope):  # type: ignore[no-untyped-def]
    """Slope of both halves of a path, and the step between them."""
    if slope >= 0:
        return slope // 2, (slope + 1) // 2
    return -(-slope // 2), -((1 - slope) // 2)


@njit(cache=True, nogil=True)
def _best_slope(block, weight, x, h):  # type: ignore[no-untyped-def]
    """Slope of the best path of one column: which it was is asked of few columns only."""
    top, best = -np.inf, 0
    for slope in range(-(h - 1), h):
        value = block[slope + h - 1, x] * weight[slope + h - 1]
        if value > top:
            top, best = value, slope
    return best


@njit(cache=True, nogil=True)
def _report(best, block, weight, margin, width, x_low, y, h, threshold, cell, hits, n):  # type: ignore[no-untyped-def]
    """Append the best path of each cell that passes the threshold."""
    for start in range(margin, width - margin, cell):
        where, top = -1, threshold
        for x in range(start, min(start + cell, width - margin)):
            if best[x] > top:
                top, where = best[x], x
        if where >= 0:
            if n == hits.shape[0]:
                larger = np.empty((2 * n, 5))
                larger[:n] = hits
                hits = larger
            hits[n, 0] = where + x_low
            hits[n, 1] = y
            hits[n, 2] = where + x_low + _best_slope(block, weight, where, h)
            hits[n, 3] = y + h - 1
            hits[n, 4] = top
            n += 1
    return hits, n


@njit(cache=True, nogil=True)
def _search_tile(  # type: ignore[no-untyped-def]
    image, weights, offsets, first, last, threshold, cell, start, stop, reach
):
    """Best paths that start in columns [start, stop), from blocks joined as a counter carries."""
    ny, nx = image.shape
    x_low = start - reach
    width = stop - start + 2 * reach
    previous = [np.zeros((2 ** (k + 1) - 1, width), np.float32) for k in range(last + 1)]
    current = [np.zeros((2 ** (k + 1) - 1, width), np.float32) for k in range(last + 1)]
    spare = [np.zeros((2 ** (k + 1) - 1, width), np.float32) for k in range(last + 1)]
    seen = np.zeros(last + 1, np.int64)
    best = np.empty(width, np.float32)
    hits = np.empty((256, 5))
    n = 0
    source_low, source_high = max(x_low, 0), min(x_low + width, nx)
    # Rows of zeros below the image let the last, partly filled blocks carry through.
    rows = ny + 2**last
    for row in range(rows):
        line = current[0][0]
        line[:] = 0.0
        if row < ny:
            for x in range(source_low, source_high):
                line[x - x_low] = image[row, x]
        level = 0
        while True:
            index = seen[level]
            seen[level] = index + 1
            carried = False
            if level < last and index > 0:
                h = 2**level
                y = (index - 1) * h
                aligned = index % 2 == 1
                judged = level + 1 >= first
                out = current[level + 1] if aligned else spare[level + 1]
                if y >= ny:
                    out[:] = 0.0
                # Blocks between two aligned ones are only there to be judged.
                elif judged or aligned:
                    best[:] = threshold
                    weight = weights[offsets[level + 1] : offsets[level + 2]]
                    _join(previous[level], current[level], out, weight, best, h, width, judged)
                    if judged:
                        hits, n = _report(
                            best, out, weight, reach, width, x_low, y, 2 * h, threshold, cell,
                            hits, n,
                        )  # fmt: skip
                carried = aligned
            swap = previous[level]
            previous[level] = current[level]
            current[level] = swap
            if not carried:
                break
            level += 1
    return hits[:n]
