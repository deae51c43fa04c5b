"""Numba kernels: where the lines are, near the centre and through the whole cutout.

Arguments are those of the kernels in `streaks.features._pixels`.
"""

# Numba has no types: what it decorates is called with what the annotations say.
# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["BIN_PX", "best_segment", "bin_image", "line_variances", "whole_line_features"]

#: Side of the squares of which whole lines are summed up.
BIN_PX = 4
_N_ANGLES = 48
#: Of short segments, px: 2, 4, 8 and 16 either side of their middle.
_LENGTHS = (5, 9, 17, 33)


@njit(cache=True)
def best_segment(smoothed: Any, good: Any) -> tuple[float, float, float]:
    """S/N, ``theta`` and ``rho`` of the strongest short segment that passes near the centre.

    ``rho`` is the distance of its line from the centre, along the normal.

    Parameters
    ----------
    smoothed : (ny, nx)
        From `streaks.features._pixels.smooth`; at least 128 px a side, for no border is checked.
    good : (ny, nx) bool
        Pixels that count; the others are 0.

    Returns
    -------
    snr
        Sum of the clipped values of 5 to 33 px over the root of their number, 0 where none is above
        0. Not a true S/N, for smoothed pixels are correlated.
    theta
        Direction from +x towards +y, rad. Of the second search: it may be a little outside [0, pi).
    rho
        Of the line, px, with the normal towards ``(-sin(theta), cos(theta))``.
    """
    clipped = _clipped(smoothed, good)
    best = np.zeros(3)
    for k in range(20):
        _search(clipped, np.pi * k / 20, -12.0, 12.0, 1.0, np.int64(18), best)
    theta, rho = best[1], best[2]
    for k in range(-4, 5):
        _search(clipped, theta + np.radians(1.5 * k), rho - 2.0, rho + 2.0, 0.5, np.int64(30), best)
    return best[0], best[1], best[2]


@njit(cache=True)
def _clipped(smoothed: Any, good: Any) -> Any:
    """What the search sees: no pixel speaks for a whole line, and masked ones say nothing."""
    ny, nx = smoothed.shape
    clipped = np.empty((ny, nx))
    for y in range(ny):
        for x in range(nx):
            value = min(max(smoothed[y, x], -5.0), 10.0)
            clipped[y, x] = value if good[y, x] else 0.0
    return clipped


