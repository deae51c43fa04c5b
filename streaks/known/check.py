"""Alerts' claims held against predictions, night by night.

The rules of the verdicts are in `streaks.known.verdicts`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from astropy.table import Column, QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.known.claims import Claim, read_claims
from streaks.known.dynamics import Dynamics
from streaks.known.index import NightIndex
from streaks.known.multi_night import MultiNightIndex
from streaks.known.names import normalise_name
from streaks.known.nbody import with_ephemeris
from streaks.known.observatories import Observatory
from streaks.known.orbits import Orbits
from streaks.known.places import as_observatory, single_jd_tdb, unit_vector
from streaks.known.solar_system import Ephemeris
from streaks.known.verdicts import VERDICTS, Answer, CheckConfig, NearObject, judge
from streaks.matching import separation_arcsec
from streaks.tables import ColumnSpec, build_table

__all__ = [
    "CHECK_COLUMNS",
    "by_value",
    "check_alerts",
    "check_exposure",
    "unanswered",
    "with_answers",
]

Floats = NDArray[np.float64]
#: What a check adds.
CHECK_COLUMNS = (
    ColumnSpec("sep", float, "arcsec", "distance of the nearest known object; NaN for none"),
    ColumnSpec("name", str, None, "its name; empty for none"),
    ColumnSpec("vmag", float, "mag", "its predicted V magnitude"),
    ColumnSpec("verdict", str, None, f"one of {', '.join(VERDICTS)}"),
    ColumnSpec("pos_err", float, "arcsec", "1-sigma error of its predicted place"),
    ColumnSpec("note", str, None, "why, where the verdict does not say it"),
)
#: One index serves alerts this far apart.
_NIGHT_DAYS = 0.7
#: Light-time, time scales and half a night beside a date.
_SPAN_ROOM_DAYS = 2.0
#: Distances between alerts and objects that are held at once.
_PAIRS_AT_ONCE = 1 << 18
#: Sides of cells, deg, and what none of them reaches, arcsec: the widest cameras see 10 degrees.
_CELL_DEG, _LARGEST_PATCH = 4.0, 9.0 * 3600.0


def check_alerts(
    claims: QTable,
    orbits: Orbits,
    *,
    exposure_s: float = 30.0,
    observatory: str | Observatory = "I41",
    config: CheckConfig | None = None,
    dynamics: str | Dynamics = "n-body",
    ephemeris: Ephemeris | None = None,
) -> QTable:
    """Recompute what alerts say of known objects, and judge it.

    Parameters
    ----------
    claims
        ``jd`` (START of the exposure, UTC), ``ra, dec`` (deg), ``ssdistnr`` (arcsec),
        ``ssmagnr`` and ``ssnamenr``, -999, NaN, null or masked for none; any other columns are
        kept. ``mid_jd`` (mid-exposure, UTC), ``ssothernames`` (other names of what is named,
        separated by ``|``) and ``survey`` are used where they are there.
    orbits
        The catalogue. An object that is not in it cannot be judged.
    exposure_s
        Its middle is the time of the prediction, where no ``mid_jd`` tells it.
    observatory
        MPC code, or a site of the user's own.
    config
        When a claim counts as right.
    dynamics
        ``"n-body"``, ``"two-body"`` or a model, as of `streaks.known.predict`. Two bodies are too
        uncertain for any verdict far from the epoch of the orbits, and ``note`` says so.
    ephemeris
        Where Sun, Earth and perturbers are, as there.

    Returns
    -------
    QTable
        The claims with `CHECK_COLUMNS` added, in their order.

    Raises
    ------
    TableError
        If a column is missing, or no numbers.
    CatalogueError
        For an unknown observatory.
    """
    site = as_observatory(observatory)
    model, ephemeris = with_ephemeris(dynamics, ephemeris)
    config = CheckConfig() if config is None else config
    given = read_claims(claims, exposure_s)
    mid_jd = given["mid_jd"]
    answers, usable = unanswered(given, ephemeris)
    index = MultiNightIndex(orbits, model, site, ephemeris)
    named = _rows_of_names(orbits, given["claims"])
    for rows in _nights(mid_jd, np.flatnonzero(usable), orbits):
        night = _night(index, given, mid_jd, rows, named, config)
        for exposure in by_value(mid_jd, rows):
            check_exposure(night, given, exposure, config, answers, site)
    return with_answers(claims, answers)


def unanswered(
    given: dict[str, Any], ephemeris: Ephemeris
) -> tuple[list[Answer], NDArray[np.bool_]]:
    """What is answered to alerts without time or place, and which of them can be looked at.

    Parameters
    ----------
    given
        Of `read_claims`.
    ephemeris
        Dates outside it cannot.

    Returns
    -------
    answers
        One an alert.
    usable : (n,) bool
    """
    mid_jd = given["mid_jd"]
    answers: list[Answer] = [(None, "none", "the alert has no time or place")] * len(mid_jd)
    usable = np.isfinite(mid_jd) & np.isfinite(given["ra"]) & np.isfinite(given["dec"])
    usable &= np.abs(np.where(usable, given["dec"], 0.0)) <= 90.0
    low, high = ephemeris.span_jd
    # Dates are compared before they are converted: absurd ones do not survive that.
    beyond = usable & ~((mid_jd > low + _SPAN_ROOM_DAYS) & (mid_jd < high - _SPAN_ROOM_DAYS))
    for i in np.flatnonzero(beyond):
        answers[i] = (None, "none", f"its date is outside the ephemeris ({ephemeris.name})")
    return answers, usable & ~beyond


def _rows_of_names(orbits: Orbits, claims: list[Claim]) -> dict[str, NDArray[np.intp]]:
    """Where what each alert names is in the catalogue."""
    keys = {key for claim in claims for key in claim.keys}
    if not keys:
        return {}
    rows = {str(key): i for i, key in enumerate(orbits.designation.tolist())}
    missing = {key.casefold() for key in keys - rows.keys()}
    behind = {}
    if missing:
        for i, name in enumerate(orbits.name.tolist()):
            other = (name.partition(")")[2].strip() or name).casefold()
            if other in missing:
                behind[other] = i
    found = {}
    for key in keys:
        row = rows.get(key, behind.get(key.casefold()))
        found[key] = np.array([] if row is None else [row], dtype=np.intp)
    return found


def _night(
    index: MultiNightIndex,
    given: dict[str, Any],
    mid_jd: Floats,
    rows: NDArray[np.intp],
    named: dict[str, NDArray[np.intp]],
    config: CheckConfig,
) -> NightIndex:
    """An index of what may be near the alerts of a night, and of what they name."""
    middle = Time(0.5 * (mid_jd[rows].min() + mid_jd[rows].max()), format="jd", scale="utc")
    places = np.stack([unit_vector(given["ra"][i], given["dec"][i]) for i in rows])
    keys = {key for i in rows for key in given["claims"][i].keys}
    wanted = [named[key] for key in sorted(keys)]
    return index.night(
        single_jd_tdb(middle),
        places,
        config.radius_arcsec,
        np.concatenate([np.zeros(0, np.intp), *wanted]).astype(np.intp),
    )


def _nights(mid_jd: Floats, rows: NDArray[np.intp], orbits: Orbits) -> Iterator[NDArray[np.intp]]:
    """Rows by night, the nights nearest to the catalogue's epoch first.

    Dynamics that remember where they were then go outwards from the epoch, once each way.
    """
    rows = rows[np.argsort(mid_jd[rows], kind="stable")]
    nights = []
    while rows.size:
        same = mid_jd[rows] <= mid_jd[rows[0]] + _NIGHT_DAYS
        nights.append(rows[same])
        rows = rows[~same]
    epoch = float(np.median(orbits.epoch_jd)) if len(orbits) else 0.0
    yield from sorted(nights, key=lambda night: abs(mid_jd[night[0]] - epoch))


def by_value(values: Floats, rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Rows of each value.

    Parameters
    ----------
    values : (n,)
        Times, for instance.
    rows
        To be grouped.

    Yields
    ------
    (k,) int
    """
    for value in np.unique(values[rows]):
        yield rows[values[rows] == value]


