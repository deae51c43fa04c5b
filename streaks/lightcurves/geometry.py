"""From where an asteroid was lit and seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIGHT_AU_PER_DAY", "Viewing", "apparitions", "viewing"]

Floats = NDArray[np.float64]

#: Speed of light (IAU 2012: 299792.458 km/s, 149597870.7 km an au).
LIGHT_AU_PER_DAY = 173.14463267424034
#: Obliquity of the ecliptic at J2000 (IAU 2006).
_OBLIQUITY_RAD = np.radians(84381.406 / 3600.0)
#: Between two apparitions lies at least so long without any measurement, days: a main-belt
#: asteroid is lost in twilight for four months or more.
_APPARITION_GAP_DAYS = 100.0


@dataclass(frozen=True, eq=False)
class Viewing:
    """Directions at each epoch, in ecliptic axes of J2000.

    Parameters
    ----------
    to_sun, to_observer : (n, 3)
        Unit vectors from the asteroid.
    bisector_deg : (n,)
        Ecliptic longitude of the phase-angle bisector, seen from the Sun (0 to 360): it tells
        which side of the asteroid is shown, and how that turns as both go round the Sun.
    """

    to_sun: Floats
    to_observer: Floats
    bisector_deg: Floats


def viewing(ra_deg: Floats, dec_deg: Floats, delta_au: Floats, jd: Floats) -> Viewing:
    """Directions from places on the sky and distances.

    The Earth's centre stands for the observer: the difference is below 0.01 deg at 0.25 au.

    Parameters
    ----------
    ra_deg, dec_deg : (n,)
        Astrometric places, ICRS.
    delta_au : (n,)
        Distance from the observer.
    jd : (n,)
        Julian date, UTC or TDB: a minute is nothing here.

    Returns
    -------
    Viewing
        NaN where a number is missing.
    """
    import erfa

    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    line = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    day = np.floor(jd)
    earth = erfa.epv00(day, jd - day)[0]["p"]
    from_sun = earth + line * np.asarray(delta_au)[:, None]
    outward = from_sun / np.linalg.norm(from_sun, axis=-1)[:, None]
    bisector = _to_ecliptic(outward + line)
    longitude = np.degrees(np.arctan2(bisector[:, 1], bisector[:, 0])) % 360.0
    return Viewing(_to_ecliptic(-outward), _to_ecliptic(-line), longitude)


def _to_ecliptic(vectors: Floats) -> Floats:
    c, s = np.cos(_OBLIQUITY_RAD), np.sin(_OBLIQUITY_RAD)
    x, y, z = vectors.T
    return np.stack([x, c * y + s * z, c * z - s * y], axis=-1)


def apparitions(jd: Floats, gap_days: float = _APPARITION_GAP_DAYS) -> NDArray[np.int64]:
    """Which apparition each epoch belongs to, from 0.

    Parameters
    ----------
    jd : (n,)
        In any order.
    gap_days
        A longer time without any epoch parts two apparitions.

    Returns
    -------
    (n,) int
    """
    order = np.argsort(jd, kind="stable")
    number = np.zeros(len(jd), np.int64)
    if len(jd) > 1:
        number[order[1:]] = np.cumsum(np.diff(np.asarray(jd)[order]) > gap_days)
    return number
