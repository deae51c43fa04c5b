"""Two-body motion about the Sun, for arrays of orbits of any eccentricity.

One solver does ellipses, parabolas and hyperbolas: Kepler's equation in the universal variable,
with Stumpff functions, by the Laguerre-Conway iteration, which converges from any start.
Units are au, days and radians; ``(n, 3)`` vectors may be in any fixed heliocentric frame.

References
----------
Conway 1986, Celest. Mech. 39, 199 (the iteration); Rein & Tamayo 2015, MNRAS 452, 376, section 2
(the G functions); Danby 1992, Fundamentals of Celestial Mechanics, chapter 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "GM_SUN_AU3_PER_DAY2",
    "Elements",
    "elements_from_state",
    "propagate_state",
    "state_from_elements",
]

Floats = NDArray[np.float64]

#: Gauss's constant squared: what the mean motions in MPC files are made with (IAU 1976).
GM_SUN_AU3_PER_DAY2 = 0.01720209895**2

_MAX_ITERATIONS = 60


class Elements(NamedTuple):
    """Perihelion form of heliocentric elements, arrays of one shape.

    It stays regular for parabolas, which have no mean anomaly. Distances are au, angles radians,
    ``tp_jd`` the time of perihelion in the same scale as other times.

    Parameters
    ----------
    q_au
        Distance at perihelion.
    e
        Eccentricity: below 1 an ellipse, 1 a parabola, above a hyperbola.
    incl_rad
        Inclination.
    node_rad
        Longitude of the ascending node.
    argperi_rad
        Argument of perihelion.
    tp_jd
        Julian date of a passage through perihelion.
    """

    q_au: Floats
    e: Floats
    incl_rad: Floats
    node_rad: Floats
    argperi_rad: Floats
    tp_jd: Floats


def state_from_elements(elements: Elements, jd: ArrayLike) -> tuple[Floats, Floats]:
    """Position and velocity in the frame of the elements.

    Parameters
    ----------
    elements
        n orbits.
    jd : scalar or (n,)
        Time, in the scale of ``tp_jd``.

    Returns
    -------
    position : (n, 3), au
    velocity : (n, 3), au/day
    """
    towards, ahead = _perihelion_axes(elements)
    q, e = elements.q_au[:, None], elements.e[:, None]
    speed = np.sqrt(GM_SUN_AU3_PER_DAY2 * (1.0 + e) / q)
    return propagate_state(q * towards, speed * ahead, np.asarray(jd) - elements.tp_jd)


def _perihelion_axes(elements: Elements) -> tuple[Floats, Floats]:
    """Unit vectors towards perihelion and along the motion there, (n, 3) each."""
    ci, si = np.cos(elements.incl_rad), np.sin(elements.incl_rad)
    cn, sn = np.cos(elements.node_rad), np.sin(elements.node_rad)
    cw, sw = np.cos(elements.argperi_rad), np.sin(elements.argperi_rad)
    towards = np.stack([cn * cw - sn * sw * ci, sn * cw + cn * sw * ci, sw * si], axis=-1)
    ahead = np.stack([-cn * sw - sn * cw * ci, -sn * sw + cn * cw * ci, cw * si], axis=-1)
    return towards, ahead


def propagate_state(
    position: Floats, velocity: Floats, dt_days: ArrayLike, *, gm: float = GM_SUN_AU3_PER_DAY2
) -> tuple[Floats, Floats]:
    """States after some days of two-body motion.

    Parameters
    ----------
    position, velocity : (n, 3), au and au/day
    dt_days : scalar or (n,)
        May be negative.
    gm : au^3/day^2
        Of the central body; the Sun's by default.

    Returns
    -------
    position, velocity : (n, 3)
        NaN where the input is not finite or is at the origin.
    """
    r0 = np.sqrt(np.sum(position**2, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        r_dot_v = np.sum(position * velocity, axis=-1)
        beta = 2.0 * gm / r0 - np.sum(velocity**2, axis=-1)
        dt = _within_one_period(np.broadcast_to(np.asarray(dt_days, float), r0.shape), beta, gm)
        s = _solve_kepler(r0, r_dot_v, beta, dt, gm)
        g0, g1, g2, g3 = _g_functions(beta, s)
        r = r0 * g0 + r_dot_v * g1 + gm * g2
        f, g = 1.0 - gm * g2 / r0, dt - gm * g3
        f_dot, g_dot = -gm * g1 / (r0 * r), 1.0 - gm * g2 / r
    return (
        f[:, None] * position + g[:, None] * velocity,
        f_dot[:, None] * position + g_dot[:, None] * velocity,
    )


def _within_one_period(dt: Floats, beta: Floats, gm: float) -> Floats:
    """Times of ellipses brought into half a period about zero."""
    period = np.where(beta > 0, 2.0 * np.pi * gm * np.abs(beta) ** -1.5, np.inf)
    turns = np.where(np.isfinite(period), np.round(dt / period), 0.0)
    return np.where(turns == 0.0, dt, dt - turns * np.where(np.isfinite(period), period, 0.0))


def _solve_kepler(r0: Floats, r_dot_v: Floats, beta: Floats, dt: Floats, gm: float) -> Floats:
    """The universal variable s with ``t(s) = dt``, where ``dt/ds = r``."""
    s = _first_guess(r0, beta, dt, gm)
    for _ in range(_MAX_ITERATIONS):
        g0, g1, g2, g3 = _g_functions(beta, s)
        miss = r0 * g1 + r_dot_v * g2 + gm * g3 - dt
        slope = r0 * g0 + r_dot_v * g1 + gm * g2
        curve = r_dot_v * g0 + (gm - beta * r0) * g1
        root = np.sqrt(np.abs(16.0 * slope**2 - 20.0 * miss * curve))
        step = 5.0 * miss / (slope + np.where(slope < 0, -root, root))
        s = s - step
        # Convergence is cubic: after a relative step of 1e-9 nothing is left to gain.
        if not np.any(np.abs(step) > 1e-9 * np.abs(s)):
            break
    return s


def _first_guess(r0: Floats, beta: Floats, dt: Floats, gm: float) -> Floats:
    bound = beta * dt / gm  # mean anomaly for eccentric anomaly
    size = np.minimum(np.abs(dt) / r0, np.cbrt(6.0 * np.abs(dt) / gm))
    return np.where(beta > 0, bound, np.sign(dt) * size)


def _g_functions(beta: Floats, s: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """``G_n = s^n c_n(beta s^2)`` of Stumpff's functions, n = 0 to 3."""
    x = beta * s * s
    root = np.sqrt(np.abs(x))
    capped = np.minimum(root, 300.0)  # cosh overflows at 710: such a guess only has to shrink
    with np.errstate(divide="ignore", invalid="ignore"):  # x = 0 takes the series below
        c0 = np.where(x > 0, np.cos(root), np.cosh(capped))
        c1 = np.where(x > 0, np.sin(root), np.sinh(capped)) / root
        c2, c3 = (1.0 - c0) / x, (1.0 - c1) / x
    small = np.abs(x) < 1.0
    if np.any(small):
        c2_series, c3_series = _stumpff_series(np.where(small, x, 0.0))
        c2, c3 = np.where(small, c2_series, c2), np.where(small, c3_series, c3)
        c0, c1 = np.where(small, 1.0 - x * c2, c0), np.where(small, 1.0 - x * c3, c1)
    return c0, s * c1, s * s * c2, s * s * s * c3


