"""Which known object each streak is: pure tables in, a pure table out.

The fields are ZTF's own: distance, magnitude and name of the nearest known object within a
radius, -999 and ``null`` for none. A distance of 0.0 is a real value.
"""

from __future__ import annotations

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from streaks.config import MatchConfig
from streaks.geometry import angle_difference_deg
from streaks.tables import MATCH_COLUMNS, ColumnSpec, build_table

__all__ = ["NO_DISTANCE", "NO_NAME", "match_known", "separation_arcsec"]

Floats = NDArray[np.float64]

#: ZTF's word for none.
NO_DISTANCE = -999.0
NO_NAME = "null"

_ARCSEC_PER_RAD = 648_000.0 / np.pi


def match_known(streaks: QTable, predictions: QTable, config: MatchConfig | None = None) -> QTable:
    """The nearest known object of each streak, by midpoint at mid-exposure.

    Where several lie within the radius, one whose predicted trail agrees with the streak in rate
    and in position angle (modulo 180 degrees: which end is first is unknown) goes before those
    that do not, however near: in a crowded field a slow asteroid beside a streak is no reason to
    overlook the fast one that made it. Among equals the nearest wins.

    Parameters
    ----------
    streaks
        With ``streak_id, ra, dec`` and, for the choice among several, ``pa, rate``. Rows of one
        exposure.
    predictions
        ``name, ra, dec, rate, pa, vmag`` at mid-exposure of the same; ``designation``, where
        there is one, is what goes into ``ssnamenr``.
    config
        Radius and faintest magnitude. A prediction without a magnitude is never too faint.

    Returns
    -------
    QTable
        ``streak_id`` and `MATCH_COLUMNS`, a row a streak in its order; none where the streak has
        no sky coordinates (NaN).
    """
    config = MatchConfig() if config is None else config
    vmag = predictions["vmag"].to_value("mag")
    predictions = predictions[~(vmag > config.limiting_mag)]
    chosen, distance = _choose(streaks, predictions, config)
    found = chosen >= 0
    magnitude = _picked(predictions["vmag"].to_value("mag"), chosen, NO_DISTANCE)
    names = predictions["designation" if "designation" in predictions.colnames else "name"]
    columns = (ColumnSpec("streak_id", str, None, "of the streak"), *MATCH_COLUMNS)
    return build_table(
        columns,
        {
            "streak_id": [str(s) for s in streaks["streak_id"]],
            "ssdistnr": np.where(found, distance, NO_DISTANCE),
            "ssmagnr": np.where(np.isfinite(magnitude), magnitude, NO_DISTANCE),
            "ssnamenr": [str(names[i]) if i >= 0 else NO_NAME for i in chosen],
        },
    )


def _choose(
    streaks: QTable, predictions: QTable, config: MatchConfig
) -> tuple[NDArray[np.intp], Floats]:
    """Row of the prediction for each streak (-1 for none), and its distance in arcsec."""
    n = len(streaks)
    chosen, distance = np.full(n, -1), np.full(n, np.nan)
    if n == 0 or len(predictions) == 0:
        return chosen, distance
    ra, dec = (predictions[c].to_value("deg") for c in ("ra", "dec"))
    streak_ra, streak_dec = (streaks[c].to_value("deg") for c in ("ra", "dec"))
    for i in np.flatnonzero(np.isfinite(streak_ra) & np.isfinite(streak_dec)):
        sep = separation_arcsec(ra, dec, streak_ra[i], streak_dec[i])
        inside = np.flatnonzero(sep <= config.radius_arcsec)
        if inside.size:
            fits = _trail_fits(streaks[i], predictions[inside], config)
            best = inside[np.lexsort((sep[inside], ~fits))[0]]
            chosen[i], distance[i] = best, sep[best]
    return chosen, distance


def _trail_fits(streak: QTable.Row, predictions: QTable, config: MatchConfig) -> NDArray[np.bool_]:
    """Whether predicted motions agree with a streak; all do where it has no rate or angle."""
    if not {"rate", "pa"} <= set(streak.colnames):
        return np.ones(len(predictions), dtype=bool)
    rate, pa = streak["rate"].to_value("arcsec / s"), streak["pa"].to_value("deg")
    predicted = predictions["rate"].to_value("arcsec / s")
    turn = np.abs(angle_difference_deg(predictions["pa"].to_value("deg"), pa))
    # NaN compares False: an unknown rate or angle excludes nothing.
    return ~(np.abs(predicted - rate) > config.rate_tolerance * rate) & ~(
        turn > config.angle_tolerance_deg
    )


def _picked(values: Floats, index: NDArray[np.intp], default: float) -> Floats:
    return np.array([values[i] if i >= 0 else default for i in index], dtype=float)


def separation_arcsec(
    ra_deg: ArrayLike, dec_deg: ArrayLike, ra0_deg: ArrayLike, dec0_deg: ArrayLike
) -> Floats:
    """Great-circle distance of places on the sky, by the haversine: exact where it is small."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    ra0, dec0 = np.radians(ra0_deg), np.radians(dec0_deg)
    half = (
        np.sin(0.5 * (dec - dec0)) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin(0.5 * (ra - ra0)) ** 2
    )
    return np.asarray(2.0 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))) * _ARCSEC_PER_RAD)
