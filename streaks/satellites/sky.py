"""Where satellites are against the stars during an exposure.

References
----------
Vallado, Crawford, Hujsak & Kelso 2006, AIAA 2006-6753 (SGP4 and the frame of its results).
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.config import SatelliteConfig
from streaks.satellites.elements import Satellites
from streaks.tables import ColumnSpec, build_table

__all__ = ["SKY_COLUMNS", "Site", "satellites_in_sky", "tangent_axes", "unit_vectors"]

Floats = NDArray[np.float64]

_EARTH_RADIUS_KM = 6378.137
_AU_KM = 149_597_870.7
_LIGHT_KM_PER_S = 299_792.458
_DAY_S = 86_400.0
_ARCSEC_PER_RAD = 648_000.0 / np.pi

SKY_COLUMNS = (
    ColumnSpec("sat_name", str, None, "of the satellite; empty where the file gives none"),
    ColumnSpec("sat_norad", np.int64, None, "its NORAD number"),
    ColumnSpec("ra0", float, "deg", "at the start of the exposure, ICRS, astrometric"),
    ColumnSpec("dec0", float, "deg", "at the start"),
    ColumnSpec("ra", float, "deg", "at mid-exposure"),
    ColumnSpec("dec", float, "deg", "at mid-exposure"),
    ColumnSpec("ra1", float, "deg", "at the end"),
    ColumnSpec("dec1", float, "deg", "at the end"),
    ColumnSpec("rate", float, "arcsec / s", "apparent motion against the stars"),
    ColumnSpec("pa", float, "deg", "its direction, east of north, in [0, 360)"),
    ColumnSpec("range", float, "km", "distance from the observer"),
    ColumnSpec("sunlit", np.int64, None, "1 where the Sun shines on it, 0 in the Earth's shadow"),
    ColumnSpec("age", float, "day", "time from the epoch of its elements"),
)


class Site(Protocol):
    """Where an observer stands on the Earth, by the MPC's parallax constants."""

    @property
    def longitude_deg(self) -> float:
        """East, deg."""
        ...

    @property
    def rho_cos_phi(self) -> float:
        """Distance from the Earth's axis, equatorial radii."""
        ...

    @property
    def rho_sin_phi(self) -> float:
        """Distance from the plane of the equator, equatorial radii."""
        ...


def satellites_in_sky(
    satellites: Satellites,
    time: Time,
    site: Site,
    *,
    exposure_s: float,
    near: tuple[float, float, float] | None = None,
    config: SatelliteConfig | None = None,
) -> QTable:
    """Where satellites are against the stars during an exposure.

    Parameters
    ----------
    satellites
        Elements of n satellites.
    time
        MID-exposure.
    site
        The observer's; an `streaks.known.Observatory` is one.
    exposure_s
        Length of the exposure.
    near
        Only those whose track comes within a radius of a place: RA, dec, radius (deg).
    config
        Oldest elements to use.

    Returns
    -------
    QTable
        A row for each that is above the horizon, has elements young enough and does not fail in
        SGP4 (a decayed one does).
    """
    config = SatelliteConfig() if config is None else config
    age = np.abs(satellites.epoch_jd - float(time.utc.jd))
    half = 0.5 * exposure_s
    middle, range_km, sun_on, up = _directions(satellites, time, 0.0, site)
    use = up & (age <= config.max_age_days) & _nearest_in_time(satellites.norad, age)
    start, _, _, _ = _directions(satellites, time, -half, site)
    end, _, _, _ = _directions(satellites, time, half, site)
    if near is not None:
        place = unit_vectors(near[0], near[1])
        way = np.linalg.norm(end - start, axis=-1)
        away = np.linalg.norm(middle - place, axis=-1)
        use &= away <= math.radians(near[2]) + 0.6 * way
    rows = np.flatnonzero(use)
    (ra0, dec0), (ra, dec), (ra1, dec1) = (_angles(d[rows]) for d in (start, middle, end))
    east, north = tangent_axes(ra, dec)
    drift = (end - start)[rows] / max(exposure_s, 1e-9)
    to_east, to_north = np.sum(drift * east, axis=-1), np.sum(drift * north, axis=-1)
    return build_table(
        SKY_COLUMNS,
        {
            "sat_name": satellites.name[rows], "sat_norad": satellites.norad[rows],
            "ra0": ra0, "dec0": dec0, "ra": ra, "dec": dec, "ra1": ra1, "dec1": dec1,
            "rate": np.hypot(to_east, to_north) * _ARCSEC_PER_RAD,
            "pa": np.mod(np.degrees(np.arctan2(to_east, to_north)), 360.0),
            "range": range_km[rows], "sunlit": sun_on[rows].astype(int), "age": age[rows],
        },
    )  # fmt: skip


