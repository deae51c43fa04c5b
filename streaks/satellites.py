"""Which satellite a trail may be: candidates from two-line elements, ranked, with their doubts.

Two-line elements are good to about a kilometre at their epoch and lose one to three a day, mostly
along the track. So a trail is compared by its distance across the predicted track, its angle and
its length, and a name is given only where the elements allow it.

References
----------
Vallado, Crawford, Hujsak & Kelso 2006, AIAA 2006-6753 (SGP4 and the frame of its results);
Flohrer, Krag & Klinkrad 2008, AMOS Conference (errors of two-line elements).
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.config import SatelliteConfig
from streaks.disk import Limits, read_bytes
from streaks.errors import CatalogueError, ReadError
from streaks.geometry import angle_difference_deg
from streaks.matching import separation_arcsec
from streaks.tables import NIGHT_COLUMNS, ColumnSpec, build_table

__all__ = [
    "CANDIDATE_COLUMNS",
    "BadElements",
    "Satellites",
    "Site",
    "best_satellites",
    "match_satellites",
    "read_tles",
    "satellites_in_sky",
]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

#: All satellites of the Earth take 5 MB.
_LIMITS = Limits(max_bytes=1 << 28, max_ratio=50.0)
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
CANDIDATE_COLUMNS = (
    ColumnSpec("streak_id", str, None, "of the streak"),
    ColumnSpec("rank", np.int64, None, "1 for the likeliest satellite of a streak"),
    *SKY_COLUMNS[:2],
    ColumnSpec("across", float, "arcsec", "distance of the streak's middle from the track"),
    ColumnSpec("across_err", float, "arcsec", "1-sigma error of that, by range and age"),
    ColumnSpec("along", float, "arcsec", "from the streak's middle to the track's nearer end; 0 "
               "between its ends"),
    ColumnSpec("turn", float, "deg", "angle between streak and track"),
    ColumnSpec("path", float, "arcsec", "length of the track in the exposure"),
    *SKY_COLUMNS[8:],
    ColumnSpec("chi2", float, None, "what streak and track differ by, in squared errors"),
    ColumnSpec("possible", np.int64, None, "1 where that is within what the elements allow"),
)  # fmt: skip


class Site(Protocol):
    """Where an observer stands on the Earth, by the MPC's parallax constants."""

    @property
    def longitude_deg(self) -> float: ...
    @property
    def rho_cos_phi(self) -> float: ...
    @property
    def rho_sin_phi(self) -> float: ...


