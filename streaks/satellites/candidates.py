"""Which satellite a trail may be: candidates, ranked, with their doubts.

Elements are good to about a kilometre at their epoch and lose one to three a day, mostly along
the track. So a trail is compared by its distance across the predicted track, its angle and its
length, and a name is given only where the elements allow it.

References
----------
Flohrer, Krag & Klinkrad 2008, AMOS Conference (errors of two-line elements).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.config import SatelliteConfig
from streaks.geometry import angle_difference_deg
from streaks.matching import separation_arcsec
from streaks.satellites.elements import Satellites
from streaks.satellites.sky import (
    SKY_COLUMNS,
    Site,
    satellites_in_sky,
    tangent_axes,
    unit_vectors,
)
from streaks.tables import NIGHT_COLUMNS, ColumnSpec, build_table

__all__ = ["CANDIDATE_COLUMNS", "best_satellites", "match_satellites"]

Floats = NDArray[np.float64]

_ARCSEC_PER_RAD = 648_000.0 / np.pi

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
    satellites
        Elements of n satellites.
    time
        MID-exposure.
    site
        The observer's.
    exposure_s
        Length of the exposure.
    config
        Errors of elements, and what is possible.

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

    Parameters
    ----------
    streaks
        With ``streak_id``.
    candidates
        What `match_satellites` gives.

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
    east, north = tangent_axes(np.array([ra0_deg]), np.array([dec0_deg]))
    there = unit_vectors(ra.to_value("deg"), dec.to_value("deg"))
    depth = there @ unit_vectors(ra0_deg, dec0_deg)
    plane = np.stack([there @ east[0], there @ north[0]], axis=-1)
    return np.asarray(plane / np.maximum(depth, 1e-3)[:, None] * _ARCSEC_PER_RAD)
