"""A survey's own word on known objects, held against predictions.

ZTF writes into each alert the nearest known object: distance ``ssdistnr``, magnitude ``ssmagnr``
and name ``ssnamenr``. These come from orbits that go stale. Here each claim gets a verdict, by
these rules in this order:

``none``
    nothing named and nothing there. Also where no verdict is possible, and ``note`` says why: no
    time or place, the object named is not in the catalogue and nothing else is there, or the
    orbit is so poor that it may or may not be there;
``missed``
    the alert names nothing, and a known object is within the radius;
``not_there``
    the alert names something, and nothing is within the radius: the object named is elsewhere
    (``note``: how far), whatever distance the alert claims;
``wrong_name``
    another object is within the radius, and the one named is not, or is farther, or is not in the
    catalogue (unless the name may be a former one: see `_former_name`);
``wrong_distance``
    the right object, but the claimed distance is not the true one;
``wrong_magnitude``
    the right object at the right distance, but not so bright;
``agree``
    all of it is right, or about (see `CheckConfig`).

Distance goes before magnitude. Where a prediction is uncertain, a claim may differ from it by
three times its error, but never by more than what separates prediction and detection: an object
that is found where the alert is shows by itself that its orbit is good.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Column, QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.errors import ConfigError, TableError
from streaks.known.dynamics import Dynamics
from streaks.known.index import NightIndex
from streaks.known.multi_night import MultiNightIndex
from streaks.known.names import normalise_name, same_object
from streaks.known.nbody import with_ephemeris
from streaks.known.observatories import Observatory
from streaks.known.orbits import Orbits
from streaks.known.places import as_observatory, near, single_jd_tdb, unit_vector
from streaks.known.solar_system import Ephemeris
from streaks.matching import separation_arcsec
from streaks.tables import ColumnSpec, build_table

__all__ = ["CHECK_COLUMNS", "CLAIM_COLUMNS", "VERDICTS", "CheckConfig", "check_alerts"]

Floats = NDArray[np.float64]

VERDICTS = (
    "agree",
    "wrong_name",
    "wrong_distance",
    "wrong_magnitude",
    "missed",
    "not_there",
    "none",
)
#: What a table of claims must have.
CLAIM_COLUMNS = ("jd", "ra", "dec", "ssdistnr", "ssmagnr", "ssnamenr")
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
#: Two objects whose distances differ by less are both the nearest: claims are rounded to 1 arcsec.
_SAME_DISTANCE = 1.0
#: Asteroids with lower numbers had them before ZTF's first alerts (2018): it never calls them by a
#: provisional designation.
_NUMBERED_BEFORE = 500_000
#: A claim of nothing.
_NO_NAMES = frozenset({"", "null", "none", "nan"})


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """When a claim counts as right.

    Parameters
    ----------
    radius_arcsec
        Of the circle around an alert in which known objects are looked for. Above 0.
    distance_arcsec
        Largest error of a distance that is right. Above 0.
    magnitude
        Largest error of a magnitude that is right. Above 0.
    limiting_mag
        Fainter objects (V) are left out.
    """

    #: ZTF's own radius for its ss fields.
    radius_arcsec: float = 30.0
    #: Distances are rounded to 1 arcsec (0.5), and the survey's fresh orbits are good to 0.5;
    #: some of the error of our own prediction comes on top.
    distance_arcsec: float = 1.0
    #: H of one asteroid differs by some tenths between catalogues.
    magnitude: float = 1.0
    #: Fainter objects are not what a survey's exposure shows.
    limiting_mag: float = 23.0

    def __post_init__(self) -> None:
        if min(self.radius_arcsec, self.distance_arcsec, self.magnitude) <= 0:
            raise ConfigError(
                "radius_arcsec, distance_arcsec and magnitude of a check must be above 0; got "
                f"{self.radius_arcsec}, {self.distance_arcsec}, {self.magnitude}"
            )


@dataclass(frozen=True)
class _Object:
    """A known object as seen from an alert."""

    name: str
    designation: str
    sep_arcsec: float
    vmag: float
    error_arcsec: float


@dataclass(frozen=True)
class _Claim:
    """What an alert says; NaN and empty for nothing."""

    distance_arcsec: float
    magnitude: float
    name: str

    @property
    def is_none(self) -> bool:
        """Whether the alert names nothing and claims no distance."""
        return not self.name and not math.isfinite(self.distance_arcsec)


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
        kept.
    orbits
        The catalogue. An object that is not in it cannot be judged.
    exposure_s
        Its middle is the time of the prediction.
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
    given = _read_claims(claims)
    mid_jd = given["jd"] + 0.5 * exposure_s / 86_400.0
    answers: list[tuple[_Object | None, str, str]] = [
        (None, "none", "the alert has no time or place")
    ] * len(claims)
    usable = np.isfinite(mid_jd) & np.isfinite(given["ra"]) & np.isfinite(given["dec"])
    usable &= np.abs(np.where(usable, given["dec"], 0.0)) <= 90.0
    low, high = ephemeris.span_jd
    # Dates are compared before they are converted: absurd ones do not survive that.
    beyond = usable & ~((mid_jd > low + _SPAN_ROOM_DAYS) & (mid_jd < high - _SPAN_ROOM_DAYS))
    for i in np.flatnonzero(beyond):
        answers[i] = (None, "none", f"its date is outside the ephemeris ({ephemeris.name})")
    usable &= ~beyond
    index = MultiNightIndex(orbits, model, site, ephemeris)
    named = _rows_of_names(orbits, given["ssnamenr"])
    for rows in _nights(mid_jd, np.flatnonzero(usable), orbits):
        night = _night(index, given, mid_jd, rows, named, config)
        for exposure in _by_value(mid_jd, rows):
            _check_exposure(night, given, mid_jd, exposure, config, answers)
    return _with_answers(claims, answers)


def _rows_of_names(orbits: Orbits, names: list[str]) -> dict[str, NDArray[np.intp]]:
    """Where each name of the alerts is in the catalogue."""
    rows = {str(key): i for i, key in enumerate(orbits.designation.tolist())}
    found = {}
    for name in set(names):
        row = rows.get(normalise_name(name)) if name else None
        found[name] = np.array([] if row is None else [row], dtype=np.intp)
        if name and row is None:
            found[name] = orbits.find(name)
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
    wanted = [named[name] for name in sorted({given["ssnamenr"][i] for i in rows})]
    return index.night(
        single_jd_tdb(middle),
        places,
        config.radius_arcsec,
        np.concatenate(wanted).astype(np.intp),
    )


def _read_claims(claims: QTable) -> dict[str, Any]:
    missing = [name for name in CLAIM_COLUMNS if name not in claims.colnames]
    if missing:
        raise TableError(
            f"the table of alerts lacks the columns {', '.join(missing)}; it needs "
            f"{', '.join(CLAIM_COLUMNS)} and has {', '.join(claims.colnames)}"
        )
    given: dict[str, Any] = {name: _numbers(claims, name) for name in CLAIM_COLUMNS[:-1]}
    for name in ("ssdistnr", "ssmagnr"):
        given[name] = np.where(given[name] <= -99.0, np.nan, given[name])
    names = np.ma.filled(np.ma.asarray(claims["ssnamenr"]).astype(object), "")
    given["ssnamenr"] = ["" if str(n).strip().lower() in _NO_NAMES else str(n) for n in names]
    return given


def _numbers(claims: QTable, name: str) -> Floats:
    """A column as bare numbers in the unit we expect; NaN where it is masked."""
    column = claims[name]
    unit = {"ra": "deg", "dec": "deg", "ssdistnr": "arcsec", "jd": "day"}.get(name)
    try:
        if getattr(column, "unit", None) is not None and unit is not None:
            column = column.to_value(unit)
        column = getattr(column, "unmasked", column) if not hasattr(column, "filled") else column
        values = np.ma.filled(np.ma.asarray(getattr(column, "value", column)).astype(float), np.nan)
        mask = getattr(claims[name], "mask", None)
        return np.where(mask, np.nan, values) if mask is not None else np.asarray(values)
    except (ValueError, TypeError, AttributeError):
        raise TableError(f"the column {name} of the alerts holds no numbers") from None


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


def _by_value(values: Floats, rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for value in np.unique(values[rows]):
        yield rows[values[rows] == value]


def _check_exposure(
    night: NightIndex,
    given: dict[str, Any],
    mid_jd: Floats,
    rows: NDArray[np.intp],
    config: CheckConfig,
    answers: list[tuple[_Object | None, str, str]],
) -> None:
    """Answer the alerts of one instant, from one look at their part of the sky."""
    ra, dec = given["ra"][rows], given["dec"][rows]
    reach = float(separation_arcsec(ra, dec, ra[0], dec[0]).max()) + config.radius_arcsec
    time = Time(mid_jd[rows[0]], format="jd", scale="utc")
    around = night.near(ra[0], dec[0], reach + 1.0, time)
    # What an alert names counts, however faint; what it does not name must be visible.
    claimed = {normalise_name(given["ssnamenr"][i]) for i in rows}
    visible = ~(around["vmag"].to_value("mag") > config.limiting_mag)
    named_here = [normalise_name(str(d)) in claimed for d in around["designation"]]
    around = around[visible | np.array(named_here, dtype=bool)]
    for i in rows:
        here = near(around, given["ra"][i], given["dec"][i], config.radius_arcsec)
        nearest = _object(here, 0) if len(here) else None
        claim = _Claim(given["ssdistnr"][i], given["ssmagnr"][i], given["ssnamenr"][i])
        named = _named(night, claim.name, given["ra"][i], given["dec"][i], time, here)
        verdict, note = _judge(claim, nearest, named, config)
        answers[i] = (nearest, verdict, note)


def _object(predictions: QTable, row: int) -> _Object:
    line = predictions[row]
    return _Object(
        str(line["name"]),
        normalise_name(str(line["designation"])) or str(line["name"]),
        float(line["sep"].to_value("arcsec")),
        float(line["vmag"].to_value("mag")),
        float(line["pos_err"].to_value("arcsec")),
    )


def _named(
    night: NightIndex, name: str, ra: float, dec: float, time: Time, here: QTable
) -> _Object | None:
    """The object that an alert names, wherever it is; None where the catalogue lacks it."""
    if not name:
        return None
    key = normalise_name(name)
    for row in range(len(here)):
        if same_object(str(here["designation"][row]), key):
            return _object(here, row)
    found = night.place_of(name, time)
    return _object(near(found, ra, dec, math.inf), 0) if len(found) else None


def _judge(
    claim: _Claim, nearest: _Object | None, named: _Object | None, config: CheckConfig
) -> tuple[str, str]:
    """Verdict and note; the rules stand at the top of this file."""
    if claim.is_none:
        if nearest is None:
            return "none", ""
        return _unless_unsure("missed", "", nearest, config)
    if nearest is None:
        if claim.name and named is None:
            return "none", f"{claim.name} is not in the catalogue: cannot tell"
        if named is None:
            return "not_there", ""
        return _unless_unsure("not_there", _where(named), named, config)
    if named is not None and named.designation != nearest.designation:
        # Of two at the same distance, by the survey's rounding, either is the nearest.
        if named.sep_arcsec - nearest.sep_arcsec > _SAME_DISTANCE:
            return _unless_unsure("wrong_name", _where(named), named, config)
        nearest = named
    if claim.name and named is None and not _former_name(claim.name, nearest):
        return "wrong_name", f"{claim.name} is not in the catalogue"
    return _judge_numbers(claim, nearest, config, known_name=named is not None)


def _unless_unsure(verdict: str, note: str, known: _Object, config: CheckConfig) -> tuple[str, str]:
    """The verdict, unless the object may as well be on the other side of the radius."""
    if abs(known.sep_arcsec - config.radius_arcsec) > 3.0 * known.error_arcsec:
        return verdict, note
    return "none", (
        f"the place of {known.name} is uncertain by {known.error_arcsec:.3g} arcsec "
        "(1 sigma): its orbit is too poor or too far from its epoch to tell"
    )


def _where(named: _Object) -> str:
    if named.sep_arcsec >= 3600.0:
        return f"{named.name} is {named.sep_arcsec / 3600.0:.1f} deg away"
    return f"{named.name} is {named.sep_arcsec:.1f} arcsec away"


def _former_name(name: str, nearest: _Object) -> bool:
    """Whether a provisional designation may be what the nearest object was called.

    The catalogue tells where it gives the designation beside the number; where it gives a name
    instead, only for objects that had no number when the survey began: one that had is called by
    it.
    """
    key = normalise_name(name)
    if key.isdigit() or not nearest.designation.isdigit():
        return False
    behind = nearest.name.partition(")")[2].strip()
    if behind and any(c.isdigit() for c in behind):
        return same_object(behind, key)
    return int(nearest.designation) > _NUMBERED_BEFORE


def _judge_numbers(
    claim: _Claim, nearest: _Object, config: CheckConfig, *, known_name: bool
) -> tuple[str, str]:
    """Verdict on the distance and magnitude of the right object."""
    off_by = abs(claim.distance_arcsec - nearest.sep_arcsec)
    unsure = min(3.0 * nearest.error_arcsec, nearest.sep_arcsec)
    if off_by > config.distance_arcsec + unsure:
        return "wrong_distance", f"off by {off_by:.1f} arcsec"
    if abs(claim.magnitude - nearest.vmag) > config.magnitude:
        return "wrong_magnitude", f"off by {claim.magnitude - nearest.vmag:+.1f} mag"
    if claim.name and not known_name:
        return "agree", f"{claim.name} is not in the catalogue; it may be {nearest.name} by now"
    return "agree", ""


def _with_answers(claims: QTable, answers: list[tuple[_Object | None, str, str]]) -> QTable:
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