def _stumpff_series(x: Floats) -> tuple[Floats, Floats]:
    """c2 and c3 for abs(x) < 1, where the closed forms lose digits."""
    c2, c3 = np.ones_like(x), np.ones_like(x)
    for k in range(9, 0, -1):  # the tenth term is below 1e-19
        c2 = 1.0 - x * c2 / ((2 * k + 1) * (2 * k + 2))
        c3 = 1.0 - x * c3 / ((2 * k + 2) * (2 * k + 3))
    return c2 / 2.0, c3 / 6.0


def elements_from_state(position: Floats, velocity: Floats, jd: ArrayLike) -> Elements:
    """Osculating elements of heliocentric states, in the frame of the states.

    Parameters
    ----------
    position, velocity : (n, 3), au and au/day
    jd : scalar or (n,)
        Time of the states.

    Returns
    -------
    Elements
        n orbits.
    """
    gm = GM_SUN_AU3_PER_DAY2
    r = np.linalg.norm(position, axis=-1)
    momentum = np.cross(position, velocity)
    h = np.linalg.norm(momentum, axis=-1)
    to_perihelion = np.cross(velocity, momentum) / gm - position / r[:, None]
    e = np.linalg.norm(to_perihelion, axis=-1)
    nodal = np.stack([-momentum[:, 1], momentum[:, 0], np.zeros_like(r)], axis=-1)
    # With no node (in the ecliptic) or no perihelion (a circle) any direction in the plane will do.
    nodal = np.where(np.linalg.norm(nodal, axis=-1)[:, None] > 0, nodal, [1.0, 0.0, 0.0])
    to_perihelion = np.where(e[:, None] > 1e-14, to_perihelion, nodal)
    return Elements(
        q_au=h * h / (gm * (1.0 + e)),
        e=e,
        incl_rad=np.arctan2(np.hypot(momentum[:, 0], momentum[:, 1]), momentum[:, 2]),
        node_rad=np.mod(np.arctan2(nodal[:, 1], nodal[:, 0]), 2 * np.pi),
        argperi_rad=np.mod(_angle_about(nodal, to_perihelion, momentum), 2 * np.pi),
        tp_jd=np.asarray(jd, float)
        - _time_since_perihelion(h, e, _angle_about(to_perihelion, position, momentum)),
    )


def _angle_about(start: Floats, end: Floats, axis: Floats) -> Floats:
    """Angle from one vector to another, counter-clockwise seen from the axis' tip."""
    unit = axis / np.linalg.norm(axis, axis=-1)[:, None]
    sine = np.sum(np.cross(start, end) * unit, axis=-1)
    return np.asarray(np.arctan2(sine, np.sum(start * end, axis=-1)))


def _time_since_perihelion(h: Floats, e: Floats, anomaly: Floats) -> Floats:
    """Days from perihelion at a true anomaly in (-pi, pi]: ``q G1 + GM G3``.

    From the angle, not from ``r.v``: it stays consistent with the direction of perihelion in
    nearly circular orbits, where that direction is but rounding.
    """
    gm = GM_SUN_AU3_PER_DAY2
    q = h * h / (gm * (1.0 + e))
    beta = gm * (1.0 - e) / q
    root = np.sqrt(np.abs(beta))
    sine, cosine = np.sin(0.5 * anomaly), np.cos(0.5 * anomaly)
    with np.errstate(divide="ignore", invalid="ignore"):
        half_tangent = np.sqrt(np.abs(1.0 - e) / (1.0 + e)) * sine
        bound = 2.0 * np.arctan2(half_tangent, cosine) / root
        unbound = 2.0 * np.arctanh(half_tangent / cosine) / root
        parabolic = np.sqrt(2.0 * q / gm) * sine / cosine
    s = np.where(np.abs(1.0 - e) < 1e-12, parabolic, np.where(e < 1.0, bound, unbound))
    _, g1, _, g3 = _g_functions(beta, s)
    return q * g1 + gm * g3
