"""Which known object each streak is: pure tables in, a pure table out.

The fields are ZTF's own: distance, magnitude and name of the nearest known object within a
radius, -999 and ``null`` for none. A distance of 0.0 is a real value. Behind them stands how well
the object's predicted trail explains the streak, and how likely chance alone does as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from streaks.config import MatchConfig
from streaks.geometry import angle_difference_deg
from streaks.tables import MATCH_COLUMNS, ColumnSpec, build_table

__all__ = [
    "MATCH_QUALITY_COLUMNS",
    "NO_DISTANCE",
    "NO_NAME",
    "match_known",
    "separation_arcsec",
]

Floats = NDArray[np.float64]

#: ZTF's word for none.
NO_DISTANCE = -999.0
NO_NAME = "null"

#: Behind the contract's columns.
MATCH_QUALITY_COLUMNS = (
    ColumnSpec("match_fits", np.int64, None, "1: the object's motion is the streak's; 0; -1 none"),
    ColumnSpec("match_chi2", float, None, "of place, length, angle and magnitude; NaN for none"),
    ColumnSpec("match_ends", float, "arcsec", "rms distance of the ends, in the better order"),
    ColumnSpec("match_chance", float, None, "probability that chance does as well; NaN for none"),
)

_ARCSEC_PER_RAD = 648_000.0 / np.pi
_ARCSEC2_PER_DEG2 = 3600.0**2


@dataclass(frozen=True)
class _Match:
    """The prediction chosen for a streak."""

    row: int
    sep_arcsec: float
    fits: bool
    chi2: float
    ends_arcsec: float
    chance: float


def match_known(streaks: QTable, predictions: QTable, config: MatchConfig | None = None) -> QTable:
    """The known object of each streak, by midpoint at mid-exposure, motion and brightness.

    Where several lie within the radius, one whose predicted trail agrees with the streak in rate
    and in position angle (modulo 180 degrees: which end is first is unknown) goes before those
    that do not, however near: in a crowded field a slow asteroid beside a streak is no reason to
    overlook the fast one that made it. Among those that agree the likeliest wins, among the
    others the nearest. The radius grows to three times the error of a prediction.

    Parameters
    ----------
    streaks
        With ``streak_id, ra, dec``; for the choice among several and for the quality also ``pa,
        rate, ra0, dec0, ra1, dec1, mag``, where there are such. Rows of one exposure.
    predictions
        ``name, ra, dec, rate, pa, vmag`` at mid-exposure of the same, and where they are known
        ``ra0, dec0, ra1, dec1, pos_err``; ``designation``, where there is one, is what goes into
        ``ssnamenr``. ``meta["area_deg2"]`` is the area that they cover, for the density.
    config
        Radius, errors and faintest magnitude. A prediction without a magnitude is never too
        faint.

    Returns
    -------
    QTable
        ``streak_id``, `MATCH_COLUMNS` and `MATCH_QUALITY_COLUMNS`, a row a streak in its order;
        none where the streak has no sky coordinates (NaN).
    """
    config = MatchConfig() if config is None else config
    vmag = predictions["vmag"].to_value("mag")
    area_deg2 = predictions.meta.get("area_deg2")
    predictions = predictions[~(vmag > config.limiting_mag)]
    density = len(predictions) / area_deg2 if area_deg2 else config.density_per_deg2
    known = _plain_columns(predictions)
    seen = _plain_columns(streaks)
    matches = [_choose(_row(seen, i), known, density, config) for i in range(len(streaks))]
    names = predictions["designation" if "designation" in predictions.colnames else "name"]
    return _as_table(streaks, matches, known["vmag"], [str(name) for name in names])


def _as_table(
    streaks: QTable, matches: list[_Match | None], vmag: Floats, names: list[str]
) -> QTable:
    magnitude = np.array([NO_DISTANCE if m is None else vmag[m.row] for m in matches], dtype=float)
    columns = (
        ColumnSpec("streak_id", str, None, "of the streak"),
        *MATCH_COLUMNS,
        *MATCH_QUALITY_COLUMNS,
    )
    return build_table(
        columns,
        {
            "streak_id": [str(s) for s in streaks["streak_id"]],
            "ssdistnr": [NO_DISTANCE if m is None else m.sep_arcsec for m in matches],
            "ssmagnr": np.where(np.isfinite(magnitude), magnitude, NO_DISTANCE),
            "ssnamenr": [NO_NAME if m is None else names[m.row] for m in matches],
            "match_fits": [-1 if m is None else int(m.fits) for m in matches],
            "match_chi2": [np.nan if m is None else m.chi2 for m in matches],
            "match_ends": [np.nan if m is None else m.ends_arcsec for m in matches],
            "match_chance": [np.nan if m is None else m.chance for m in matches],
        },
    )


_UNITS = {
    "ra": "deg", "dec": "deg", "ra0": "deg", "dec0": "deg", "ra1": "deg", "dec1": "deg",
    "pa": "deg", "rate": "arcsec / s", "mag": "mag", "vmag": "mag", "pos_err": "arcsec",
}  # fmt: skip


def _plain_columns(table: QTable) -> dict[str, Floats]:
    """The columns that matter here as bare numbers; NaN where the table lacks one."""
    return {
        name: np.asarray(table[name].to_value(unit), dtype=float)
        if name in table.colnames
        else np.full(len(table), np.nan)
        for name, unit in _UNITS.items()
    }


def _row(columns: dict[str, Floats], i: int) -> dict[str, float]:
    return {name: float(column[i]) for name, column in columns.items()}


def _choose(
    streak: dict[str, float], known: dict[str, Floats], density: float, config: MatchConfig
) -> _Match | None:
    """The prediction that goes with a streak, or None."""
    if not np.isfinite(streak["ra"] + streak["dec"]) or len(known["ra"]) == 0:
        return None
    sep = separation_arcsec(known["ra"], known["dec"], streak["ra"], streak["dec"])
    unsure = np.where(np.isfinite(known["pos_err"]), known["pos_err"], 0.0)
    fits_all = _trail_fits(streak, known, config)
    # Beyond ZTF's radius only what moves like the streak may be it.
    wide = fits_all & np.isfinite(streak["rate"] + streak["pa"]) & (sep <= 3.0 * unsure)
    inside = np.flatnonzero((sep <= config.radius_arcsec) | wide)
    if inside.size == 0:
        return None
    few = {name: column[inside] for name, column in known.items()}
    chi2 = _chi_square(streak, few, sep[inside], config)
    fits = fits_all[inside]
    order = np.lexsort((np.where(fits & np.isfinite(chi2), chi2, sep[inside]), ~fits))
    best = int(order[0])
    row = int(inside[best])
    return _Match(
        row,
        float(sep[row]),
        bool(fits[best]),
        float(chi2[best]),
        _ends_arcsec(streak, _row(known, row)),
        _chance(streak, known, row, float(sep[row]), density, config),
    )


def _trail_fits(
    streak: dict[str, float], known: dict[str, Floats], config: MatchConfig
) -> NDArray[np.bool_]:
    """Whether predicted motions agree with a streak; all do where it has no rate or angle."""
    rate = streak["rate"]
    turn = np.abs(angle_difference_deg(known["pa"], streak["pa"]))
    # NaN compares False: an unknown rate or angle excludes nothing.
    return ~(np.abs(known["rate"] - rate) > config.rate_tolerance * rate) & ~(
        turn > config.angle_tolerance_deg
    )


def _chi_square(
    streak: dict[str, float], known: dict[str, Floats], sep: Floats, config: MatchConfig
) -> Floats:
    """Minus twice the logarithm of the likelihood, up to a constant: what is unknown adds none.

    The place counts along and across the streak apart: its ends are less sure than its track,
    and a stale orbit errs along its own way.
    """
    length = _length_arcsec(streak)
    unsure = np.where(np.isfinite(known["pos_err"]), known["pos_err"], 0.0)
    to_known = np.radians(streak["pa"]) - _bearing(streak, known)
    along = np.where(np.isfinite(to_known), sep * np.cos(to_known), sep)
    across = np.where(np.isfinite(to_known), sep * np.sin(to_known), 0.0)
    # Both ends err: the midpoint by 0.7 of one, the length by 1.4.
    end = np.hypot(config.end_error_arcsec, 0.05 * length)
    across_err = config.across_error_arcsec
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = (
            along / np.hypot(0.7 * end, unsure),
            across / np.hypot(across_err, unsure),
            length * (known["rate"] / streak["rate"] - 1.0) / (1.4 * end),
            angle_difference_deg(known["pa"], streak["pa"])
            / np.hypot(np.degrees(1.4 * across_err / max(length, 1.0)), 0.5),
            (known["vmag"] - streak["mag"]) / config.mag_error,
        )
    return np.asarray(sum(np.where(np.isfinite(t), t, 0.0) ** 2 for t in terms))


def _length_arcsec(streak: dict[str, float]) -> float:
    """Of the streak, from its ends; 0 where they are unknown."""
    ends = separation_arcsec(streak["ra0"], streak["dec0"], streak["ra1"], streak["dec1"])
    return float(ends) if np.isfinite(ends) else 0.0


def _bearing(streak: dict[str, float], known: dict[str, Floats]) -> Floats:
    """Direction from the streak to each prediction, east of north, rad."""
    east = (np.mod(known["ra"] - streak["ra"] + 180.0, 360.0) - 180.0) * np.cos(
        np.radians(streak["dec"])
    )
    return np.asarray(np.arctan2(east, known["dec"] - streak["dec"]))


def _ends_arcsec(streak: dict[str, float], known: dict[str, float]) -> float:
    """Root mean square distance of both ends, with the ends in the order that fits better."""
    orders = (("0", "1"), ("1", "0"))
    squares = [
        sum(
            float(separation_arcsec(streak[f"ra{i}"], streak[f"dec{i}"],
                                    known[f"ra{j}"], known[f"dec{j}"])) ** 2
            for i, j in zip("01", order, strict=True)
        )
        for order in orders
    ]  # fmt: skip
    return float(np.sqrt(min(squares) / 2.0))


def _chance(
    streak: dict[str, float],
    known: dict[str, Floats],
    row: int,
    sep_arcsec: float,
    density_per_deg2: float,
    config: MatchConfig,
) -> float:
    """Probability that some unrelated object is as near and moves as much like the streak.

    Objects are Poisson-distributed with the field's own density. Of them a share lies within the
    same difference of rate (as the field's own objects do, and one more), and of directions, which
    are taken as equally likely, a share within the same turn.
    """
    # An agreement is no better than the streak's own errors.
    away = max(sep_arcsec, config.across_error_arcsec)
    expected = density_per_deg2 * np.pi * away**2 / _ARCSEC2_PER_DEG2
    if np.isfinite(streak["rate"]) and streak["rate"] > 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            differ = np.abs(np.log(known["rate"] / streak["rate"]))
        other = np.delete(differ, row)
        as_near = np.count_nonzero(other <= max(float(differ[row]), 0.05))
        expected *= (as_near + 1.0) / (len(other) + 1.0)
    if np.isfinite(streak["pa"]):
        turn = abs(float(angle_difference_deg(known["pa"][row], streak["pa"])))
        expected *= min(1.0, max(turn, 1.0) / 90.0)
    return float(-np.expm1(-expected))


def separation_arcsec(
    ra_deg: ArrayLike, dec_deg: ArrayLike, ra0_deg: ArrayLike, dec0_deg: ArrayLike
) -> Floats:
    """Great-circle distance of places on the sky, by the haversine: exact where it is small.

    Parameters
    ----------
    ra_deg, dec_deg, ra0_deg, dec0_deg : (...)
        Two places, or arrays of one shape.

    Returns
    -------
    (...), arcsec
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    ra0, dec0 = np.radians(ra0_deg), np.radians(dec0_deg)
    half = (
        np.sin(0.5 * (dec - dec0)) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin(0.5 * (ra - ra0)) ** 2
    )
    return np.asarray(2.0 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))) * _ARCSEC_PER_RAD)
