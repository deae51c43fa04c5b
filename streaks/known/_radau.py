"""The compiled heart of `streaks.known.nbody`: one step of all orbits, by collocation.

Kept apart because importing it imports numba; only the dynamics does, when it first runs.
"""

# Loops and scalars, not arrays: this file is compiled.

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["advance"]

#: Give up on an orbit that needs steps shorter than this share of a common step (11 s of 16 d).
_SHORTEST = 2.0**-17
_MAX_ITERATIONS = 12
_CONVERGED = 1e-10
#: Ratio of the planets' tugs to the whole pull below which they are looked at but once.
_CALM = 1e-3


@njit(cache=True, nogil=True, fastmath={"contract", "arcp"})
def _pull_of_sun(x, y, z, vx, vy, vz, sun, gm, c2_inverse, out):  # type: ignore[no-untyped-def]
    """Acceleration by the Sun with its relativistic term; barycentric coordinates.

    Barycentric, because in heliocentric axes the small planets' tugs on the Sun are the fastest
    terms of all and would set the step.
    """
    dx, dy, dz = x - sun[0], y - sun[1], z - sun[2]
    r2 = dx * dx + dy * dy + dz * dz
    r = math.sqrt(r2)
    pull = gm / (r2 * r)
    # Schwarzschild term of the Sun (Moyer 2003, eq. 4-26, test particle); that the Sun itself
    # moves at 1e-3 of the orbit's speed is nothing in a term of 1e-8.
    along = pull * (c2_inverse * (4.0 * gm / r - (vx * vx + vy * vy + vz * vz)) - 1.0)
    across = pull * c2_inverse * 4.0 * (dx * vx + dy * vy + dz * vz)
    out[0] = along * dx + across * vx
    out[1] = along * dy + across * vy
    out[2] = along * dz + across * vz


@njit(cache=True, nogil=True, fastmath=True)
def _tugs(x, y, z, bodies, gm, own, out):  # type: ignore[no-untyped-def]
    """Acceleration by all bodies but the Sun (the first); bodies are (3, b)."""
    ax = 0.0
    ay = 0.0
    az = 0.0
    for j in range(1, gm.shape[0]):
        dx, dy, dz = bodies[0, j] - x, bodies[1, j] - y, bodies[2, j] - z
        d2 = dx * dx + dy * dy + dz * dz
        # Never itself: a body at its own place would pull without bound.
        mass = 0.0 if j == own else gm[j]
        tug = mass / (d2 * math.sqrt(d2) + (1.0 if j == own else 0.0))
        ax += tug * dx
        ay += tug * dy
        az += tug * dz
    out[0] = ax
    out[1] = ay
    out[2] = az


@njit(cache=True, nogil=True)
def _place_bodies(share, series, bodies):  # type: ignore[no-untyped-def]
    """Massive bodies at a share (0 to 1) of the common step."""
    x = 2.0 * share - 1.0
    for j in range(series.shape[0]):
        for axis in range(3):
            b1 = 0.0
            b2 = 0.0
            for k in range(series.shape[2] - 1, 0, -1):
                b0 = series[j, axis, k] + 2.0 * x * b1 - b2
                b2 = b1
                b1 = b0
            bodies[axis, j] = series[j, axis, 0] + x * b1 - b2


