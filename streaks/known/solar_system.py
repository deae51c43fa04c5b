"""Where the Sun, the Earth and the other perturbers are.

`Ephemeris` is the face. JPL's kernels (`streaks.known.spk`) are the precise source; those that
come with the package (`streaks.known.shipped`) are the default. `SeriesEphemeris` needs no file.
States are barycentric, in the axes of the ICRS, au and au/day, at TDB.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streaks.errors import CatalogueError
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.observatories import Observatory

__all__ = [
    "AU_KM",
    "GM_RATIO",
    "GM_SUN_KM3_PER_S2",
    "LIGHT_AU_PER_DAY",
    "Ephemeris",
    "SeriesEphemeris",
    "ephemeris_between",
    "observer_state",
]

Floats = NDArray[np.float64]

#: IAU 2012 resolution B2.
AU_KM = 149_597_870.7
#: Speed of light, 299792.458 km/s.
LIGHT_AU_PER_DAY = 299_792.458 * 86_400.0 / AU_KM
#: Equatorial radius of the Earth that parallax constants are given in (WGS 84).
_EARTH_RADIUS_AU = 6378.137 / AU_KM
#: Rotation of the Earth, rad/day of UT1 (IAU 2000).
_EARTH_ROTATION = 2.0 * np.pi * 1.00273781191135448

#: GM of the Sun in DE440.
GM_SUN_KM3_PER_S2 = 132_712_440_041.279419
#: Masses in units of the Sun's, from the GM values of DE440 (Park et al. 2021, AJ 161, 105,
#: table 2).
GM_RATIO: Mapping[str, float] = {
    "mercury": 22_031.868551 / GM_SUN_KM3_PER_S2,
    "venus": 324_858.592 / GM_SUN_KM3_PER_S2,
    "earth": 398_600.435507 / GM_SUN_KM3_PER_S2,
    "moon": 4_902.800118 / GM_SUN_KM3_PER_S2,
    "mars": 42_828.375816 / GM_SUN_KM3_PER_S2,
    "jupiter": 126_712_764.1 / GM_SUN_KM3_PER_S2,
    "saturn": 37_940_584.8418 / GM_SUN_KM3_PER_S2,
    "uranus": 5_794_556.4 / GM_SUN_KM3_PER_S2,
    "neptune": 6_836_527.10058 / GM_SUN_KM3_PER_S2,
}


@runtime_checkable
class Ephemeris(Protocol):
    """The face of every source of places of massive bodies."""

    #: What it is, for logs and notes.
    name: str
    #: First and last Julian date (TDB) it holds.
    span_jd: tuple[float, float]
    #: Perturbing bodies besides the Sun, and their GM in au^3/day^2. A body that is also in
    #: catalogues bears its number (``"4"``), so that it does not perturb itself.
    gm: Mapping[str, float]

    def state(self, body: str, jd_tdb: ArrayLike) -> tuple[Floats, Floats]:
        """Barycentric position and velocity of a body.

        Parameters
        ----------
        body
            ``sun`` or a body of `gm`.
        jd_tdb : scalar or (...)
            Julian dates, TDB.

        Returns
        -------
        position : (..., 3), au
            ICRS axes.
        velocity : (..., 3), au/day
        """
        ...


def ephemeris_between(ephemeris: Ephemeris, start_jd: float, end_jd: float) -> Ephemeris:
    """The one source to use over a stretch of time, of an ephemeris that has several.

    Parameters
    ----------
    ephemeris
        One with a method ``between`` (as `streaks.known.ShippedEphemeris`) chooses; any other is
        its only source.
    start_jd, end_jd
        Julian dates (TDB), in either order.

    Returns
    -------
    Ephemeris
    """
    choose = getattr(ephemeris, "between", None)
    if choose is None:
        return ephemeris
    chosen: Ephemeris = choose(start_jd, end_jd)
    return chosen


class SeriesEphemeris:
    """Series of the ERFA library that comes with astropy: nothing to download.

    The Earth is good to some 5 km (0.007 arcsec at 1 au), the other planets to 1e-4 in angle,
    which is enough for their pull on asteroids over months.

    References
    ----------
    Simon et al. 1994, A&A 282, 663 (planets); ERFA's epv00 (Earth) and moon98 (Meeus 1998).
    """

    name = "built-in series"
    span_jd = (2415020.5, 2488069.5)  # 1900 to 2100: where epv00 is good
    _PLANETS = ("mercury", "venus", "earth", "mars", "jupiter", "saturn", "uranus", "neptune")

    def __init__(self) -> None:
        self.gm: Mapping[str, float] = {
            body: ratio * GM_SUN_AU3_PER_DAY2 for body, ratio in GM_RATIO.items()
        }

    def state(self, body: str, jd_tdb: ArrayLike) -> tuple[Floats, Floats]:
        """As of `Ephemeris`.

        Parameters
        ----------
        body
            ``sun``, ``moon``, or a planet's name in small letters.
        jd_tdb : scalar or (...)
            Julian dates, TDB.

        Returns
        -------
        position : (..., 3), au
            Barycentric, ICRS axes.
        velocity : (..., 3), au/day

        Raises
        ------
        CatalogueError
            For a date outside 1900 to 2100, or a body that is no planet.
        """
        import erfa

        jd = np.asarray(jd_tdb, dtype=float)
        low, high = self.span_jd
        if jd.size and not (low <= jd.min() and jd.max() <= high):
            raise CatalogueError(
                f"the built-in series hold JD {low} to {high} (1900 to 2100); asked for JD "
                f"{jd.min():.1f} to {jd.max():.1f}: give a date in it, or a JPL kernel"
            )
        heliocentric, barycentric = erfa.epv00(jd, 0.0)
        earth = barycentric["p"], barycentric["v"]
        sun = earth[0] - heliocentric["p"], earth[1] - heliocentric["v"]
        if body == "earth":
            return earth
        if body == "sun":
            return sun
        if body == "moon":
            pv, origin = erfa.moon98(jd, 0.0), earth
        elif body not in self._PLANETS:
            raise CatalogueError(f"the {self.name} do not hold {body}; give a JPL kernel that does")
        else:
            pv, origin = erfa.plan94(jd, 0.0, 1 + self._PLANETS.index(body)), sun
        return origin[0] + pv["p"], origin[1] + pv["v"]


def observer_state(
    observatory: Observatory, jd_tdb: ArrayLike, ephemeris: Ephemeris
) -> tuple[Floats, Floats]:
    """Barycentric position and velocity of a site on the Earth.

    Polar motion (0.3 arcsec of the Earth's radius, 10 m) is left out.

    Parameters
    ----------
    observatory
        The site.
    jd_tdb : scalar or (n,)
        Julian date, TDB.
    ephemeris
        Where the Earth is.

    Returns
    -------
    position : (3,) or (n, 3), au
        ICRS axes.
    velocity : (3,) or (n, 3), au/day
    """
    import erfa

    jd = np.asarray(jd_tdb, dtype=float)
    position, velocity = ephemeris.state("earth", jd)
    if observatory.rho_cos_phi == 0.0 and observatory.rho_sin_phi == 0.0:
        return position, velocity
    ut1 = jd + _ut1_minus_tt_days(jd)
    longitude = np.radians(observatory.longitude_deg) + erfa.gst06a(ut1, 0.0, jd, 0.0)
    cosine, sine = np.cos(longitude), np.sin(longitude)
    rho, z = observatory.rho_cos_phi * _EARTH_RADIUS_AU, observatory.rho_sin_phi * _EARTH_RADIUS_AU
    to_celestial = np.swapaxes(erfa.pnm06a(jd, 0.0), -1, -2)
    site = np.stack([rho * cosine, rho * sine, np.full(jd.shape, z)], axis=-1)
    motion = _EARTH_ROTATION * np.stack([-rho * sine, rho * cosine, np.zeros(jd.shape)], axis=-1)
    turned = (to_celestial @ vectors[..., None] for vectors in (site, motion))
    to_site, drift = (vectors[..., 0] for vectors in turned)
    return position + to_site, velocity + drift


def _ut1_minus_tt_days(jd_tt: Floats) -> Floats:
    """UT1 - TT; smooth (leap seconds are in neither), so that one look-up a day is enough."""
    day = np.floor(jd_tt)
    days, place = np.unique(day.ravel(), return_inverse=True)
    both = np.array([[_ut1_minus_tt_at(int(d)), _ut1_minus_tt_at(int(d) + 1)] for d in days])
    before, after = (column[place].reshape(jd_tt.shape) for column in both.T)
    return np.asarray(before + (jd_tt - day) * (after - before))


@lru_cache(maxsize=4096)
def _ut1_minus_tt_at(jd_tt: int) -> float:
    """From the tables that come with astropy; never from the network."""
    from astropy.time import Time
    from astropy.utils import iers

    time = Time(jd_tt, format="jd", scale="tt").utc
    with iers.conf.set_temp("auto_download", False):
        table = iers.earth_orientation_table.get()
        ut1_minus_utc, _ = table.ut1_utc(time, return_status=True)
    # Beyond the table it is 0, and right to 0.9 s: 0.4 km on the Earth.
    return float(time.jd1 - jd_tt + time.jd2) + float(ut1_minus_utc.to_value("day"))
