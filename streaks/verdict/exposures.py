"""What other exposures tell of a streak: seen again, or looked for in vain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.sky import separation_and_angle
from streaks.tables import StreakFlag, bare_column
from streaks.tracklets.sightings import MOTION
from streaks.verdict.numbers import rows_by_image

__all__ = ["STATES", "Exposure", "Seen", "kinds_of", "look_elsewhere"]

Floats = NDArray[np.float64]

#: What other exposures may tell, from best to worst. Each is worth a ratio of likelihoods that is
#: counted on simulated nights.
STATES = (
    "moved_on_twice",  # a motion of three sightings or more
    "moved_on",  # of two
    "alone",  # no other exposure shows the place where it would be
    "not_seen_once",  # one exposure shows it, and nothing is there
    "not_seen_more",
    "piece",  # of a trail that goes on in other images of the same exposure
    "stands_still",  # the same place of the sky shows a streak at another time
    "same_pixels",  # the same place of the chip does
)

#: Streaks fainter than this may well be missed at another time.
_SURE_SNR = 8.0
#: A body is looked for no later than this, s; where it will be is known to so many errors of its
#: rate, which is worth no less than this share of it.
_MOST_GAP_S, _RATE_ERRORS, _LEAST_RATE_ERROR = 10_800.0, 2.0, 0.02
#: Images of one exposure are no other look.
_LEAST_GAP_S = 1.0
#: Bodies are looked for in images whose centres are within both radii and so many deg.
_REACH_DEG = 0.5
#: Ends of a place that stands still, arcsec, and deg between their directions.
_STILL_ARCSEC, _STILL_DEG = 3.0, 10.0
_MJD_DAY_S = 86_400.0


@dataclass(frozen=True)
class Exposure:
    """Where one image looked, and when.

    Parameters
    ----------
    image
        Its name.
    time
        Mid-exposure, UTC, ISO 8601; empty where unknown.
    corners
        Right ascension and declination of its corners, in order around it, ICRS, deg; empty where
        unknown.
    """

    image: str
    time: str = ""
    corners: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, eq=False)
class Seen:
    """What other exposures tell of each of n streaks.

    Parameters
    ----------
    state : (n,) str
        Of `STATES`.
    n_expected : (n,) int
        Other exposures that show the place, whichever way it moves.
    n_seen : (n,) int
        Other exposures that it was seen in.
    """

    state: NDArray[np.str_]
    n_expected: NDArray[np.int64]
    n_seen: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Footprint:
    """An image on its own tangent plane, deg."""

    ra: float
    dec: float
    radius: float
    edges: Floats

    def holds(self, ra: Floats, dec: Floats, margin_deg: Floats) -> NDArray[np.bool_]:
        """Which places lie inside by at least a margin."""
        x, y = _on_plane(self.ra, self.dec, ra, dec)
        inside = np.ones(len(x), bool)
        for a, b, c in self.edges:
            inside &= a * x + b * y + c > margin_deg
        return inside


def look_elsewhere(
    streaks: QTable, exposures: Sequence[Exposure], kinds: Mapping[str, str]
) -> Seen:
    """What other exposures tell of each streak.

    Parameters
    ----------
    streaks
        Of all images, with ``tracklet``.
    exposures
        Of these images.
    kinds
        Kind of each tracklet by its name: ``motion`` or ``satellite``.

    Returns
    -------
    Seen
        ``alone`` for all where times or places are not known.
    """
    n = len(streaks)
    state = np.full(n, "alone", dtype="U16")
    n_expected, n_seen = np.zeros(n, np.int64), np.zeros(n, np.int64)
    places = _Places(streaks)
    where = {one.image: one for one in exposures if one.time and len(one.corners) >= 3}
    times = _seconds([one.time for one in where.values()])
    prints = [_footprint(one.corners) for one in where.values()]
    images = list(where)
    order = {image: k for k, image in enumerate(images)}
    near = _near(prints)
    still = np.zeros(n, bool)
    by_image = {str(streaks["image"][rows[0]]): rows for rows in rows_by_image(streaks)}
    for image, rows in by_image.items():
        own = order.get(image)
        if own is None:
            continue
        for other in near[own]:
            gap_s = float(times[other] - times[own])
            if not _LEAST_GAP_S < abs(gap_s) <= _MOST_GAP_S:
                continue
            n_expected[rows] += places.expected(rows, prints[other], gap_s)
            others = by_image.get(images[other])
            if others is not None:
                still[rows] |= places.stands_still(rows, others)
    state[(n_expected == 1) & places.sure] = "not_seen_once"
    state[(n_expected > 1) & places.sure] = "not_seen_more"
    names = np.asarray(streaks["tracklet"]).astype(str)
    members = {name: int((names == name).sum()) for name in set(names.tolist()) - {""}}
    state[still] = "stands_still"
    for row, name in enumerate(names.tolist()):
        if not name:
            continue
        if kinds.get(name) == MOTION:
            n_seen[row] = members[name] - 1
            state[row] = "moved_on" if members[name] == 2 else "moved_on_twice"
        else:
            state[row] = "piece"
    flags = np.asarray(streaks["flags"], dtype=np.int64)
    state[(flags & int(StreakFlag.REPEAT) != 0) & (n_seen == 0)] = "same_pixels"
    return Seen(state, n_expected, n_seen)


def kinds_of(tracklets: QTable) -> dict[str, str]:
    """Kind of each tracklet by its name.

    Parameters
    ----------
    tracklets
        With ``tracklet`` and ``kind``.

    Returns
    -------
    dict
    """
    names, kinds = (np.asarray(tracklets[name]).astype(str) for name in ("tracklet", "kind"))
    return dict(zip(names.tolist(), kinds.tolist(), strict=True))


class _Places:
    """Where streaks are and how they move, as bare numbers."""

    def __init__(self, streaks: QTable) -> None:
        self.ra, self.dec, self.pa, self.rate = (
            bare_column(streaks, name) for name in ("ra", "dec", "pa", "rate")
        )
        length, error = bare_column(streaks, "length"), bare_column(streaks, "length_err")
        share = np.where(length > 0, error / np.where(length > 0, length, 1.0), 1.0)
        self.rate_error = np.maximum(np.nan_to_num(share, nan=1.0), _LEAST_RATE_ERROR)
        self.sure = bare_column(streaks, "snr") >= _SURE_SNR

    def expected(self, rows: NDArray[np.intp], there: _Footprint, gap_s: float) -> Any:
        """Which of some streaks an exposure must show, whichever way they move."""
        way = self.rate[rows] * abs(gap_s) / 3600.0
        margin = _RATE_ERRORS * self.rate_error[rows] * way
        inside = np.isfinite(way)
        for turn in (0.0, 180.0):
            ra, dec = _moved(self.ra[rows], self.dec[rows], way, self.pa[rows] + turn)
            inside &= there.holds(ra, dec, margin)
        return inside

    def stands_still(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> Any:
        """Which of some streaks lie where another image has one too, in the same direction."""
        apart, _ = separation_and_angle(
            self.ra[rows][:, None], self.dec[rows][:, None], self.ra[others], self.dec[others]
        )
        turn = np.abs((self.pa[rows][:, None] - self.pa[others] + 90.0) % 180.0 - 90.0)
        return ((apart * 3600.0 < _STILL_ARCSEC) & (turn < _STILL_DEG)).any(axis=1)


def _seconds(times: Sequence[str]) -> Floats:
    if not times:
        return np.zeros(0)
    return np.asarray(Time(list(times), format="isot", scale="utc").mjd * _MJD_DAY_S)


def _near(prints: Sequence[_Footprint]) -> list[list[int]]:
    """For each image those, itself left out, that may show what leaves it."""
    if len(prints) < 2:
        return [[] for _ in prints]
    from scipy.spatial import cKDTree

    ra, dec = (np.radians([getattr(p, name) for p in prints]) for name in ("ra", "dec"))
    xyz = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    reach = math.radians(2.0 * max(p.radius for p in prints) + _REACH_DEG)
    found = cKDTree(xyz).query_ball_point(xyz, 2.0 * math.sin(0.5 * min(reach, math.pi)))
    return [[k for k in sorted(near) if k != own] for own, near in enumerate(found)]


def _footprint(corners: Sequence[tuple[float, float]]) -> _Footprint:
    ra, dec = (np.array(values, float) for values in zip(*corners, strict=True))
    x, y, z = (
        float(v.mean())
        for v in (
            np.cos(np.radians(dec)) * np.cos(np.radians(ra)),
            np.cos(np.radians(dec)) * np.sin(np.radians(ra)),
            np.sin(np.radians(dec)),
        )
    )
    ra0, dec0 = math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
    px, py = _on_plane(ra0, dec0, ra, dec)
    edges = []
    for k in range(len(px)):
        ux, uy = np.roll(px, -1)[k] - px[k], np.roll(py, -1)[k] - py[k]
        long = math.hypot(ux, uy) or 1.0
        a, b = -uy / long, ux / long
        c = -(a * px[k] + b * py[k])
        # The centre, at (0, 0), is inside.
        edges.append((a, b, c) if c >= 0 else (-a, -b, -c))
    return _Footprint(ra0, dec0, float(np.hypot(px, py).max()), np.array(edges))


def _on_plane(ra0: float, dec0: float, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Gnomonic projection around a place, deg; far behind it, NaN."""
    r, d, d0 = np.radians(ra - ra0), np.radians(dec), math.radians(dec0)
    cosine = math.sin(d0) * np.sin(d) + math.cos(d0) * np.cos(d) * np.cos(r)
    cosine = np.where(cosine > 0.1, cosine, np.nan)
    x = np.cos(d) * np.sin(r) / cosine
    y = (math.cos(d0) * np.sin(d) - math.sin(d0) * np.cos(d) * np.cos(r)) / cosine
    return np.degrees(x), np.degrees(y)


def _moved(ra: Floats, dec: Floats, way_deg: Floats, pa_deg: Floats) -> tuple[Floats, Floats]:
    """Places so far away along great circles, deg."""
    r, pa, d = np.radians(way_deg), np.radians(pa_deg), np.radians(dec)
    sine = np.sin(d) * np.cos(r) + np.cos(d) * np.sin(r) * np.cos(pa)
    turned = np.arctan2(np.sin(pa) * np.sin(r) * np.cos(d), np.cos(r) - np.sin(d) * sine)
    return (ra + np.degrees(turned)) % 360.0, np.degrees(np.arcsin(np.clip(sine, -1, 1)))
