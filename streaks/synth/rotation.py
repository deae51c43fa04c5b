"""Light curves of turning asteroids: convex shapes, lit and seen from where they truly were.

A shape is given by how much of its surface faces each direction (its extended Gaussian image):
that of a triaxial ellipsoid, bent at random, with the area that keeps a surface closed. Brightness
is the sum of light over all that is both lit and seen. Nothing here knows of Fourier series, of
H and G, or of any fit.

References
----------
Kaasalainen & Torppa 2001, Icarus 153, 24 (convex shapes by their Gaussian image; scattering);
Kaasalainen, Torppa & Muinonen 2001, Icarus 153, 37, eq. 1 (phase function).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Body", "brightness_mag", "draw_body", "full_amplitudes", "observed"]

Floats = NDArray[np.float64]

_FACETS = 400
_CHUNK = 256
#: Periods, h: most turn within a day, one in eight is slow (the light-curve database's mix).
_MEDIAN_H, _SPREAD, _SHORTEST_H = 8.0, 0.65, 2.3
_SLOW_SHARE, _SLOW_H = 0.12, (24.0, 150.0)
#: Axes b/a and c/b of the ellipsoids.
_B_OVER_A, _C_OVER_B = (0.45, 0.95), (0.6, 1.0)
#: How strongly they are bent: the first harmonic is then 0.09 of the second in the median of light
#: curves above 0.15 mag, as in the six real ones of ../shared/data/asteroid-alerts (0.08), and 3 %
#: have one maximum a turn.
_BENT = 0.25
#: Lambert's share beside Lommel-Seeliger.
_LAMBERT = 0.1


@dataclass(frozen=True, eq=False)
class Body:
    """A turning asteroid.

    Parameters
    ----------
    normals : (m, 3)
        Directions that its surface faces; +z is the axis of rotation.
    areas : (m,)
        How much of it does.
    period_h
        Sidereal.
    pole : (3,)
        The axis, ecliptic of J2000.
    phase0_rad
        How far it has turned at the first epoch.
    surge, width_deg, slope
        Of ``f = surge * exp(-alpha / width) + slope * alpha + 1`` (alpha in rad in the second).
    """

    normals: Floats
    areas: Floats
    period_h: float
    pole: Floats
    phase0_rad: float
    surge: float
    width_deg: float
    slope: float


def draw_body(rng: np.random.Generator, *, period_h: float | None = None) -> Body:
    """An asteroid at random.

    Parameters
    ----------
    rng
        Where chance comes from.
    period_h
        Its period; drawn too where None.

    Returns
    -------
    Body
    """
    normals = _sphere(_FACETS)
    b = rng.uniform(*_B_OVER_A)
    c = b * rng.uniform(*_C_OVER_B)
    axes = np.array([1.0, b, c])
    areas = 1.0 / ((normals * axes) ** 2).sum(axis=1) ** 2
    areas = _closed(normals, areas * np.exp(_bumps(normals, rng)))
    pole = rng.normal(size=3)
    return Body(
        normals=normals,
        areas=areas / areas.sum(),
        period_h=_draw_period(rng) if period_h is None else period_h,
        pole=pole / np.linalg.norm(pole),
        phase0_rad=rng.uniform(0.0, 2.0 * math.pi),
        surge=rng.uniform(0.2, 0.7),
        width_deg=rng.uniform(2.0, 8.0),
        slope=rng.uniform(-1.2, -0.4),
    )


def _draw_period(rng: np.random.Generator) -> float:
    if rng.random() < _SLOW_SHARE:
        return float(np.exp(rng.uniform(*np.log(_SLOW_H))))
    while True:
        period_h = _MEDIAN_H * math.exp(_SPREAD * rng.normal())
        if period_h > _SHORTEST_H:
            return period_h


def _sphere(n: int) -> Floats:
    """Directions spread evenly: a Fibonacci spiral."""
    k = np.arange(n) + 0.5
    z = 1.0 - 2.0 * k / n
    angle = math.pi * (1.0 + math.sqrt(5.0)) * k
    across = np.sqrt(1.0 - z * z)
    return np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=-1)


def _bumps(normals: Floats, rng: np.random.Generator) -> Floats:
    """A smooth random function of direction."""
    total = np.zeros(len(normals))
    for power in (1, 2, 3, 3, 4, 5):
        axis = rng.normal(size=3)
        total += _BENT * rng.normal() * (normals @ (axis / np.linalg.norm(axis))) ** power
    return total


def _closed(normals: Floats, areas: Floats) -> Floats:
    """The nearest areas whose facets close a surface: the sum of area and normal is 0."""
    tilt = np.zeros(3)
    for _ in range(30):
        tilted = areas * np.exp(normals @ tilt)
        excess = tilted @ normals
        if np.linalg.norm(excess) < 1e-10 * tilted.sum():
            break
        tilt -= np.linalg.solve((normals * tilted[:, None]).T @ normals, excess)
    return np.asarray(areas * np.exp(normals @ tilt))


def brightness_mag(body: Body, days: Floats, to_sun: Floats, to_observer: Floats) -> Floats:
    """Reduced magnitudes without noise, zero where nobody cares.

    Parameters
    ----------
    body
        The asteroid.
    days : (n,)
        When the light left it, from the epoch of its phase 0.
    to_sun, to_observer : (n, 3)
        Unit vectors, ecliptic axes.

    Returns
    -------
    (n,)
    """
    turn = body.phase0_rad + 2.0 * math.pi * 24.0 * np.asarray(days) / body.period_h
    x_axis, y_axis = _equator(body.pole)
    light = np.empty(len(turn))
    for at in range(0, len(turn), _CHUNK):
        part = slice(at, at + _CHUNK)
        mu0 = _cosines(body, turn[part], to_sun[part], x_axis, y_axis)
        mu = _cosines(body, turn[part], to_observer[part], x_axis, y_axis)
        total = np.where(mu + mu0 > 1e-9, mu + mu0, 1.0)
        light[part] = (mu * mu0 * (1.0 / total + _LAMBERT)) @ body.areas
    alpha = np.arccos(np.clip((to_sun * to_observer).sum(axis=1), -1.0, 1.0))
    surge = body.surge * np.exp(-np.degrees(alpha) / body.width_deg)
    return np.asarray(-2.5 * np.log10(light * (surge + body.slope * alpha + 1.0)))


def _equator(pole: Floats) -> tuple[Floats, Floats]:
    helper = np.array([1.0, 0.0, 0.0]) if abs(pole[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
    x = np.cross(helper, pole)
    x /= np.linalg.norm(x)
    return x, np.cross(pole, x)


def _cosines(body: Body, turn: Floats, towards: Floats, x: Floats, y: Floats) -> Floats:
    """Of each epoch and facet, the cosine of the angle to a direction, or 0 behind."""
    u, v = towards @ x, towards @ y
    own = np.stack([
        np.cos(turn) * u + np.sin(turn) * v,
        np.cos(turn) * v - np.sin(turn) * u,
        towards @ body.pole,
    ], axis=-1)  # fmt: skip
    return np.maximum(own @ body.normals.T, 0.0)


def full_amplitudes(
    body: Body, to_sun: Floats, to_observer: Floats, apparition: NDArray[np.int64]
) -> Floats:
    """Peak to peak over a whole turn in the middle of each apparition, mag.

    Parameters
    ----------
    body
        The asteroid.
    to_sun, to_observer : (n, 3)
        Of all epochs.
    apparition : (n,) int
        Of each epoch.

    Returns
    -------
    (n_apparitions,)
    """
    days = np.linspace(0.0, body.period_h / 24.0, 120, endpoint=False)
    found = []
    for k in np.unique(apparition):
        own = np.flatnonzero(apparition == k)
        middle = own[len(own) // 2]
        same = np.ones((len(days), 1))
        mag = brightness_mag(body, days, same * to_sun[middle], same * to_observer[middle])
        found.append(float(np.ptp(mag)))
    return np.array(found)


def observed(
    mag: Floats, apparent_mag: Floats, rng: np.random.Generator, *, depth_mag: float = 20.6
) -> tuple[Floats, Floats]:
    """Magnitudes as a survey measures them, with what it says of their errors.

    Errors are those of photons and sky at each magnitude, with a floor and long tails; one
    measurement in fifty is of another source's light too.

    Parameters
    ----------
    mag : (n,)
        True, on any scale.
    apparent_mag : (n,)
        As bright as they look.
    rng
        Where chance comes from.
    depth_mag
        Where the error is 0.2 mag.

    Returns
    -------
    measured, error : (n,)
    """
    faint = 0.2 * 10.0 ** (0.3 * (np.asarray(apparent_mag) - depth_mag))
    error = np.hypot(0.02, faint)
    noise = error * rng.standard_t(5, len(mag)) * math.sqrt(3.0 / 5.0)
    other = rng.random(len(mag)) < 0.02
    noise += np.where(other, rng.normal(0.0, 0.4, len(mag)), 0.0)
    return mag + noise, error * np.exp(0.15 * rng.normal(size=len(mag)))
