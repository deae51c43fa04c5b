"""Compiled loops over a whole catalogue: two-body motion, and who may be near a place.

Kept apart because importing it imports numba.
"""

# Loops and scalars, not arrays: this file is compiled.

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["propagate", "select_near"]

_MAX_ITERATIONS = 60


@njit(cache=True, nogil=True)
def _stumpff(x):  # type: ignore[no-untyped-def]
    """c0 to c3 of Stumpff's functions."""
    if abs(x) < 1.0:
        c2 = 1.0
        c3 = 1.0
        for k in range(9, 0, -1):  # the tenth term is below 1e-19
            c2 = 1.0 - x * c2 / ((2 * k + 1) * (2 * k + 2))
            c3 = 1.0 - x * c3 / ((2 * k + 2) * (2 * k + 3))
        c2 /= 2.0
        c3 /= 6.0
        return 1.0 - x * c2, 1.0 - x * c3, c2, c3
    root = math.sqrt(abs(x))
    if x > 0:
        c0 = math.cos(root)
        c1 = math.sin(root) / root
    else:
        root = min(root, 300.0)  # cosh overflows at 710: such a guess only has to shrink
        c0 = math.cosh(root)
        c1 = math.sinh(root) / root
    return c0, c1, (1.0 - c0) / x, (1.0 - c1) / x


@njit(cache=True, nogil=True)
def propagate(position, velocity, dt_days, gm):  # type: ignore[no-untyped-def]
    """As `streaks.known.kepler.propagate_state`, one orbit after the other, for one time.

    Parameters
    ----------
    position, velocity : (n, 3), au and au/day
    dt_days
        May be negative.
    gm
        Of the Sun, au^3/day^2.

    Returns
    -------
    position, velocity : (n, 3), au and au/day
        NaN where the input is not finite or is at the origin.
    """
    n = position.shape[0]
    new_position = np.empty((n, 3))
    new_velocity = np.empty((n, 3))
    for i in range(n):
        r2 = 0.0
        r_dot_v = 0.0
        v2 = 0.0
        for axis in range(3):
            r2 += position[i, axis] ** 2
            r_dot_v += position[i, axis] * velocity[i, axis]
            v2 += velocity[i, axis] ** 2
        r0 = math.sqrt(r2)
        if not (r0 > 0.0 and math.isfinite(r0) and math.isfinite(v2)):
            new_position[i, :] = math.nan
            new_velocity[i, :] = math.nan
            continue
        beta = 2.0 * gm / r0 - v2
        dt = dt_days
        if beta > 0.0:
            period = 2.0 * math.pi * gm * beta**-1.5
            dt -= period * round(dt / period)
        if beta > 0.0:
            s = beta * dt / gm
        else:
            s = math.copysign(min(abs(dt) / r0, (6.0 * abs(dt) / gm) ** (1.0 / 3.0)), dt)
        for _ in range(_MAX_ITERATIONS):
            c0, c1, c2, c3 = _stumpff(beta * s * s)
            g1, g2, g3 = s * c1, s * s * c2, s * s * s * c3
            miss = r0 * g1 + r_dot_v * g2 + gm * g3 - dt
            slope = r0 * c0 + r_dot_v * g1 + gm * g2
            curve = r_dot_v * c0 + (gm - beta * r0) * g1
            root = math.sqrt(abs(16.0 * slope * slope - 20.0 * miss * curve))
            step = 5.0 * miss / (slope + (-root if slope < 0 else root))
            s -= step
            if not abs(step) > 1e-9 * abs(s):
                break
        c0, c1, c2, c3 = _stumpff(beta * s * s)
        g1, g2, g3 = s * c1, s * s * c2, s * s * s * c3
        r = r0 * c0 + r_dot_v * g1 + gm * g2
        f, g = 1.0 - gm * g2 / r0, dt - gm * g3
        f_dot, g_dot = -gm * g1 / (r0 * r), 1.0 - gm * g2 / r
        for axis in range(3):
            p, v = position[i, axis], velocity[i, axis]
            new_position[i, axis] = f * p + g * v
            new_velocity[i, axis] = f_dot * p + g_dot * v
    return new_position, new_velocity


@njit(cache=True, nogil=True)
def select_near(  # type: ignore[no-untyped-def]
    line, drift, slack, growth, brightest, starts, stops, towards, radius_rad, dt, limit, close
):
    """Rows, of some ranges, that may be within a radius of a direction.

    Parameters
    ----------
    line, drift : (n, 3), au and au/day
        From the observer to each body at the night's time, and how that changes.
    slack, growth : (n,), au and au/day^2
        How far the straight line may be wrong, at once and with the square of time.
    brightest : (n,), mag
        NaN is never too faint.
    starts, stops : (k,)
        Ranges of rows to look at.
    towards : (3,)
        Unit vector of the direction.
    radius_rad
        About it, rad.
    dt
        Days from the night's time.
    limit : mag
        Fainter bodies are left out; inf leaves out none.
    close : au
        Nearer than this all are taken.

    Returns
    -------
    (m,) int
        All rows that are within the radius, and some that are not.
    """
    count = 0
    for k in range(starts.shape[0]):
        count += stops[k] - starts[k]
    found = np.empty(count, np.int64)
    count = 0
    for k in range(starts.shape[0]):
        for i in range(starts[k], stops[k]):
            if brightest[i] > limit:
                continue
            x = line[i, 0] + dt * drift[i, 0]
            y = line[i, 1] + dt * drift[i, 1]
            z = line[i, 2] + dt * drift[i, 2]
            distance = math.sqrt(x * x + y * y + z * z)
            # Compared by chords: never longer than the angles, so that nothing is lost.
            reach = radius_rad + 1.5 * (slack[i] + growth[i] * dt * dt) / max(distance, 1e-6)
            cosine = (x * towards[0] + y * towards[1] + z * towards[2]) / max(distance, 1e-12)
            if 2.0 - 2.0 * cosine <= reach * reach or distance < close:
                found[count] = i
                count += 1
    return found[:count]