def _nearest_in_time(norad: NDArray[np.int64], age: Floats) -> NDArray[np.bool_]:
    """Of several sets of elements of one satellite, the one nearest in time."""
    order = np.lexsort((age, norad))
    first = np.ones(len(norad), dtype=bool)
    first[1:] = norad[order][1:] != norad[order][:-1]
    chosen = np.zeros(len(norad), dtype=bool)
    chosen[order[first]] = True
    return chosen


def _directions(
    satellites: Satellites, time: Time, offset_s: float, site: Site
) -> tuple[Floats, Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Astrometric unit vectors (n, 3), ranges (km), whether sunlit, whether above the horizon.

    Against catalogued stars a satellite is displaced by what the Earth moves while its light
    travels (up to 20 arcsec): stars' places are free of aberration, and it moves with the Earth.
    """
    import erfa

    jd = time.utc.jd1, time.utc.jd2 + offset_s / _DAY_S
    jd_tt = float(time.tt.jd) + offset_s / _DAY_S
    ut1 = jd_tt + _ut1_minus_tt_days(time)
    to_celestial = erfa.pnm06a(jd_tt, 0.0).T
    # From the mean equinox that SGP4 uses to the true one.
    turn = erfa.ee06a(jd_tt, 0.0)
    cosine, sine = math.cos(turn), math.sin(turn)
    teme = to_celestial @ np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    error, position, velocity = satellites.elements.sgp4(np.array([jd[0]]), np.array([jd[1]]))
    with np.errstate(invalid="ignore"):
        geocentric, motion = position[:, 0] @ teme.T, velocity[:, 0] @ teme.T
    angle = math.radians(site.longitude_deg) + erfa.gst06a(ut1, 0.0, jd_tt, 0.0)
    here = _EARTH_RADIUS_KM * (
        to_celestial
        @ np.array([
            site.rho_cos_phi * math.cos(angle),
            site.rho_cos_phi * math.sin(angle),
            site.rho_sin_phi,
        ])
    )  # fmt: skip
    heliocentric, barycentric = erfa.epv00(jd_tt, 0.0)
    earth_motion = barycentric["v"] * _AU_KM / _DAY_S
    travel = np.linalg.norm(geocentric - here, axis=-1)[:, None] / _LIGHT_KM_PER_S
    line = geocentric - here - travel * (motion + earth_motion)
    range_km = np.linalg.norm(line, axis=-1)
    up = (error[:, 0] == 0) & np.isfinite(range_km) & (line @ here > 0.0)
    sunlit = ~_in_shadow(geocentric, -heliocentric["p"])
    return line / range_km[:, None], range_km, sunlit, up


def _ut1_minus_tt_days(time: Time) -> float:
    """From the tables that come with astropy; never from the network."""
    from astropy.utils import iers

    with iers.conf.set_temp("auto_download", False):
        ut1_minus_utc, _ = iers.earth_orientation_table.get().ut1_utc(time, return_status=True)
    utc = time.utc
    return float(utc.jd - time.tt.jd) + float(ut1_minus_utc.to_value("day"))


def _in_shadow(geocentric: Floats, to_sun: Floats) -> NDArray[np.bool_]:
    """Within the cylinder behind the Earth."""
    towards = to_sun / np.linalg.norm(to_sun)
    along = geocentric @ towards
    aside = np.linalg.norm(geocentric - along[:, None] * towards, axis=-1)
    return np.asarray((along < 0.0) & (aside < _EARTH_RADIUS_KM))


def unit_vectors(ra_deg: Any, dec_deg: Any) -> Floats:
    """Directions of places on the sky.

    Parameters
    ----------
    ra_deg, dec_deg : scalar or (n,)
        Places.

    Returns
    -------
    (3,) or (n, 3)
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _angles(unit: Floats) -> tuple[Floats, Floats]:
    ra = np.mod(np.degrees(np.arctan2(unit[:, 1], unit[:, 0])), 360.0)
    return ra, np.degrees(np.arctan2(unit[:, 2], np.hypot(unit[:, 0], unit[:, 1])))


def tangent_axes(ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats]:
    """Unit vectors to the east and to the north.

    Parameters
    ----------
    ra_deg, dec_deg : (n,)
        Places.

    Returns
    -------
    east, north : (n, 3)
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    return east, north
