"""Where a candidate should be seen again in the night, and whether something was found there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.night_folder import Night
from streaks.reporting.rows import Columns, number, sexagesimal, text
from streaks.sky import separation_and_angle

__all__ = ["Sightings", "seconds_of"]

#: Exposures that are told of, and how far from a candidate's own, s.
_MOST, _WITHIN_S = 8, 6 * 3600.0
#: A streak is the expected one within this share of the way, and never nearer than this.
_SHARE, _LEAST_ARCSEC = 0.1, 5.0
#: An exposure whose streaks lie as near as this may show the place, deg.
_NEAR_DEG = 0.3


class Sightings:
    """What a night's exposures should show of each of its streaks.

    Parameters
    ----------
    night
        As read.
    columns, tracklets
        Its tables as plain values.
    """

    def __init__(self, night: Night, columns: Columns, tracklets: Columns) -> None:
        frames = {name: night.frames[name].tolist() for name in _of_frames(night)}
        self._columns = columns
        self._frames = frames
        self._place = {str(image): i for i, image in enumerate(frames["image"])}
        self._seconds = np.array([seconds_of(str(t)) for t in frames.get("time", [])], float)
        self._ra, self._dec = (
            np.asarray([number(columns, i, name) for i in range(len(night.streaks))], float)
            for name in ("ra", "dec")
        )
        self._chips = _chips(frames)
        self._frame = np.array(
            [self._place.get(text(columns, i, "image"), -1) for i in range(len(night.streaks))],
            dtype=np.int64,
        )
        self._rows: dict[str, list[int]] = {}
        for i in range(len(night.streaks)):
            self._rows.setdefault(text(columns, i, "image"), []).append(i)
        self._motions = {
            text(tracklets, i, "tracklet"): i for i in range(len(tracklets.get("tracklet", ())))
        }
        self._tracklets = tracklets

    def station(self, row: int) -> str:
        """MPC code of a streak's observatory; empty where unknown.

        Parameters
        ----------
        row
            Of the night's table.

        Returns
        -------
        str
        """
        codes = self._frames.get("observatory", [])
        place = self._place.get(text(self._columns, row, "image"))
        return "" if place is None or not codes else str(codes[place])

    def near(self, row: int) -> list[int]:
        """Other exposures that may show a streak's place, the nearest in time first.

        Parameters
        ----------
        row
            Of the night's table.

        Returns
        -------
        list of int
            Rows of the table of frames.
        """
        own = self._place.get(text(self._columns, row, "image"))
        if own is None or len(self._seconds) == 0:
            return []
        gap = np.abs(self._seconds - self._seconds[own])
        gap[own] = np.nan
        may = (gap <= _WITHIN_S) & (self._same_chip(own) | self._shows(row))
        found = np.flatnonzero(may)
        return [int(i) for i in found[np.argsort(gap[found], kind="stable")][:_MOST]]

    def expected(self, row: int) -> list[dict[str, Any]]:
        """Where it should be at the other exposures' times, and what was found there.

        The motion is its tracklet's; that of a streak alone is its own rate, in either direction.

        Parameters
        ----------
        row
            Of the night's table.

        Returns
        -------
        list of dict
            By time: ``image, minutes, places`` (text), ``found`` (``streak_id`` or empty),
            ``off`` (arcsec or None).
        """
        rate, angles, where = self._motion(row)
        if not angles or not math.isfinite(rate):
            return []
        own = self._place[text(self._columns, row, "image")]
        told = []
        for i in self.near(row):
            dt = float(self._seconds[i] - self._seconds[own])
            places = [_moved(*where, rate * dt, angle) for angle in angles]
            found, off = self._found(i, row, places, abs(rate * dt))
            told.append({
                "image": str(self._frames["image"][i]),
                "minutes": round(dt / 60, 1),
                "places": [sexagesimal(*place) for place in places],
                "found": found,
                "off": off,
            })  # fmt: skip
        return sorted(told, key=lambda one: one["minutes"])

    def nearest(self, frame: int, row: int) -> int | None:
        """The streak of an exposure that lies nearest to another one's place.

        Parameters
        ----------
        frame
            Row of the table of frames.
        row
            Row of the night's table.

        Returns
        -------
        int or None
            Row of the night's table; None where nothing lies within 30 arcsec.
        """
        rows = self._rows.get(str(self._frames["image"][frame]), [])
        if not rows:
            return None
        off, _ = separation_and_angle(
            self._ra[row], self._dec[row], self._ra[rows], self._dec[rows]
        )
        best = int(np.argmin(np.nan_to_num(off, nan=np.inf)))
        return rows[best] if off[best] * 3600 <= 30.0 else None

    def _motion(self, row: int) -> tuple[float, list[float], tuple[float, float]]:
        """Rate, arcsec/s, possible directions, deg, and place, deg."""
        where = float(self._ra[row]), float(self._dec[row])
        if not all(map(math.isfinite, where)):
            return math.nan, [], where
        at = self._motions.get(text(self._columns, row, "tracklet"))
        if at is not None:
            rate, pa = (number(self._tracklets, at, name) for name in ("rate", "pa"))
            if math.isfinite(rate) and math.isfinite(pa):
                return rate, [pa], where
        rate, pa = (number(self._columns, row, name) for name in ("rate", "pa"))
        return rate, ([pa, pa + 180.0] if math.isfinite(pa) else []), where

    def _found(
        self, frame: int, row: int, places: list[tuple[float, float]], way_arcsec: float
    ) -> tuple[str, float | None]:
        rows = [i for i in self._rows.get(str(self._frames["image"][frame]), []) if i != row]
        if not rows:
            return "", None
        off = np.min(
            [separation_and_angle(*p, self._ra[rows], self._dec[rows])[0] for p in places], axis=0
        )
        off = np.nan_to_num(off * 3600.0, nan=np.inf)
        best = int(np.argmin(off))
        if off[best] > max(_LEAST_ARCSEC, _SHARE * way_arcsec):
            return "", None
        return text(self._columns, rows[best], "streak_id"), round(float(off[best]), 1)

    def _same_chip(self, frame: int) -> NDArray[np.bool_]:
        """Which exposures are of a frame's own field and chip."""
        if self._chips[frame] < 0:
            return np.zeros(len(self._chips), bool)
        return np.asarray(self._chips == self._chips[frame])

    def _shows(self, row: int) -> NDArray[np.bool_]:
        """Which exposures have streaks close enough to a place for it to be shown too."""
        nearest = np.full(len(self._chips), np.inf)
        off, _ = separation_and_angle(self._ra[row], self._dec[row], self._ra, self._dec)
        known = (self._frame >= 0) & np.isfinite(off)
        np.minimum.at(nearest, self._frame[known], off[known])
        return nearest < _NEAR_DEG


