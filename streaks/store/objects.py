"""Where an object without an orbit may be on other nights: its motion drawn on.

Two nights' tracklets of one body are told to be one by an orbit, which is no business of a store.
What is given here are candidates: streaks near a great circle drawn on, of its rate and direction.
"""

from __future__ import annotations

import os
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.arrow import arrow_to_table
from streaks.errors import ConfigError, ReadError
from streaks.geometry import angle_difference_deg
from streaks.sky import separation_and_angle
from streaks.store.asking import Answer, Question, ask, read_nights
from streaks.store.layout import StoreFolder
from streaks.store.reading import read_file
from streaks.tracklets.sightings import MOTION

__all__ = ["other_nights"]

Floats = NDArray[np.float64]

#: Off the way by this share of the way, at least so many arcsec: parallax and the orbit bend it.
_SHARE, _LEAST_ARCSEC = 0.1, 30.0
#: A streak's own rate and direction change from night to night by no more than this.
_RATE_SHARE, _ANGLE_DEG = 0.3, 20.0
#: Farther than this along the way nothing is told.
_FARTHEST_DEG = 40.0


def other_nights(
    store: str | os.PathLike[str], tracklet: str, *, max_days: float = 3.0
) -> tuple[QTable, Answer]:
    """Streaks of other nights that may be of a tracklet's body.

    Parameters
    ----------
    store
        Made by `streaks.store.add_night`.
    tracklet
        Its name.
    max_days
        Before and after it.

    Returns
    -------
    candidates : QTable
        Streaks with ``off_way`` (arcsec from the predicted place) and ``days`` (from the
        tracklet), nearest in units of what is allowed first.
    answer : Answer
        What was looked at, and what could not be read.

    Raises
    ------
    ConfigError
        If there is no such tracklet, or it is of a satellite.
    ReadError
        If this is no store, or one of a newer version.
    """
    if not 0.0 < max_days <= 30.0:
        raise ConfigError(f"{max_days} days before and after; expected up to 30")
    folder = StoreFolder(Path(store))
    motion, damaged = _motion(folder, tracklet)
    jd = _jd(np.array([str(motion["time"])]))[0]
    answer = ask(store, Question(nights=_names_near(folder, jd, max_days)))
    rows = answer.rows
    rows = rows[np.asarray(rows["tracklet"]).astype(str) != tracklet]
    days = _jd(np.asarray(rows["time"]).astype(str)) - jd
    rows, days = rows[np.abs(days) <= max_days], days[np.abs(days) <= max_days]
    off, allowed = _off_way(motion, rows, days)
    fits = (off <= allowed) & _is_alike(motion, rows)
    found, off, days, allowed = rows[fits], off[fits], days[fits], allowed[fits]
    found["off_way"] = off * u.arcsec
    found["days"] = days * u.day
    told = Answer(
        found, answer.nights, answer.files_read, answer.files, (*damaged, *answer.damaged)
    )
    return found[np.argsort(off / np.maximum(allowed, 1e-9), kind="stable")], told


def _motion(folder: StoreFolder, name: str) -> tuple[QTable.Row, list[str]]:
    manifests, damaged = read_nights(folder)
    for manifest in manifests:
        if not manifest.tracklets.rows:
            continue
        try:
            tracklets = arrow_to_table(read_file(folder, manifest.tracklets))
        except ReadError as error:
            damaged.append(str(error))
            continue
        rows = np.flatnonzero(np.asarray(tracklets["tracklet"]).astype(str) == name)
        if len(rows):
            row = tracklets[int(rows[0])]
            if str(row["kind"]) != MOTION:
                raise ConfigError(f"{name} is of a satellite: it is elsewhere within minutes")
            return row, damaged
    more = f"; not looked at: {damaged[0]}" if damaged else ""
    raise ConfigError(f"no night of the store has a tracklet {name}{more}")


def _names_near(folder: StoreFolder, jd: float, max_days: float) -> tuple[str, ...]:
    """Nights by the dates in their names; those without one are all looked into."""
    from datetime import date

    day = Time(jd, format="jd").to_datetime().date()
    found = []
    for night in folder.nights():
        try:
            apart = abs((date.fromisoformat(night[:10]) - day).days)
        except ValueError:
            apart = 0
        if apart <= max_days + 1:
            found.append(f"{night}..{night}")
    return tuple(found)


def _jd(times: NDArray[np.str_]) -> Floats:
    found = np.full(len(times), np.nan)
    known = np.char.str_len(times) > 0 if len(times) else np.zeros(0, bool)
    if known.any():
        found[known] = Time(times[known].tolist(), format="isot", scale="utc").jd
    return found


def _off_way(motion: QTable.Row, rows: QTable, days: Floats) -> tuple[Floats, Floats]:
    """Arcsec from where the motion would be at each time, and how many are allowed."""
    rate, pa = motion["rate"].to_value("arcsec / s"), motion["pa"].to_value("rad")
    way_deg = rate * days * 86_400.0 / 3600.0
    ra, dec = _along(
        motion["ra"].to_value("rad"), motion["dec"].to_value("rad"), pa, np.radians(way_deg)
    )
    off, _ = separation_and_angle(ra, dec, rows["ra"].value, rows["dec"].value)
    errors = 3.0 * np.nan_to_num(motion["rate_err"].to_value("arcsec / s")) * np.abs(days) * 86_400
    allowed = np.maximum(_LEAST_ARCSEC, _SHARE * np.abs(way_deg) * 3600.0) + errors
    allowed[np.abs(way_deg) > _FARTHEST_DEG] = -1.0
    return np.where(np.isfinite(off), off * 3600.0, np.inf), allowed


def _along(ra: float, dec: float, pa: float, way: Floats) -> tuple[Floats, Floats]:
    """Places along a great circle, deg; all that is given in radians."""
    sine = np.sin(dec) * np.cos(way) + np.cos(dec) * np.sin(way) * np.cos(pa)
    east = np.sin(pa) * np.sin(way) * np.cos(dec)
    there = np.cos(way) - np.sin(dec) * sine
    return np.degrees(ra + np.arctan2(east, there)) % 360.0, np.degrees(np.arcsin(sine))


def _is_alike(motion: QTable.Row, rows: QTable) -> NDArray[np.bool_]:
    rate = motion["rate"].to_value("arcsec / s")
    own = rows["rate"].to_value("arcsec / s")
    turned = np.abs(angle_difference_deg(rows["pa"].to_value("deg"), motion["pa"].to_value("deg")))
    with np.errstate(invalid="ignore"):
        fits = (np.abs(own - rate) <= _RATE_SHARE * rate) & (turned <= _ANGLE_DEG)
    # Alerts have no rate of their own; where nothing is told nothing speaks against it.
    return np.asarray(fits | ~np.isfinite(own))