@dataclass(frozen=True)
class BadElements:
    """A line of a file that is no part of a set of elements."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Satellites:
    """Elements of n satellites.

    Parameters
    ----------
    norad : (n,) int
    name : (n,) str
        Empty where the file gives none.
    epoch_jd : (n,)
        UTC.
    elements
        What the sgp4 library made of them.
    failures
        Lines that could not be used.
    """

    norad: NDArray[np.int64]
    name: NDArray[np.str_]
    epoch_jd: Floats
    elements: Any
    failures: tuple[BadElements, ...] = ()

    def __len__(self) -> int:
        return len(self.norad)


def read_tles(path: str | Path) -> Satellites:
    """Satellites of a file of two-line elements, gzipped or not, with or without name lines.

    Of several sets of one satellite all are kept; `satellites_in_sky` takes the nearest in time.

    Raises
    ------
    CatalogueError
        If the file cannot be read, or holds no elements.
    """
    from sgp4.api import Satrec, SatrecArray

    lines = _lines(Path(path))
    records, names, failures = [], [], []
    name = ""
    i = 0
    while i < len(lines):
        line = lines[i]
        if not line.startswith(("1 ", "2 ")):
            name = line.removeprefix("0 ").strip()
            i += 1
            continue
        second = lines[i + 1] if i + 1 < len(lines) else ""
        reason = _why_not(line, second)
        if reason:
            failures.append(BadElements(i + 1, reason))
        else:
            records.append(Satrec.twoline2rv(line, second))
            names.append(name)
        i += 1 if reason else 2
        name = ""
    if not records:
        raise CatalogueError(
            f"{path} holds no two-line elements; give a file of them, such as active.txt of "
            "CelesTrak"
        )
    if failures:
        _log.warning("%s: %d lines are no elements", Path(path).name, len(failures))
    return Satellites(
        norad=np.array([r.satnum for r in records], dtype=np.int64),
        name=np.array(names, dtype=str),
        epoch_jd=np.array([r.jdsatepoch + r.jdsatepochF for r in records]),
        elements=SatrecArray(records),
        failures=tuple(failures),
    )


def _lines(path: Path) -> list[str]:
    try:
        content = read_bytes(path, _LIMITS)
    except ReadError as error:
        raise CatalogueError(
            f"cannot read the satellites {path}: {error}; give a file of two-line elements"
        ) from None
    return [line.rstrip() for line in content.decode("ascii", "replace").splitlines()]


def _why_not(first: str, second: str) -> str:
    """Why two lines are no elements; empty where they are."""
    if not first.startswith("1 "):
        return "a second line without its first"
    if not second.startswith("2 "):
        return "a first line without its second"
    if first[2:7] != second[2:7]:
        return "the two lines are of two satellites"
    for line in (first, second):
        if len(line) < 69:
            return "shorter than 69 columns"
        total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68])
        if not line[68].isdigit() or total % 10 != int(line[68]):
            return "its checksum is wrong"
    return ""


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
    time
        MID-exposure.
    site
        The observer's; an `streaks.known.Observatory` is one.
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
        place = _unit(near[0], near[1])
        way = np.linalg.norm(end - start, axis=-1)
        away = np.linalg.norm(middle - place, axis=-1)
        use &= away <= math.radians(near[2]) + 0.6 * way
    rows = np.flatnonzero(use)
    (ra0, dec0), (ra, dec), (ra1, dec1) = (_angles(d[rows]) for d in (start, middle, end))
    east, north = _tangent(ra, dec)
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
    return (along < 0.0) & (aside < _EARTH_RADIUS_KM)


def match_satellites(
    streaks: QTable,
    satellites: Satellites,
    time: Time,
    site: Site,
    *,
    exposure_s: float,
    config: SatelliteConfig | None = None,
) -> QTable:
    """Candidates for each streak of one exposure, the likeliest first.

    Parameters
    ----------
    streaks
        With ``streak_id, ra, dec, pa`` and the ends ``ra0, dec0, ra1, dec1``.
    time
        MID-exposure.

    Returns
    -------
    QTable
        `CANDIDATE_COLUMNS`, at most `SatelliteConfig.max_candidates` a streak; no rows for a
        streak without sky coordinates, or without any satellite near.
    """
    config = SatelliteConfig() if config is None else config
    known = np.flatnonzero(np.isfinite(streaks["ra"].value) & np.isfinite(streaks["pa"].value))
    parts = []
    if known.size and exposure_s > 0:
        ra, dec = streaks["ra"].to_value("deg"), streaks["dec"].to_value("deg")
        first = known[0]
        spread = separation_arcsec(ra[known], dec[known], ra[first], dec[first]).max() / 3600.0
        near = (ra[first], dec[first], float(spread) + config.search_radius_deg)
        sky = satellites_in_sky(
            satellites, time, site, exposure_s=exposure_s, near=near, config=config
        )
        parts = [_candidates(streaks[i], sky, config) for i in known]
    names = [spec.name for spec in CANDIDATE_COLUMNS]
    joined: dict[str, Any] = {
        n: np.concatenate([p[n] for p in parts]) if parts else [] for n in names
    }
    return build_table(CANDIDATE_COLUMNS, joined)


def _candidates(streak: QTable.Row, sky: QTable, config: SatelliteConfig) -> dict[str, Any]:
    """Ranked candidates of one streak."""
    ra, dec, pa = (streak[n].to_value("deg") for n in ("ra", "dec", "pa"))
    length = float(
        separation_arcsec(*(streak[n].to_value("deg") for n in ("ra0", "dec0", "ra1", "dec1")))
    )
    start, end = (_offsets(sky[f"ra{i}"], sky[f"dec{i}"], ra, dec) for i in "01")
    path = np.linalg.norm(end - start, axis=-1)
    way = (end - start) / np.maximum(path, 1e-9)[:, None]
    across = np.abs(start[:, 0] * way[:, 1] - start[:, 1] * way[:, 0])
    done = -np.sum(start * way, axis=-1)  # how far along the track the streak's middle is
    along = np.maximum(np.maximum(-done, done - path), 0.0)
    turn = np.abs(angle_difference_deg(np.degrees(np.arctan2(way[:, 0], way[:, 1])), pa))
    age, range_km = sky["age"].to_value("day"), sky["range"].to_value("km")
    arcsec_per_km = _ARCSEC_PER_RAD / range_km
    across_err = np.hypot(
        config.across_error_arcsec,
        arcsec_per_km * (config.across_km + config.across_km_per_day * age),
    )
    along_err = np.hypot(
        config.across_error_arcsec,
        arcsec_per_km * (config.along_km + config.along_km_per_day * age),
    )
    turn_err = np.hypot(config.turn_error_deg, np.degrees(2.0 / max(length, 2.0)))
    # Glints, masks and edges make trails shorter than the track, nothing makes them longer.
    too_long = np.maximum(length - 1.05 * path, 0.0) / (0.05 * path + 2.0)
    dark = np.asarray(sky["sunlit"]) == 0
    chi2 = (
        (across / across_err) ** 2 + (along / along_err) ** 2 + (turn / turn_err) ** 2
        + too_long**2 + np.where(dark, config.dark_penalty, 0.0)
    )  # fmt: skip
    near = (across <= config.max_across_arcsec) | (across <= 3.0 * across_err)
    rows = np.flatnonzero(near & (turn <= config.max_turn_deg) & (along <= 5.0 * along_err))
    rows = rows[np.argsort(chi2[rows], kind="stable")][: config.max_candidates]
    possible = (chi2 <= config.max_chi2) & ~dark
    return {
        "streak_id": np.array([str(streak["streak_id"])] * len(rows), dtype=str),
        "rank": np.arange(1, len(rows) + 1),
        "across": across[rows], "across_err": across_err[rows], "along": along[rows],
        "turn": turn[rows], "path": path[rows], "chi2": chi2[rows],
        "possible": possible[rows].astype(int),
        **{s.name: _bare(sky[s.name])[rows] for s in (*SKY_COLUMNS[:2], *SKY_COLUMNS[8:])},
    }  # fmt: skip


def _bare(column: Any) -> NDArray[Any]:
    return np.asarray(getattr(column, "value", column))


def best_satellites(streaks: QTable, candidates: QTable) -> QTable:
    """The name each streak gets: its first candidate, where the elements allow it.

    Returns
    -------
    QTable
        ``streak_id, sat_name, sat_norad`` and, behind, ``sat_across`` (arcsec), ``sat_age`` (day)
        and ``sat_candidates``, the number of satellites that are possible; a row a streak in its
        order. A satellite without a name is called by its number.
    """
    ids = [str(s) for s in streaks["streak_id"]]
    rows: dict[str, int] = {}
    count = dict.fromkeys(ids, 0)
    for i, (streak, possible) in enumerate(
        zip(candidates["streak_id"], candidates["possible"], strict=True)
    ):
        if possible:
            rows.setdefault(str(streak), i)
            count[str(streak)] += 1
    picked = [rows.get(s) for s in ids]
    norad = [-1 if i is None else int(candidates["sat_norad"][i]) for i in picked]
    columns = (
        ColumnSpec("streak_id", str, None, "of the streak"),
        *(spec for spec in NIGHT_COLUMNS if spec.name in ("sat_name", "sat_norad")),
        ColumnSpec("sat_across", float, "arcsec", "distance from its predicted track"),
        ColumnSpec("sat_age", float, "day", "age of its elements"),
        ColumnSpec("sat_candidates", np.int64, None, "satellites that may have made the streak"),
    )
    return build_table(
        columns,
        {
            "streak_id": ids,
            "sat_name": [
                "" if i is None else str(candidates["sat_name"][i]) or f"NORAD {n}"
                for i, n in zip(picked, norad, strict=True)
            ],
            "sat_norad": norad,
            "sat_across": [np.nan if i is None else candidates["across"][i].value for i in picked],
            "sat_age": [np.nan if i is None else candidates["age"][i].value for i in picked],
            "sat_candidates": [count[s] for s in ids],
        },
    )


def _offsets(ra: Any, dec: Any, ra0_deg: float, dec0_deg: float) -> Floats:
    """Gnomonic offsets (n, 2) to the east and north of a place, arcsec: tracks are straight."""
    east, north = _tangent(np.array([ra0_deg]), np.array([dec0_deg]))
    there = _unit(ra.to_value("deg"), dec.to_value("deg"))
    depth = there @ _unit(ra0_deg, dec0_deg)
    plane = np.stack([there @ east[0], there @ north[0]], axis=-1)
    return np.asarray(plane / np.maximum(depth, 1e-3)[:, None] * _ARCSEC_PER_RAD)


def _unit(ra_deg: Any, dec_deg: Any) -> Floats:
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _angles(unit: Floats) -> tuple[Floats, Floats]:
    ra = np.mod(np.degrees(np.arctan2(unit[:, 1], unit[:, 0])), 360.0)
    return ra, np.degrees(np.arctan2(unit[:, 2], np.hypot(unit[:, 0], unit[:, 1])))


def _tangent(ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats]:
    """Unit vectors to the east and to the north, (n, 3) each."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    return east, north
