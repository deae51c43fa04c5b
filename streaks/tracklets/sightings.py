"""Streaks as bare numbers on the sky, and the columns of what is made of several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.tables import ColumnSpec, StreakFlag, bare_column, text_column

__all__ = [
    "MOTION",
    "SATELLITE",
    "TRACKLET_COLUMNS",
    "Sightings",
    "separation_rad",
    "sightings_of",
    "tracklet_name",
]

Floats = NDArray[np.float64]

MOTION, SATELLITE = "motion", "satellite"
ARCSEC_PER_RAD = 648_000.0 / np.pi

#: One row a tracklet.
TRACKLET_COLUMNS = (
    ColumnSpec("tracklet", str, None, "name that its streaks share"),
    ColumnSpec("kind", str, None, "`motion` of one object, or `satellite` in several images"),
    ColumnSpec("n", np.int64, None, "streaks in it"),
    ColumnSpec("time", str, None, "middle of the arc, UTC, ISO 8601"),
    ColumnSpec("arc", np.float64, "s", "from the first mid-exposure to the last"),
    ColumnSpec("ra", np.float64, "deg", "at that time, ICRS"),
    ColumnSpec("dec", np.float64, "deg", "at that time"),
    ColumnSpec("rate", np.float64, "arcsec / s", "of the motion from streak to streak"),
    ColumnSpec("rate_err", np.float64, "arcsec / s", "its 1-sigma error"),
    ColumnSpec("pa", np.float64, "deg", "direction of motion, east of north, in [0, 360)"),
    ColumnSpec("pa_err", np.float64, "deg", "its 1-sigma error"),
    ColumnSpec("rms", np.float64, "arcsec", "distance of midpoints from the motion; NaN for two"),
    ColumnSpec("mag", np.float64, "mag", "median magnitude"),
    ColumnSpec("streak_ids", str, None, "its streaks in order of time, space-separated"),
)

_CUT = int(StreakFlag.EDGE_0 | StreakFlag.EDGE_1 | StreakFlag.MASKED_0 | StreakFlag.MASKED_1)


@dataclass(frozen=True, eq=False)
class Sightings:
    """Streaks of a night, a row each; angles in radians, NaN where unknown.

    Parameters
    ----------
    streak_id, image : (n,) str
        Of each streak, and of the image that it is in.
    time_s : (n,)
        Mid-exposure, seconds since the first of the night.
    start
        The instant from which `time_s` counts.
    ra, dec : (n,)
        ICRS midpoints, rad.
    xyz : (n, 3)
        Unit vectors of the midpoints, ICRS.
    pa, pa_err : (n,)
        Position angle of the line, east of north, in [0, pi), and its error, rad.
    length_arcsec : (n,)
        Of the trail on the sky.
    rate, rate_err : (n,)
        Length over exposure time and its error, arcsec/s.
    along_arcsec, across_arcsec : (n,)
        Errors of the midpoint along the trail and across it.
    mag, mag_err : (n,)
        In the image's own band.
    label : (n,) str
        Class; empty where not classified.
    flags : (n,) int
        Bits of `streaks.tables.StreakFlag`.
    cut : (n,) bool
        An end at an edge or mask: the length is a lower limit.
    """

    streak_id: NDArray[np.str_]
    image: NDArray[np.str_]
    time_s: Floats
    start: Time
    ra: Floats
    dec: Floats
    xyz: Floats
    pa: Floats
    pa_err: Floats
    length_arcsec: Floats
    rate: Floats
    rate_err: Floats
    along_arcsec: Floats
    across_arcsec: Floats
    mag: Floats
    mag_err: Floats
    label: NDArray[np.str_]
    flags: NDArray[np.int64]
    cut: NDArray[np.bool_]

    @property
    def exposure_s(self) -> Floats:
        """Trail over rate, which is how the rate was made; NaN without one."""
        known = np.where(self.rate > 0, self.rate, np.nan)
        return self.length_arcsec / known


def sightings_of(streaks: QTable) -> Sightings:
    """The bare numbers of a streak table of any number of frames.

    Parameters
    ----------
    streaks
        With the columns of `streaks.tables.NIGHT_COLUMNS`; others are left out.

    Returns
    -------
    Sightings
        A row for each of the table's. Places, times and rates that are unknown stay NaN; an
        unknown error gets a cautious value.
    """
    ra, dec = _radians(streaks, "ra"), _radians(streaks, "dec")
    length_px = bare_column(streaks, "length")
    ends = [_radians(streaks, name) for name in ("ra0", "dec0", "ra1", "dec1")]
    length = separation_rad(*ends) * ARCSEC_PER_RAD
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = length / length_px
        rate = bare_column(streaks, "rate")
        rate_err = rate * bare_column(streaks, "length_err") / length_px
    time_s, start = _times(streaks)
    along = (
        0.5
        * np.hypot(bare_column(streaks, "along0_err"), bare_column(streaks, "along1_err"))
        * scale
    )
    flags = np.asarray(streaks["flags"], dtype=np.int64)
    return Sightings(
        streak_id=text_column(streaks, "streak_id"),
        image=text_column(streaks, "image"),
        time_s=time_s,
        start=start,
        ra=ra,
        dec=dec,
        xyz=np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1),
        pa=_radians(streaks, "pa"),
        pa_err=np.nan_to_num(_radians(streaks, "theta_err"), nan=0.1),
        length_arcsec=length,
        rate=rate,
        rate_err=np.where(np.isfinite(rate_err), rate_err, 0.2 * rate),
        along_arcsec=np.nan_to_num(along, nan=1.0),
        across_arcsec=np.nan_to_num(bare_column(streaks, "across_err") * scale, nan=0.5),
        mag=bare_column(streaks, "mag"),
        mag_err=np.nan_to_num(bare_column(streaks, "mag_err"), nan=0.5),
        label=text_column(streaks, "label"),
        flags=flags,
        cut=(flags & _CUT) != 0,
    )


def tracklet_name(prefix: str, streak_ids: Iterable[str]) -> str:
    """Eight characters that the same streaks always get: a letter and seven of their hash.

    Parameters
    ----------
    prefix
        The letter.
    streak_ids
        Of the streaks; their order does not matter.

    Returns
    -------
    str
        The letter, then digits and capital letters.
    """
    digest = hashlib.sha256("\n".join(sorted(streak_ids)).encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    name = ""
    for _ in range(7):
        number, digit = divmod(number, 36)
        name += "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit]
    return prefix + name


def separation_rad(ra0: Floats, dec0: Floats, ra1: Floats, dec1: Floats) -> Floats:
    """Angular distance by the haversine, which keeps small angles.

    Parameters
    ----------
    ra0, dec0, ra1, dec1
        Two places, rad, of any shapes that broadcast.

    Returns
    -------
    float64 of that shape
        rad, in [0, pi].
    """
    h = np.sin((dec1 - dec0) / 2) ** 2 + np.cos(dec0) * np.cos(dec1) * np.sin((ra1 - ra0) / 2) ** 2
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0))))


def _radians(table: QTable, name: str) -> Floats:
    return np.radians(bare_column(table, name))


def _times(streaks: QTable) -> tuple[Floats, Time]:
    """Seconds since the first time of the table, NaN where there is none."""
    texts = text_column(streaks, "time")
    seconds = np.full(len(streaks), np.nan)
    told = np.array([bool(text) for text in texts], dtype=bool)
    if not told.any():
        return seconds, Time("2000-01-01T00:00:00", scale="utc")
    # One conversion an exposure: a night has thousands of streaks and few hundred times.
    unique, which = np.unique(texts[told], return_inverse=True)
    times = Time(list(unique), format="isot", scale="utc")
    start = times.min()
    seconds[told] = np.atleast_1d((times - start).sec)[which]
    return seconds, start