@njit(cache=True, nogil=True)
def advance(  # type: ignore[no-untyped-def]
    position,
    velocity,
    share_wanted,
    guess,
    own,
    until,
    step_days,
    series,
    table,
    nodes,
    to_position,
    to_velocity,
    to_end_position,
    to_end_velocity,
    to_next,
    to_top,
    gm,
    c2_inverse,
    tolerance,
):
    """Bring all orbits over one common step or a part of it, in place.

    Parameters
    ----------
    position, velocity : (n, 3), au and au/day, barycentric
    share_wanted : (n,)
        Share of the common step that each orbit's own step should have, kept between calls.
    guess : (n, m, 3)
        Accelerations expected at the nodes (of the whole step), kept between calls; NaN first.
    own : (n,)
        Which body an orbit is itself; -1 for none.
    until : (n,)
        Share of the common step at which each orbit stops; 1 for the whole.
    step_days
        Length of the common step; below 0 backwards.
    series : (b, 3, order)
        Chebyshev coefficients of the massive bodies over the step, the Sun first.
    table : (m, 3, b)
        The same at the nodes of the whole step.
    nodes : (m,)
        Shares of a step at which accelerations are taken, the first one 0.
    to_position, to_velocity : (m, m)
        Double and single integrals of accelerations at the nodes, from 0 to each node.
    to_end_position, to_end_velocity : (m,)
        The same to the end of the step.
    to_next : (m, m)
        Accelerations at the nodes of the next step, by the same polynomial.
    to_top : (m,)
        The highest coefficient of that polynomial.
    gm : (b,), au^3/day^2
        Of the massive bodies, the Sun first.
    c2_inverse
        One over the square of the speed of light, day^2/au^2; 0 for no relativity.
    tolerance
        Largest share that the highest coefficient may have in the acceleration.
    """
    m = nodes.shape[0]
    acc = np.empty((m, 3))
    ahead = np.empty((m, 3))
    out = np.empty(3)
    tug = np.empty((m, 3))
    local = np.empty((m, 3, gm.shape[0]))
    p = np.empty(3)
    v = np.empty(3)
    for i in range(position.shape[0]):
        done = 0.0
        share = share_wanted[i]
        last = until[i]
        while done < last:
            if not math.isfinite(position[i, 0]):
                break
            share = min(share, last - done)
            if last - done - share < 1e-9:
                share = last - done
            whole = share == 1.0
            h = share * step_days
            if whole:
                places = table
            else:
                for k in range(m):
                    _place_bodies(done + share * nodes[k], series, local[k])
                places = local
            _pull_of_sun(
                position[i, 0], position[i, 1], position[i, 2],
                velocity[i, 0], velocity[i, 1], velocity[i, 2],
                places[0, :, 0], gm[0], c2_inverse, out,
            )  # fmt: skip
            _tugs(position[i, 0], position[i, 1], position[i, 2], places[0], gm, own[i], tug[0])
            # Far from all planets their tugs need no second look: where the first guess errs by
            # 1e-6 of the way, a tug of 1e-4 of the whole errs by 1e-10 at most.
            calm = 0.0
            for axis in range(3):
                out[axis] += tug[0, axis]
                calm = max(calm, abs(tug[0, axis]))
            size = math.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
            use_guess = whole and math.isfinite(guess[i, 0, 0])
            for k in range(m):
                for axis in range(3):
                    acc[k, axis] = guess[i, k, axis] if use_guess and k > 0 else out[axis]
            converged = False
            looks = _MAX_ITERATIONS if calm > _CALM * size else (1 if use_guess else 2)
            for turn in range(_MAX_ITERATIONS):
                change = 0.0
                for k in range(1, m):
                    for axis in range(3):
                        px = 0.0
                        vx = 0.0
                        for q in range(m):
                            px += to_position[k, q] * acc[q, axis]
                            vx += to_velocity[k, q] * acc[q, axis]
                        p[axis] = position[i, axis] + h * (nodes[k] * velocity[i, axis] + h * px)
                        v[axis] = velocity[i, axis] + h * vx
                    _pull_of_sun(
                        p[0], p[1], p[2], v[0], v[1], v[2],
                        places[k, :, 0], gm[0], c2_inverse, out,
                    )  # fmt: skip
                    if turn < looks:
                        _tugs(p[0], p[1], p[2], places[k], gm, own[i], tug[k])
                    for axis in range(3):
                        out[axis] += tug[k, axis]
                        change = max(change, abs(out[axis] - acc[k, axis]))
                        acc[k, axis] = out[axis]
                if not math.isfinite(change):
                    break
                if change < _CONVERGED * size:
                    converged = True
                    break
            # The highest coefficient of the accelerations tells how well they are resolved.
            top = 0.0
            for axis in range(3):
                coefficient = 0.0
                for q in range(m):
                    coefficient += to_top[q] * acc[q, axis]
                top = max(top, abs(coefficient))
            error = top / size if converged else math.inf
            if error <= tolerance or (converged and share <= _SHORTEST):
                for axis in range(3):
                    dp = 0.0
                    dv = 0.0
                    for q in range(m):
                        dp += to_end_position[q] * acc[q, axis]
                        dv += to_end_velocity[q] * acc[q, axis]
                    position[i, axis] += h * (velocity[i, axis] + h * dp)
                    velocity[i, axis] += h * dv
                done = last if share == last - done else done + share
                if whole:
                    for k in range(m):
                        for axis in range(3):
                            ahead[k, axis] = 0.0
                            for q in range(m):
                                ahead[k, axis] += to_next[k, q] * acc[q, axis]
                    guess[i] = ahead
                else:
                    guess[i, 0, 0] = math.nan
                share_wanted[i] = share
            elif share <= _SHORTEST:
                position[i, :] = math.nan
                velocity[i, :] = math.nan
                break
            # Coefficients of order 7 grow with the seventh power of the step.
            factor = (
                0.25 if not converged else (0.5 * tolerance / max(error, 1e-300)) ** (1.0 / 7.0)
            )
            share = min(1.0, share * min(4.0, max(0.1, factor)))
            if done >= last:
                share_wanted[i] = share
