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

A name is the object's own where the catalogue has it under any of the names that the alert gives
it. Surveys differ in what they call a numbered object: ZTF by its number, Rubin by its provisional
designation, for good. Where the catalogue gives neither (it has the number and a name), such a
designation may be that of the object that is there, and is not called wrong.

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
from streaks.known.places import as_observatory, single_jd_tdb, unit_vector
from streaks.known.solar_system import Ephemeris
from streaks.matching import separation_arcsec
from streaks.tables import ColumnSpec, build_table

__all__ = [
    "CHECK_COLUMNS",
    "CLAIM_COLUMNS",
    "MORE_CLAIM_COLUMNS",
    "VERDICTS",
    "Answer",
    "CheckConfig",
    "by_value",
    "check_alerts",
    "check_exposure",
    "read_claims",
    "unanswered",
    "with_answers",
]

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
#: What it may have besides: mid-exposure (UTC, goes before ``jd``), other names of what the alert
#: names (separated by |), and the survey.
MORE_CLAIM_COLUMNS = ("mid_jd", "ssothernames", "survey")
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
#: Sides of cells, deg, and what none of them reaches, arcsec: the widest cameras see 10 degrees.
_CELL_DEG, _LARGEST_PATCH = 4.0, 9.0 * 3600.0
#: Surveys that call numbered objects by their principal provisional designation.
_BY_DESIGNATION = frozenset({"rubin"})
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
    other_names: tuple[str, ...] = ()
    survey: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """What the object may be called in a catalogue."""
        names = (normalise_name(name) for name in (self.name, *self.other_names))
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def is_none(self) -> bool:
        """Whether the alert names nothing and claims no distance."""
        return not self.name and not math.isfinite(self.distance_arcsec)


#: The nearest known object, the verdict, and a note.
Answer = tuple[_Object | None, str, str]


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


def _rows_of_names(orbits: Orbits, claims: list[_Claim]) -> dict[str, NDArray[np.intp]]:
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


def read_claims(claims: QTable, exposure_s: float = 30.0) -> dict[str, Any]:
    """What alerts say, as bare arrays, and each claim.

    Parameters
    ----------
    claims
        As `check_alerts` takes it.
    exposure_s
        Its half comes on top of ``jd`` where no ``mid_jd`` is told.

    Returns
    -------
    dict
        ``jd, ra, dec, ssdistnr, ssmagnr, mid_jd`` as (n,) floats; ``ssnamenr``, a list of names;
        ``claims``, a list with all that the alert says of a known object.

    Raises
    ------
    TableError
        If a column is missing, or no numbers.
    """
    missing = [name for name in CLAIM_COLUMNS if name not in claims.colnames]
    if missing:
        raise TableError(
            f"the table of alerts lacks the columns {', '.join(missing)}; it needs "
            f"{', '.join(CLAIM_COLUMNS)} and has {', '.join(claims.colnames)}"
        )
    given: dict[str, Any] = {name: _numbers(claims, name) for name in CLAIM_COLUMNS[:-1]}
    for name in ("ssdistnr", "ssmagnr"):
        given[name] = np.where(given[name] <= -99.0, np.nan, given[name])
    names = _texts(claims, "ssnamenr")
    given["ssnamenr"] = ["" if n.strip().lower() in _NO_NAMES else n for n in names]
    given["mid_jd"] = given["jd"] + 0.5 * exposure_s / 86_400.0
    if "mid_jd" in claims.colnames:
        told = _numbers(claims, "mid_jd")
        given["mid_jd"] = np.where(np.isfinite(told), told, given["mid_jd"])
    others, surveys = _texts(claims, "ssothernames"), _texts(claims, "survey")
    given["claims"] = [
        _Claim(
            float(given["ssdistnr"][i]), float(given["ssmagnr"][i]), given["ssnamenr"][i],
            tuple(filter(None, others[i].split("|"))), surveys[i],
        )
        for i in range(len(claims))
    ]  # fmt: skip
    return given


def _texts(claims: QTable, name: str) -> list[str]:
    if name not in claims.colnames:
        return [""] * len(claims)
    filled = np.ma.filled(np.ma.asarray(claims[name]).astype(object), "")
    return [str(value) for value in filled]


def _numbers(claims: QTable, name: str) -> Floats:
    """A column as bare numbers in the unit we expect; NaN where it is masked."""
    column = claims[name]
    unit = {"ra": "deg", "dec": "deg", "ssdistnr": "arcsec", "jd": "day", "mid_jd": "day"}.get(name)
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
        claim: _Claim = given["claims"][i]
        if nearest is None and claim.is_none:
            answers[i] = (None, "none", "")
            continue
        place = float(given["ra"][i]), float(given["dec"][i])
        named = _named(night, claim, place, time, around, site)
        verdict, note = _judge(claim, nearest, named, config)
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

    def nearest(self, ra: Floats, dec: Floats, radius_arcsec: float) -> list[_Object | None]:
        """The nearest within a radius of each of some places."""
        if not self.name:
            return [None] * len(ra)
        answers: list[_Object | None] = []
        for k in range(len(ra)):
            sep = separation_arcsec(self.ra, self.dec, ra[k], dec[k])
            best = int(np.argmin(sep))
            answers.append(self.object(best, float(sep[best])) if sep[best] <= radius_arcsec
                           else None)  # fmt: skip
        return answers

    def object(self, row: int, sep_arcsec: float) -> _Object:
        """One of them, as seen from a place."""
        return _Object(self.name[row], self.key[row], sep_arcsec, float(self.vmag[row]),
                       float(self.error[row]))  # fmt: skip


def _named(
    night: NightIndex,
    claim: _Claim,
    place: tuple[float, float],
    time: Time,
    around: _Around,
    site: Observatory,
) -> _Object | None:
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
    if claim.name and named is None and not _former_name(claim, nearest):
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


def _former_name(claim: _Claim, nearest: _Object) -> bool:
    """Whether a provisional designation may be what the nearest object was, or is, called.

    The catalogue tells where it gives the designation beside the number. Where it gives a name
    instead: of any object for a survey that calls all by designation; of others only for objects
    that had no number when the survey began, for one that had is called by it.
    """
    key = normalise_name(claim.name)
    if key.isdigit() or not nearest.designation.isdigit():
        return False
    behind = nearest.name.partition(")")[2].strip()
    if behind and any(c.isdigit() for c in behind):
        return any(same_object(behind, key) for key in claim.keys)
    if any(key.isdigit() for key in claim.keys):
        return False  # it tells the number, which is another
    return claim.survey in _BY_DESIGNATION or int(nearest.designation) > _NUMBERED_BEFORE


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