def _chips(frames: Mapping[str, list[Any]]) -> NDArray[np.int64]:
    """A number for each field and chip; -1 where the header told no field."""
    names = [name for name in ("field", "ccd", "quadrant") if name in frames]
    n = len(frames["image"])
    if "field" not in names:
        return np.full(n, -1)
    told = [tuple(str(frames[name][i]) for name in names) for i in range(n)]
    number_of = {chip: k for k, chip in enumerate(dict.fromkeys(told))}
    return np.array([number_of[chip] if chip[0] else -1 for chip in told], dtype=np.int64)


def _of_frames(night: Night) -> list[str]:
    wanted = ("image", "path", "time", "field", "ccd", "quadrant", "observatory", "state")
    return [name for name in wanted if name in night.frames.colnames]


def seconds_of(time: str) -> float:
    """Seconds since 1970 of a time in a table.

    Parameters
    ----------
    time
        ISO 8601, UTC.

    Returns
    -------
    float
        NaN where it is none.
    """
    try:
        return datetime.fromisoformat(time.rstrip("Z") + "+00:00").timestamp()
    except ValueError:
        return math.nan


def _moved(ra: float, dec: float, way_arcsec: float, pa_deg: float) -> tuple[float, float]:
    """The place so far away along a great circle, deg."""
    r, pa, d = math.radians(way_arcsec / 3600.0), math.radians(pa_deg), math.radians(dec)
    sin_dec = math.sin(d) * math.cos(r) + math.cos(d) * math.sin(r) * math.cos(pa)
    turned = math.atan2(
        math.sin(pa) * math.sin(r) * math.cos(d), math.cos(r) - math.sin(d) * sin_dec
    )
    return (ra + math.degrees(turned)) % 360.0, math.degrees(math.asin(max(-1, min(1, sin_dec))))