def check_exposure(
    night: NightIndex,
    given: dict[str, Any],
    rows: NDArray[np.intp],
    config: CheckConfig,
    answers: list[Answer],
    site: Observatory,
) -> None:
    """Answer the alerts of one instant, from one look at their part of the sky.

    Parameters
    ----------
    night
        Known objects of that night.
    given
        Of `read_claims`.
    rows
        Alerts of one ``mid_jd``.
    config
        When a claim counts as right.
    answers
        One an alert of ``given``; those of the rows are put in.
    site
        Where the alerts were taken.
    """
    ra, dec = given["ra"][rows], given["dec"][rows]
    reach = float(separation_arcsec(ra, dec, ra[0], dec[0]).max()) + config.radius_arcsec
    if reach > _LARGEST_PATCH:
        for patch in _patches(ra, dec):
            check_exposure(night, given, rows[patch], config, answers, site)
        return
    time = Time(given["mid_jd"][rows[0]], format="jd", scale="utc")
    found = _Around(night.near(ra[0], dec[0], reach + 1.0, time, observatory=site))
    # What an alert names counts, however faint; what it does not name must be visible.
    claimed = {key for i in rows for key in given["claims"][i].keys}
    around = found.kept(~(found.vmag > config.limiting_mag) | found.is_any_of(claimed))
    nearest_of = around.nearest(ra, dec, config.radius_arcsec)
    for i, nearest in zip(rows, nearest_of, strict=True):
        claim: Claim = given["claims"][i]
        if nearest is None and claim.is_none:
            answers[i] = (None, "none", "")
            continue
        place = float(given["ra"][i]), float(given["dec"][i])
        named = _named(night, claim, place, time, around, site)
        verdict, note = judge(claim, nearest, named, config)
        answers[i] = (nearest, verdict, note)


