"""The scan of frequencies, compiled: one linear fit at each of some hundred thousand."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["scan"]

#: Frequencies that are worked on together.
_BLOCK = 16
#: Blocks after which sines and cosines are computed anew: the turning adds rounding errors.
_FRESH = 64
#: Share of the diagonal that keeps the equations solvable where data tell nothing of a harmonic.
_RIDGE = 1e-6


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def scan(t, offset, weight, nuisance, y, first, step, n_frequencies, n_harmonics):  # type: ignore[no-untyped-def]
    """Fall of chi-square by a Fourier series at each frequency, beyond what is fitted besides.

    Parameters
    ----------
    t : (n,)
        Times, days.
    offset : (n,)
        Added to the phase of rotation, rad.
    weight : (n,)
        One over the error of each value.
    nuisance : (n, k)
        Orthonormal columns (already weighted) that are fitted at the same time.
    y : (n, m)
        Weighted values, each column one set, orthogonal to `nuisance`.
    first, step
        Of the frequencies, turns a day.
    n_frequencies, n_harmonics

    Returns
    -------
    (n_frequencies, m)
        In units of chi-square.
    """
    n, m = y.shape
    size = 2 * n_harmonics
    fall = np.zeros((n_frequencies, m))
    cosine, sine = np.empty(n), np.empty(n)
    turn_c, turn_s = np.cos(2.0 * math.pi * step * t), np.sin(2.0 * math.pi * step * t)
    a = np.empty((_BLOCK * size, n))
    s, low, r = np.empty((size, size)), np.empty((size, size)), np.empty((size, m))
    n_blocks = (n_frequencies + _BLOCK - 1) // _BLOCK
    for block in range(n_blocks):
        if block % _FRESH == 0:
            angle = 2.0 * math.pi * (first + block * _BLOCK * step) * t + offset
            cosine, sine = np.cos(angle), np.sin(angle)
        for j in range(_BLOCK):
            row = j * size
            for i in range(n):
                c, d, w = cosine[i], sine[i], weight[i]
                hc, hs = c, d
                for h in range(n_harmonics):
                    a[row + 2 * h, i] = hc * w
                    a[row + 2 * h + 1, i] = hs * w
                    hc, hs = hc * c - hs * d, hs * c + hc * d
                cosine[i], sine[i] = (
                    c * turn_c[i] - d * turn_s[i],
                    d * turn_c[i] + c * turn_s[i],
                )
        b = a @ nuisance
        z = a @ y
        for j in range(_BLOCK):
            at = block * _BLOCK + j
            if at >= n_frequencies:
                break
            row = j * size
            part, of = a[row : row + size], b[row : row + size]
            s[:] = part @ part.T - of @ of.T
            r[:] = z[row : row + size]
            for k in range(size):
                s[k, k] += _RIDGE * s[k, k] + 1e-12
            # Cholesky, and forward substitution: the fall is the square of what comes out.
            for k in range(size):
                for q in range(k + 1):
                    total = s[k, q]
                    for p in range(q):
                        total -= low[k, p] * low[q, p]
                    low[k, q] = math.sqrt(max(total, 1e-12)) if q == k else total / low[q, q]
                for col in range(m):
                    value = r[k, col]
                    for p in range(k):
                        value -= low[k, p] * r[p, col]
                    r[k, col] = value / low[k, k]
                    fall[at, col] += r[k, col] ** 2
    return fall