@njit(cache=True, fastmath=True)
def _search(
    clipped: Any,
    theta: float,
    rho_low: float,
    rho_high: float,
    step: float,
    reach: int,
    best: Any,
) -> None:
    """The best piece of all lengths on parallel lines of one direction.

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
        for length in _LENGTHS:
            highest = 0.0
            for start in range(2 * reach + 2 - length):
                highest = max(highest, sums[start + length] - sums[start])
            snr = highest / np.sqrt(length)
            if snr > best[0] + 1e-9:
                best[0], best[1], best[2] = snr, theta, rho


@njit(cache=True)
def bin_image(image: Any, good: Any) -> tuple[Any, Any]:
    """Sums of clipped values over squares of `BIN_PX`, and how many pixels each misses.

    Parameters
    ----------
    image : (ny, nx)
        In robust sigmas, 0 in masked pixels.
    good : (ny, nx) bool
        Pixels that count.

    Returns
    -------
    sums, missing : (ny // 4, nx // 4)
        In sigmas, and in pixels.
    """
    ny, nx = image.shape[0] // BIN_PX, image.shape[1] // BIN_PX
    sums, missing = np.zeros((ny, nx)), np.zeros((ny, nx))
    for j in range(ny):
        for i in range(nx):
            missing[j, i] = BIN_PX * BIN_PX
    for y in range(ny * BIN_PX):
        for i in range(nx):
            for x in range(i * BIN_PX, (i + 1) * BIN_PX):
                # What is not good is 0.
                sums[y // BIN_PX, i] += min(max(image[y, x], -3.0), 4.0)
                missing[y // BIN_PX, i] -= good[y, x]
    return sums, missing


@njit(cache=True)
def _n_offsets(n_bins: int) -> int:
    """Of the lines of one direction."""
    return 2 * (int(np.hypot(n_bins, n_bins) / 2) + 2) + 1


@njit(cache=True, fastmath={"contract"})
def _project(
    sums: Any, inner: float, outer: float, rows: Any, columns: Any, near: Any, far: Any
) -> None:
    """Add squares to the two lines of one direction on which each lies, by share.

    From one square to the next in a row it is ``inner`` offsets, from row to row ``outer``. The
    nearer and the farther line have arrays of their own, lest one sum wait for the other. Only
    squares of a range of rows and columns are added.
    """
    n, half = len(sums), len(near) // 2
    for i in range(rows[0], rows[1]):
        start = (i - (n - 1) / 2) * outer - (n - 1) / 2 * inner + half
        for j in range(columns[0], columns[1]):
            offset = start + j * inner
            low = int(offset)
            share = (offset - low) * sums[i, j]
            near[low] += sums[i, j] - share
            far[low] += share


@njit(cache=True)
def _filled(sums: Any) -> tuple[Any, Any]:
    """Ranges of rows and columns outside of which all squares are 0: a small stamp has many."""
    n = len(sums)
    rows, columns = np.array([n, 0]), np.array([n, 0])
    for j in range(n):
        for i in range(n):
            if sums[j, i] != 0.0:
                rows[0], rows[1] = min(rows[0], j), j + 1
                columns[0], columns[1] = min(columns[0], i), max(columns[1], i + 1)
    return rows, columns


@njit(cache=True)
def _whole_lines(sums: Any, variances: Any) -> Any:
    """S/N of whole lines, (angle, offset); NaN for lines under 40 px."""
    n_offsets = _n_offsets(len(sums))
    lines, turned = np.empty((_N_ANGLES, n_offsets)), np.empty_like(sums)
    for j in range(len(sums)):
        for i in range(len(sums)):
            turned[i, j] = sums[j, i]
    rows, columns = _filled(sums)
    near, far = np.zeros(n_offsets), np.zeros(n_offsets)
    for k in range(_N_ANGLES):
        cos, sin = np.cos(np.pi * k / _N_ANGLES), np.sin(np.pi * k / _N_ANGLES)
        for r in range(n_offsets):
            near[r], far[r], lines[k, r] = 0.0, 0.0, np.nan
        # Along rows or columns, whichever cross the lines: squares of one line are then not added
        # one right after the other, for which the processor would have to wait.
        if abs(cos) >= abs(sin):
            _project(turned, cos, -sin, columns, rows, near, far)
        else:
            _project(sums, -sin, cos, rows, columns, near, far)
        for r in range(1, n_offsets):
            if variances[k, r] > 80.0:
                lines[k, r] = (near[r] + far[r - 1]) / np.sqrt(variances[k, r])
    return lines


@njit(cache=True)
def line_variances(counts: Any) -> Any:
    """Variance of the sums of whole lines, (angle, offset), of how many pixels squares have.

    Parameters
    ----------
    counts : (n, n)
        Pixels of unit variance in each square of `BIN_PX`.

    Returns
    -------
    (48, n_offsets)
        For angles in steps of pi / 48 and offsets in steps of `BIN_PX`, the middle one through the
        centre. 0 where a line meets no pixel.
    """
    n = len(counts)
    variances = np.zeros((_N_ANGLES, _n_offsets(n)))
    half = variances.shape[1] // 2
    for k in range(_N_ANGLES):
        cos, sin = np.cos(np.pi * k / _N_ANGLES), np.sin(np.pi * k / _N_ANGLES)
        for j in range(n):
            for i in range(n):
                if counts[j, i] == 0.0:
                    continue
                offset = (j - (n - 1) / 2) * cos - (i - (n - 1) / 2) * sin + half
                low = int(offset)
                share = offset - low
                variances[k, low] += (1.0 - share) ** 2 * counts[j, i]
                variances[k, low + 1] += share**2 * counts[j, i]
    return variances


@njit(cache=True)
def _contrast(lines: Any) -> Any:
    """Each line against its neighbours three offsets (12 px) to both sides."""
    n_angles, n = lines.shape
    contrast = np.zeros((n_angles, n))
    for k in range(n_angles):
        for r in range(3, n - 3):
            value = lines[k, r] - 0.5 * (lines[k, r - 3] + lines[k, r + 3])
            if not np.isnan(value):
                contrast[k, r] = value
    return contrast


@njit(cache=True)
def whole_line_features(sums: Any, variances: Any, out: Any) -> tuple[float, float]:
    """The strongest whole line, others beside it, negative ones; its ``theta`` and ``rho`` (px).

    Parameters
    ----------
    sums : (n, n)
        Of `bin_image`.
    variances : (48, n_offsets)
        The `line_variances` of the pixels that count.
    out : (8,)
        Gets the first eight numbers of the group "frame_line" of `FEATURE_NAMES`.

    Returns
    -------
    theta
        Direction of the strongest line, rad, in [0, pi).
    rho
        Its signed distance from the centre, px, in steps of `BIN_PX`.
    """
    contrast = _contrast(_whole_lines(sums, variances))
    n_offsets = contrast.shape[1]
    at_k: Any = np.int64(0)
    best, at_r = 0.0, n_offsets // 2
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
    out[7] = abs(at_r - n_offsets // 2) * BIN_PX if best > 0.0 else 0.0
    return np.pi * at_k / _N_ANGLES, (at_r - n_offsets // 2) * float(BIN_PX)


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
