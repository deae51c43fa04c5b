"""What alerts say of known objects: the columns of a table of alerts, and each claim."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.errors import TableError
from streaks.known.names import normalise_name

__all__ = ["CLAIM_COLUMNS", "MORE_CLAIM_COLUMNS", "Claim", "read_claims"]

Floats = NDArray[np.float64]
#: What a table of claims must have.
CLAIM_COLUMNS = ("jd", "ra", "dec", "ssdistnr", "ssmagnr", "ssnamenr")
#: What it may have besides: mid-exposure (UTC, goes before ``jd``), other names of what the alert
#: names (separated by |), and the survey.
MORE_CLAIM_COLUMNS = ("mid_jd", "ssothernames", "survey")
#: A claim of nothing.
_NO_NAMES = frozenset({"", "null", "none", "nan"})


@dataclass(frozen=True)
class Claim:
    """What an alert says; NaN and empty for nothing.

    Parameters
    ----------
    distance_arcsec, magnitude
        Of the nearest known object, by the alert.
    name, other_names
        That it gives it.
    survey
        Whose alert it is.
    """

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
        Claim(
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
        column = getattr(column, "unmasked", column)
        values = np.ma.filled(np.ma.asarray(getattr(column, "value", column)).astype(float), np.nan)
        mask = getattr(claims[name], "mask", None)
        return np.where(mask, np.nan, values) if mask is not None else np.asarray(values)
    except (ValueError, TypeError, AttributeError):
        raise TableError(f"the column {name} of the alerts holds no numbers") from None