def _patches(ra: Floats, dec: Floats) -> Iterator[NDArray[np.intp]]:
    """Places in cells of the sky: what no telescope sees at once is looked at in parts."""
    cells = np.stack([np.floor(ra / _CELL_DEG), np.floor(dec / _CELL_DEG)], axis=1)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    for number in range(int(cell.max()) + 1):
        yield np.flatnonzero(cell.ravel() == number)


class _Around:
    """Predictions as bare arrays: a stream asks for a thousand alerts a second."""

    def __init__(self, predictions: QTable) -> None:
        self.name = [str(name) for name in predictions["name"]]
        self.key = [
            normalise_name(str(d)) or name
            for d, name in zip(predictions["designation"], self.name, strict=True)
        ]
        self.ra = np.asarray(predictions["ra"].to_value("deg"))
        self.dec = np.asarray(predictions["dec"].to_value("deg"))
        self.vmag = np.asarray(predictions["vmag"].to_value("mag"))
        self.error = np.asarray(predictions["pos_err"].to_value("arcsec"))

    def is_any_of(self, keys: set[str]) -> NDArray[np.bool_]:
        return np.array([key in keys for key in self.key], dtype=bool)

    def kept(self, chosen: NDArray[np.bool_]) -> _Around:
        """Those chosen only."""
        if chosen.all():
            return self
        few = object.__new__(_Around)
        rows = np.flatnonzero(chosen)
        few.name, few.key = [self.name[k] for k in rows], [self.key[k] for k in rows]
        few.ra, few.dec = self.ra[rows], self.dec[rows]
        few.vmag, few.error = self.vmag[rows], self.error[rows]
        return few

    def nearest(self, ra: Floats, dec: Floats, radius_arcsec: float) -> list[NearObject | None]:
        """The nearest within a radius of each of some places."""
        if not self.name:
            return [None] * len(ra)
        answers: list[NearObject | None] = []
        # Some at a time: all distances of a wide field at once would be too many to hold.
        at_once = max(1, _PAIRS_AT_ONCE // len(self.name))
        for first in range(0, len(ra), at_once):
            part = slice(first, first + at_once)
            sep = separation_arcsec(self.ra, self.dec, ra[part, None], dec[part, None])
            for row, best in zip(sep, np.argmin(sep, axis=1).tolist(), strict=True):
                near = row[best] <= radius_arcsec
                answers.append(self.object(best, float(row[best])) if near else None)
        return answers

    def object(self, row: int, sep_arcsec: float) -> NearObject:
        """One of them, as seen from a place."""
        return NearObject(self.name[row], self.key[row], sep_arcsec, float(self.vmag[row]),
                       float(self.error[row]))  # fmt: skip


def _named(
    night: NightIndex,
    claim: Claim,
    place: tuple[float, float],
    time: Time,
    around: _Around,
    site: Observatory,
) -> NearObject | None:
    """The object that an alert names, wherever it is; None where the catalogue lacks it."""
    for key in claim.keys:
        if key in around.key:
            found, row = around, around.key.index(key)
        elif len(night.rows_of(key)):
            found, row = _Around(night.place_of(key, time, observatory=site)), 0
        else:
            continue
        sep = separation_arcsec(found.ra[row : row + 1], found.dec[row : row + 1], *place)
        return found.object(row, float(sep[0]))
    return None


def with_answers(claims: QTable, answers: list[Answer]) -> QTable:
    """The claims with `CHECK_COLUMNS`.

    Parameters
    ----------
    claims
        n of them.
    answers
        One each.

    Returns
    -------
    QTable
    """
    objects = [known for known, _, _ in answers]
    added = build_table(
        CHECK_COLUMNS,
        {
            "sep": [math.nan if o is None else o.sep_arcsec for o in objects],
            "name": ["" if o is None else o.name for o in objects],
            "vmag": [math.nan if o is None else o.vmag for o in objects],
            "verdict": [verdict for _, verdict, _ in answers],
            "pos_err": [math.nan if o is None else o.error_arcsec for o in objects],
            "note": [note for _, _, note in answers],
        },
    )
    result = claims.copy()
    for name in added.colnames:
        column = added[name]
        result[name] = Column(column) if isinstance(column, Column) else column
    return result
