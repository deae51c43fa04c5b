"""Numba kernels: the round Gaussian and the trail that fit a source best."""

# Numba has no types: what it decorates is called with what the annotations say.
# mypy: allow-untyped-decorators

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from streaks.trail import FWHM_PER_SIGMA, fit_near

__all__ = ["fit_best_trail", "fit_round_source"]

#: Gauss-Newton steps, and their limits: px, and a share of the width.
_STEPS, _STEP_PX, _STEP_SHARE = 12, 1.0, 0.3
#: Pixels count out to this many sigma.
_REACH_SIGMA = 4.0
#: Lengths and directions that a trail is tried from: FWHM, and over half a turn.
_LENGTHS, _DIRECTIONS = (2.0, 6.0, 24.0), 6


@njit(cache=True, nogil=True)
def fit_round_source(
    z: Any,
    good: Any,
    window: tuple[int, int],
    place: tuple[float, float],
    reach_px: float,
    sigma_px: float,
    bounds: tuple[float, float],
) -> tuple[float, float]:
    """S/N and width of the round Gaussian that fits best.

    Parameters
    ----------
    z : (ny, nx)
        Image over its noise.
    good : (ny, nx) bool
        Pixels that count.
    window
        First row and column that are looked at, and that after the last.
    place
        x and y to begin at, px.
    reach_px
        How far from there the middle may go, along x and along y.
    sigma_px, bounds
        Width to begin with, and what it may be, px.

    Returns
    -------
    snr
        The highest on the way, 0 where none is positive.
    sigma_px
        Where the way ends.
    """
    low, high = window
    x, y = place
    x0, y0, s = x, y, min(max(sigma_px, bounds[0]), bounds[1])
    snr = 0.0
    # Slopes by brightness, x, y and width are `h` times 1 or the brightness.
    h, with_data = np.empty(4), np.empty(4)
    products, matrix = np.empty((4, 4)), np.empty((4, 4))
    for _ in range(_STEPS):
        products[:], with_data[:] = 0.0, 0.0
        s2, reach = s * s, _REACH_SIGMA * s
        top, left = max(low, math.ceil(y0 - reach)), max(low, math.ceil(x0 - reach))
        bottom, right = min(high - 1, math.floor(y0 + reach)), min(high - 1, math.floor(x0 + reach))
        for row in range(top, bottom + 1):
            dy = row - y0
            for column in range(left, right + 1):
                dx = column - x0
                r2 = (dx * dx + dy * dy) / s2
                if not good[row, column] or r2 >= _REACH_SIGMA**2:
                    continue
                g = math.exp(-0.5 * r2)
                h[0], h[1], h[2], h[3] = g, g * dx / s2, g * dy / s2, g * r2 / s
                value = float(z[row, column])
                for i in range(4):
                    with_data[i] += h[i] * value
                    for j in range(i + 1):
                        products[i, j] += h[i] * h[j]
        norm = max(products[0, 0], 1e-12)
        amplitude = with_data[0] / norm
        snr = max(snr, amplitude * math.sqrt(norm))
        a = amplitude if abs(amplitude) > 1e-6 else 1e-6
        gradient = np.empty(4)
        for i in range(4):
            for j in range(i + 1):
                scale = (a if i > 0 else 1.0) * (a if j > 0 else 1.0)
                matrix[i, j] = matrix[j, i] = scale * products[i, j]
            gradient[i] = (a if i > 0 else 1.0) * (with_data[i] - a * products[i, 0])
        for i in range(4):
            matrix[i, i] = matrix[i, i] * 1.001 + 1e-9
        step = np.linalg.solve(matrix, gradient)
        x0 = min(max(x0 + min(max(step[1], -_STEP_PX), _STEP_PX), x - reach_px), x + reach_px)
        y0 = min(max(y0 + min(max(step[2], -_STEP_PX), _STEP_PX), y - reach_px), y + reach_px)
        s = s + min(max(step[3], -_STEP_SHARE * s), _STEP_SHARE * s)
        s = min(max(s, bounds[0]), bounds[1])
    return snr, s


@njit(cache=True, nogil=True)
def fit_best_trail(
    z: Any, good: Any, x: float, y: float, sigma_px: float, enough: float
) -> tuple[float, float, float]:
    """S/N, length and width (sigma) of the trail that fits best through a place.

    Parameters
    ----------
    z : (ny, nx)
        Image over its noise.
    good : (ny, nx) bool
        Pixels that count.
    x, y
        The place, px.
    sigma_px
        Width of the PSF.
    enough
        The first trail whose S/N is above this will do.

    Returns
    -------
    snr, length_px, sigma_px
        0, NaN and the PSF's width where no trail fits.
    """
    best = (0.0, np.nan, sigma_px)
    for share in _LENGTHS:
        half = 0.5 * share * sigma_px * FWHM_PER_SIGMA
        for k in range(_DIRECTIONS):
            dx = half * math.cos(math.pi * k / _DIRECTIONS)
            dy = half * math.sin(math.pi * k / _DIRECTIONS)
            length = math.hypot((x + dx) - (x - dx), (y + dy) - (y - dy))
            p, numbers, _, fits = fit_near(
                z, good, x - dx, y - dy, x + dx, y + dy, length, sigma_px, 0.0, 1.0
            )
            if fits and p[4] > 0 and numbers[0] > best[0]:
                best = (numbers[0], p[3], p[5])
                if numbers[0] > enough:
                    return best
    return best
